/* What a machine can do at most: the rate of fused multiply-adds, and of memory. Called by one thread each. */
#include <stddef.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define CHAINS 10 /* enough to hide the latency of one multiply-add, few enough for 16 registers */

typedef float vec __attribute__((vector_size(4 * LANES)));

/* Multiplications and additions done: `rounds` of one multiply-add in each chain. */
double multiply_add(ptrdiff_t rounds, float factor, float *kept) {
    vec sums[CHAINS], factors = factor - (vec){0};
    for (int c = 0; c < CHAINS; c++) sums[c] = (float)c - (vec){0};
    for (ptrdiff_t r = 0; r < rounds; r++) {
#pragma GCC unroll 10
        for (int c = 0; c < CHAINS; c++) sums[c] = sums[c] * factors + factors;
    }
    for (int c = 1; c < CHAINS; c++) sums[0] += sums[c];
    for (int lane = 0; lane < LANES; lane++) kept[lane] = sums[0][lane];
    return 2.0 * CHAINS * LANES * (double)rounds;
}

/* McCalpin's triad: 12 bytes an element. */
void triad(ptrdiff_t n, float factor, const float *restrict b, const float *restrict c, float *restrict a) {
    for (ptrdiff_t i = 0; i < n; i++) a[i] = b[i] + factor * c[i];
}
