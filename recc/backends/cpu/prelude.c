/* What kernels are made of. `real` is float or double; only the functions that a kernel uses are printed into it. */

/* --- types --- */

typedef struct { uint16_t bits; } bfloat16;
typedef struct { uint16_t bits; } float16;

#if REAL_BITS == 32
typedef float real;
typedef double other;
#define REAL(name) name##f
#else
typedef double real;
typedef float other;
#define REAL(name) name
#endif

/* Accumulators of a tile stay in registers: four vectors of them. */
#ifdef __AVX512F__
#define TILE_LANES ((int)(256 / sizeof(real)))
#else
#define TILE_LANES ((int)(128 / sizeof(real)))
#endif
#define TILE_PART(size, n) ((size) % (n) == 0 && (size) / (n) <= TILE_LANES) ? (size) / (n)
#define TILE(size) ((size) <= TILE_LANES ? (size) : (size) % TILE_LANES == 0 ? TILE_LANES \
    : (size) % (TILE_LANES / 2) == 0 ? TILE_LANES / 2 : (size) % (TILE_LANES / 4) == 0 ? TILE_LANES / 4 \
    : TILE_PART(size, 2) : TILE_PART(size, 3) : TILE_PART(size, 5) : TILE_PART(size, 7) : TILE_LANES)
#define LANES(size, first) ((size) % TILE(size) == 0 || (size) - (first) >= TILE(size) ? TILE(size) : (size) - (first))

/* How many rows of a sum are added up apart from each other, so that additions need not wait for each other: enough
 * for eight vectors, in all `sums` of a loop over `rows`. */
#define APART_OF(vectors, rows) ((vectors) >= 8 ? 1 : (vectors) <= 2 && (rows) % 4 == 0 ? 4 : (rows) % 2 == 0 ? 2 : 1)
#define APART(rows, size, sums) (TILE(size) % (TILE_LANES / 4) ? 1 \
    : APART_OF(TILE(size) / (TILE_LANES / 4) * (sums), rows))

/* --- epsilon --- */

/* The distance from one to the next number. */
#if REAL_BITS == 32
#define REAL_EPSILON 0x1p-23f
#else
#define REAL_EPSILON 0x1p-52
#endif

/* --- wrapped --- */

static inline int wrapped(int at, int size) {
    at %= size;
    return at < 0 ? at + size : at;
}

/* --- power_2 --- */

static inline real power_2(real x) { return x * x; }

/* --- power_3 --- */

static inline real power_3(real x) { return x * x * x; }

/* --- power_4 --- */

static inline real power_4(real x) { return (x * x) * (x * x); }

/* --- real_max --- */

static inline real real_max(real x, real y) { return (x > y) | (x != x) ? x : y; }

/* --- real_min --- */

static inline real real_min(real x, real y) { return (x < y) | (x != x) ? x : y; }

/* --- fold --- */

/* The first `count` elements of lanes combined, in halves. */
#define FOLD_HALF(half, combine) \
    if (count > half) { \
        for (int lane = 0; lane < count - half; lane++) lanes[lane] = combine(lanes[lane], lanes[lane + half]); \
        count = half; \
    }
#define FOLD(combine) \
    FOLD_HALF(64, combine) FOLD_HALF(32, combine) FOLD_HALF(16, combine) FOLD_HALF(8, combine) \
    FOLD_HALF(4, combine) FOLD_HALF(2, combine) FOLD_HALF(1, combine) \
    return lanes[0];
#define PLUS(x, y) ((x) + (y))
#define EITHER(x, y) ((x) | (y))

/* --- fold_sum --- */

/* Whole vectors are added first; compilers make better code of this than of a reduction of theirs. */
typedef real whole_vector __attribute__((vector_size(64), aligned(4), may_alias));
typedef real half_vector __attribute__((vector_size(32), aligned(4), may_alias));
typedef real quarter_vector __attribute__((vector_size(16), aligned(4), may_alias));

static inline void fold_row(real *row, const real *lanes, int count) {
    enum { WIDTH = 64 / sizeof(real) };
    const int whole = count - count % WIDTH;
    whole_vector sum = {0};
    for (int at = 0; at < whole; at += WIDTH) sum += *(whole_vector *)(lanes + at);
    *(whole_vector *)row = sum;
    for (int lane = whole; lane < count; lane++) row[lane - whole] += lanes[lane];
}

static inline real fold_sum(const real *lanes, int count) {
    enum { WIDTH = 64 / sizeof(real) };
    real part[WIDTH] __attribute__((aligned(64)));
    fold_row(part, lanes, count);
    *(half_vector *)part += *(half_vector *)(part + WIDTH / 2);
    const quarter_vector last = *(quarter_vector *)part + *(quarter_vector *)(part + WIDTH / 4);
#if REAL_BITS == 32
    return (last[0] + last[2]) + (last[1] + last[3]);
#else
    return last[0] + last[1];
#endif
}

/* --- fold_rows: fold_sum --- */

/* The sums of many rows of lanes at once: each row is first made a vector, then a square of them is added up in pairs
 * that are laid into each other, until lane i holds the sum of row i. */
#if defined __AVX512F__ && (defined __clang__ || __GNUC__ >= 12)
enum { FOLDED_ROWS = 64 / sizeof(real) };
#else
enum { FOLDED_ROWS = 4 };
#endif
#define FOLDED(size, first) \
    ((size) % FOLDED_ROWS == 0 || (size) - (first) >= FOLDED_ROWS ? FOLDED_ROWS : (size) - (first))
typedef real folded_rows[FOLDED_ROWS][64 / sizeof(real)] __attribute__((aligned(64)));

static inline void fold_rows(real *to, folded_rows rows, int count) {
#if defined __AVX512F__ && (defined __clang__ || __GNUC__ >= 12)
#define PAIR(a, b, ...) (__builtin_shufflevector(a, b, __VA_ARGS__))
    whole_vector v[FOLDED_ROWS];
    for (int row = 0; row < FOLDED_ROWS; row++) v[row] = *(whole_vector *)rows[row];
#if REAL_BITS == 32
    for (int i = 0; i < 8; i++)
        v[i] = PAIR(v[i], v[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
            + PAIR(v[i], v[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    for (int i = 0; i < 4; i++)
        v[i] = PAIR(v[i], v[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
            + PAIR(v[i], v[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    for (int i = 0; i < 2; i++)
        v[i] = PAIR(v[i], v[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
            + PAIR(v[i], v[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    v[0] = PAIR(v[0], v[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
        + PAIR(v[0], v[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
#else
    for (int i = 0; i < 4; i++)
        v[i] = PAIR(v[i], v[i + 4], 0, 1, 2, 3, 8, 9, 10, 11) + PAIR(v[i], v[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    for (int i = 0; i < 2; i++)
        v[i] = PAIR(v[i], v[i + 2], 0, 1, 8, 9, 4, 5, 12, 13) + PAIR(v[i], v[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    v[0] = PAIR(v[0], v[1], 0, 8, 2, 10, 4, 12, 6, 14) + PAIR(v[0], v[1], 1, 9, 3, 11, 5, 13, 7, 15);
#endif
    if (count == FOLDED_ROWS) {
        *(whole_vector *)to += v[0];
        return;
    }
    real sums[FOLDED_ROWS] __attribute__((aligned(64)));
    *(whole_vector *)sums = v[0];
    for (int row = 0; row < count; row++) to[row] += sums[row];
#else
    for (int row = 0; row < count; row++) to[row] += fold_sum(rows[row], 64 / sizeof(real));
#endif
}

/* --- fold_any: fold --- */

static inline int fold_any(int *lanes, int count) { FOLD(EITHER) }

/* --- fold_max: fold, real_max --- */

static inline real fold_max(real *lanes, int count) { FOLD(real_max) }

/* --- fold_min: fold, real_min --- */

static inline real fold_min(real *lanes, int count) { FOLD(real_min) }

/* --- real_relu: real_max --- */

static inline real real_relu(real x) { return real_max(x, 0); }

/* --- real_abs --- */

static inline real real_abs(real x) { return REAL(fabs)(x); }

/* --- real_sign --- */

static inline real real_sign(real x) { return x > 0 ? (real)1 : x < 0 ? (real)-1 : x; }

/* --- real_floor --- */

static inline real real_floor(real x) { return REAL(floor)(x); }

/* --- real_ceil --- */

static inline real real_ceil(real x) { return REAL(ceil)(x); }

/* --- real_round --- */

static inline real real_round(real x) { return REAL(rint)(x); }

/* --- real_ctz --- */

static inline real real_ctz(real x) { return x == 0 ? (real)0 : (real)__builtin_ctzll((unsigned long long)(int64_t)x); }

/* --- real_sqrt --- */

static inline real real_sqrt(real x) { return REAL(sqrt)(x); }

/* --- exponents --- */

/* log(2) in two parts, the first with few bits, so that its products with small whole numbers are exact. A number of
 * moderate size plus EXP_SHIFT loses what stands after its point, and has its whole part in its lowest bits. */
#if REAL_BITS == 32
#define LOG2_HIGH 0.693359375f
#define LOG2_LOW -2.12194440e-4f
#define EXP_MOST 89.0f
#define EXP_LEAST -104.0f
#define EXP_SHIFT 12582912.0f
#define EXP_ONE 0x3f800000u
#define EXP_BITS 23
typedef uint32_t real_bits;
typedef int32_t signed_bits;
#else
#define LOG2_HIGH 6.93147180369123816490e-01
#define LOG2_LOW 1.90821492927058770002e-10
#define EXP_MOST 710.0
#define EXP_LEAST -746.0
#define EXP_SHIFT 6755399441055744.0
#define EXP_ONE 0x3ff0000000000000u
#define EXP_BITS 52
typedef uint64_t real_bits;
typedef int64_t signed_bits;
#endif

/* --- power_of_two: exponents --- */

static inline real_bits power_shift(real shifted) {
    real_bits bits;
    memcpy(&bits, &shifted, sizeof bits);
    return bits << EXP_BITS;
}

/* 2^n, from n in an exponent's place. */
static inline real power_of_two(real_bits n) {
    const real_bits bits = n + EXP_ONE;
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* --- reduced_expm1 --- */

/* exp(x) - 1 for abs(x) <= log(2) / 2: x + x^2 times the polynomial of least error. */
static inline real reduced_expm1(real x) {
#if REAL_BITS == 32
    real p = 0.0013926183587713495f;
    p = p * x + 0.0083631790527225774f;
    p = p * x + 0.041666554617204574f;
    p = p * x + 0.16666576989698776f;
    p = p * x + 0.5f;
#else
    real p = 2.5100385495510319e-8;
    p = p * x + 2.7620088445409748e-7;
    p = p * x + 2.7557268459997065e-6;
    p = p * x + 2.4801521295954375e-5;
    p = p * x + 1.9841269863053617e-4;
    p = p * x + 1.3888888917213717e-3;
    p = p * x + 8.3333333333300618e-3;
    p = p * x + 4.1666666666624128e-2;
    p = p * x + 1.6666666666666667e-1;
    p = p * x + 0.5;
#endif
    return p * (x * x) + x;
}

/* --- real_exp: power_of_two, reduced_expm1 --- */

/* 2^n exp(r) with n a whole number and abs(r) <= log(2) / 2. The power is taken in two steps, as a subnormal result is
 * made of a normal number, and 2^n may be too large where the result is not. */
static inline real real_exp(real x) {
    const real low = x > EXP_MOST ? EXP_MOST : x;
    const real y = low < EXP_LEAST ? EXP_LEAST : low;
    const real shifted = y * (real)1.44269504088896340736 + EXP_SHIFT, n = shifted - EXP_SHIFT;
    const real r = (y - n * LOG2_HIGH) - n * LOG2_LOW;
    const real_bits whole = power_shift(shifted);
    const real_bits half = (real_bits)((signed_bits)whole >> (EXP_BITS == 23 ? 24 : 53)) << EXP_BITS;
    return (1 + reduced_expm1(r)) * power_of_two(half) * power_of_two(whole - half);
}

/* --- real_expm1: power_of_two, reduced_expm1 --- */

/* 2 (2^(n-1) (exp(r) - 1) + 2^(n-1) - 1/2): 2^(n-1) is never too large where the result is not. */
static inline real real_expm1(real x) {
    const real low = x > EXP_MOST ? EXP_MOST : x;
    const real y = low < -40 ? (real)-40 : low;
    const real shifted = y * (real)1.44269504088896340736 + EXP_SHIFT, n = shifted - EXP_SHIFT;
    const real r = (y - n * LOG2_HIGH) - n * LOG2_LOW;
    const real half = power_of_two(power_shift(shifted - 1));
    const real value = 2 * (half * reduced_expm1(r) + (half - (real)0.5));
    return x == 0 ? x : value;
}

/* --- real_tanh: real_expm1 --- */

static inline real real_tanh(real x) {
    const real y = REAL(fabs)(x);
    const real t = real_expm1(2 * (y > 22 ? (real)22 : y));
    return REAL(copysign)(t / (t + 2), x);
}

/* --- real_sigmoid: real_exp --- */

static inline real real_sigmoid(real x) {
    const real small = real_exp(-REAL(fabs)(x));
    return (x >= 0 ? (real)1 : small) / (1 + small);
}

/* --- real_log: exponents --- */

/* log(x) = n log(2) + log(m) with m near one, and log(m) = 2 atanh((m - 1) / (m + 1)) by its series. */
#if REAL_BITS == 32
static inline real real_log(real x) {
    const int small = x < 1.17549435e-38f;
    const real y = small ? x * 8388608.0f : x;
    uint32_t bits;
    memcpy(&bits, &y, sizeof bits);
    const uint32_t shifted = bits - 0x3f3504f3u;
    const int32_t n = (int32_t)shifted >> 23;
    bits -= (uint32_t)n << 23;
    real m;
    memcpy(&m, &bits, sizeof m);
    const real count = (real)(n - (small ? 23 : 0));
    const real f = m - 1, s = f / (2 + f), z = s * s, half = 0.5f * f * f;
    const real p = z * (0.66666668653f + z * (0.40000000596f + z * (0.28571429849f + z * 0.24279078841f)));
    const real value = count * LOG2_HIGH - ((half - (s * (half + p) + count * LOG2_LOW)) - f);
    return x == 0 ? -INFINITY : x < 0 ? NAN : x == INFINITY || x != x ? x : value;
}
#else
static inline real real_log(real x) {
    const int small = x < 2.2250738585072014e-308;
    const real y = small ? x * 18014398509481984.0 : x;
    uint64_t bits;
    memcpy(&bits, &y, sizeof bits);
    const uint64_t shifted = bits - 0x3fe6a09e667f3bcdull;
    const int64_t n = (int64_t)shifted >> 52;
    bits -= (uint64_t)n << 52;
    real m;
    memcpy(&m, &bits, sizeof m);
    const real count = (real)(n - (small ? 54 : 0));
    const real f = m - 1, s = f / (2 + f), z = s * s, half = 0.5 * f * f;
    const real p = z * (6.666666666666735130e-01 + z * (3.999999999940941908e-01 + z * (2.857142874366239149e-01
        + z * (2.222219843214978396e-01 + z * (1.818357216161805012e-01 + z * (1.531383769920937332e-01
        + z * 1.479819860511658591e-01))))));
    const real value = count * LOG2_HIGH - ((half - (s * (half + p) + count * LOG2_LOW)) - f);
    return x == 0 ? -INFINITY : x < 0 ? NAN : x == INFINITY || x != x ? x : value;
}
#endif

/* --- real_log1p: real_log --- */

static inline real real_log1p(real x) {
    const real u = 1 + x;
    const real lost = (x - (u - 1)) / u;
    return real_log(u) + (u > 0 && u < INFINITY ? lost : (real)0);
}

/* --- reduced_log1p --- */

/* log(1 + x) = 2 atanh(s) for 0 <= x <= 1, with s = x / (2 + x), as s^3 times the polynomial of least error in s^2. */
static inline real reduced_log1p(real x) {
    const real s = x / (2 + x), z = s * s;
#if REAL_BITS == 32
    real p = 0.26851498022837152f;
    p = p * z + 0.28236619805310481f;
    p = p * z + 0.40007560644911206f;
    p = p * z + 0.66666640336699239f;
#else
    real p = 0.16164045611943532;
    p = p * z + 0.088007384861446739;
    p = p * z + 0.12001072809590713;
    p = p * z + 0.13314144209654936;
    p = p * z + 0.15385570064958623;
    p = p * z + 0.18181789436132858;
    p = p * z + 0.22222222717427863;
    p = p * z + 0.28571428567108757;
    p = p * z + 0.40000000000014583;
    p = p * z + 0.66666666666666659;
#endif
    return x - s * (x - z * p);
}

/* --- real_softplus: real_exp, reduced_log1p, real_max --- */

static inline real real_softplus(real x) { return real_max(x, 0) + reduced_log1p(real_exp(-REAL(fabs)(x))); }

/* --- real_logsigmoid: real_exp, reduced_log1p, real_min --- */

static inline real real_logsigmoid(real x) { return real_min(x, 0) - reduced_log1p(real_exp(-REAL(fabs)(x))); }

/* --- real_logaddexp: real_exp, reduced_log1p, real_max --- */

static inline real real_logaddexp(real x, real y) {
    const real apart = x == y ? (real)0 : REAL(fabs)(x - y);
    return real_max(x, y) + reduced_log1p(real_exp(-apart));
}

/* --- real_sin --- */

static inline real real_sin(real x) { return REAL(sin)(x); }

/* --- real_cos --- */

static inline real real_cos(real x) { return REAL(cos)(x); }

/* --- real_tan --- */

static inline real real_tan(real x) { return REAL(tan)(x); }

/* --- real_sinh --- */

static inline real real_sinh(real x) { return REAL(sinh)(x); }

/* --- real_cosh --- */

static inline real real_cosh(real x) { return REAL(cosh)(x); }

/* --- real_atan --- */

static inline real real_atan(real x) { return REAL(atan)(x); }

/* --- real_erf --- */

static inline real real_erf(real x) { return REAL(erf)(x); }

/* --- real_pow --- */

static inline real real_pow(real x, real y) { return REAL(pow)(x, y); }

/* --- real_atan2 --- */

static inline real real_atan2(real y, real x) { return REAL(atan2)(y, x); }

/* --- real_mod --- */

static inline real real_mod(real x, real y) {
    const real rest = REAL(fmod)(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

/* --- real_floordiv: real_mod --- */

static inline real real_floordiv(real x, real y) {
    const real whole = (x - real_mod(x, y)) / y, below = REAL(floor)(whole);
    return y == 0 ? x / y : whole - below > (real)0.5 ? below + 1 : below;
}

/* --- eliminate --- */

/* right = inverse(system) right, by Gaussian elimination with the largest pivot of each column. */
static void eliminate(int size, real system[size][size], real right[size]) {
    for (int col = 0; col < size; col++) {
        int pivot = col;
        for (int row = col + 1; row < size; row++)
            if (REAL(fabs)(system[row][col]) > REAL(fabs)(system[pivot][col])) pivot = row;
        for (int other = 0; other < size; other++) {
            const real kept = system[col][other];
            system[col][other] = system[pivot][other];
            system[pivot][other] = kept;
        }
        const real kept = right[col];
        right[col] = right[pivot];
        right[pivot] = kept;
        for (int row = col + 1; row < size; row++) {
            const real factor = system[row][col] / system[col][col];
            for (int other = col; other < size; other++) system[row][other] -= factor * system[col][other];
            right[row] -= factor * right[col];
        }
    }
    for (int row = size - 1; row >= 0; row--) {
        for (int col = row + 1; col < size; col++) right[row] -= system[row][col] * right[col];
        right[row] /= system[row][row];
    }
}

/* --- eliminate_pairs --- */

/* (re + i im) / (b + i c), by the ratio of the divisor's parts, so that no square overflows. */
static inline void divide_pair(real *re, real *im, real b, real c) {
    const real x = *re, y = *im;
    if (REAL(fabs)(b) >= REAL(fabs)(c)) {
        const real ratio = c / b, size = b + c * ratio;
        *re = (x + y * ratio) / size, *im = (y - x * ratio) / size;
    } else {
        const real ratio = b / c, size = b * ratio + c;
        *re = (x * ratio + y) / size, *im = (y * ratio - x) / size;
    }
}

/* The same as `eliminate` for complex numbers: real parts, then imaginary ones. The largest pivot is that of the largest
 * sum of both, as in LAPACK. */
static void eliminate_pairs(int size, real system[2][size][size], real right[2][size]) {
    for (int col = 0; col < size; col++) {
        int pivot = col;
        real largest = -1;
        for (int row = col; row < size; row++) {
            const real here = REAL(fabs)(system[0][row][col]) + REAL(fabs)(system[1][row][col]);
            if (here > largest) largest = here, pivot = row;
        }
        for (int part = 0; part < 2; part++) {
            for (int other = 0; other < size; other++) {
                const real kept = system[part][col][other];
                system[part][col][other] = system[part][pivot][other];
                system[part][pivot][other] = kept;
            }
            const real kept = right[part][col];
            right[part][col] = right[part][pivot];
            right[part][pivot] = kept;
        }
        for (int row = col + 1; row < size; row++) {
            real re = system[0][row][col], im = system[1][row][col];
            divide_pair(&re, &im, system[0][col][col], system[1][col][col]);
            #pragma omp simd
            for (int other = col; other < size; other++) {
                system[0][row][other] -= re * system[0][col][other] - im * system[1][col][other];
                system[1][row][other] -= re * system[1][col][other] + im * system[0][col][other];
            }
            right[0][row] -= re * right[0][col] - im * right[1][col];
            right[1][row] -= re * right[1][col] + im * right[0][col];
        }
    }
    for (int row = size - 1; row >= 0; row--) {
        for (int col = row + 1; col < size; col++) {
            right[0][row] -= system[0][row][col] * right[0][col] - system[1][row][col] * right[1][col];
            right[1][row] -= system[0][row][col] * right[1][col] + system[1][row][col] * right[0][col];
        }
        divide_pair(&right[0][row], &right[1][row], system[0][row][row], system[1][row][row]);
    }
}

/* --- parts --- */

/* Threads that share a block: each has rows of its own, from `first` to before `end`, and some columns of every product.
   They meet before one needs what another has done. */
#include <sched.h>

struct team {
    int64_t arrived, turn;
    void *const *held;
    int64_t unused[5];
};

struct part {
    int rank, parts, first, end;
    struct team *team;
    const struct turned *turned; /* copies of matrices */
    int copies;
};

/* After the next ticket comes the number of parts of a block and, if it is not one, a team for each block. */
static inline struct part open_part(int64_t ticket, int64_t *next) {
    const int parts = (int)next[1], rank = (int)(ticket % parts);
    struct team *const teams = (struct team *)(next + 2);
    const int first = BLOCK_ROWS * rank / parts, end = BLOCK_ROWS * (rank + 1) / parts;
    return (struct part){rank, parts, first, end, &teams[ticket / parts], NULL, 0};
}

static inline void meet(const struct part *me) {
    if (me->parts == 1) return;
    struct team *const team = me->team;
    const int64_t turn = __atomic_load_n(&team->turn, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == me->parts) {
        __atomic_store_n(&team->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&team->turn, turn + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(&team->turn, __ATOMIC_ACQUIRE) == turn; spins++)
        if (spins > 2000) sched_yield();
}

/* What the first of a team has in its hands, for all of them. */
static inline void *const *share(const struct part *me, void *const *held) {
    if (me->parts == 1) return held;
    if (me->rank == 0) me->team->held = held;
    meet(me);
    return me->team->held;
}

/* The first of a part's columns; `columns` becomes the number of those before its end. */
static inline int own_columns(const struct part *me, int *columns, int unit) {
    const int units = (*columns + unit - 1) / unit, end = unit * (units * (me->rank + 1) / me->parts);
    if (end < *columns) *columns = end;
    return unit * (units * me->rank / me->parts);
}

/* --- vectors --- */

/* What a register holds. A sum of all of its lanes is taken in halves; VECTOR_LANES of them are taken at once. */
#ifdef __AVX512F__
#define VECTOR_BYTES 64
#elif defined __AVX__
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#define VECTOR_LANES (VECTOR_BYTES * 8 / REAL_BITS)
typedef real register_vector __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BITS / 8), may_alias));
#define VECTOR_AT(at) (*(register_vector *)(at))
#define CONSTANT_VECTOR_AT(at) (*(const register_vector *)(at))

#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(...) __builtin_shufflevector(__VA_ARGS__)
#if VECTOR_LANES == 16
#define PAIR_1(x, y) (SHUFFLE(x, y, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) \
    + SHUFFLE(x, y, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
#define PAIR_2(x, y) (SHUFFLE(x, y, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) \
    + SHUFFLE(x, y, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
#define PAIR_4(x, y) (SHUFFLE(x, y, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) \
    + SHUFFLE(x, y, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31))
#define PAIR_8(x, y) (SHUFFLE(x, y, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) \
    + SHUFFLE(x, y, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31))
#elif VECTOR_LANES == 8
#define PAIR_1(x, y) (SHUFFLE(x, y, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(x, y, 4, 5, 6, 7, 12, 13, 14, 15))
#define PAIR_2(x, y) (SHUFFLE(x, y, 0, 1, 4, 5, 8, 9, 12, 13) + SHUFFLE(x, y, 2, 3, 6, 7, 10, 11, 14, 15))
#define PAIR_4(x, y) (SHUFFLE(x, y, 0, 2, 4, 6, 8, 10, 12, 14) + SHUFFLE(x, y, 1, 3, 5, 7, 9, 11, 13, 15))
#elif VECTOR_LANES == 4
#define PAIR_1(x, y) (SHUFFLE(x, y, 0, 1, 4, 5) + SHUFFLE(x, y, 2, 3, 6, 7))
#define PAIR_2(x, y) (SHUFFLE(x, y, 0, 2, 4, 6) + SHUFFLE(x, y, 1, 3, 5, 7))
#elif VECTOR_LANES == 2
#define PAIR_1(x, y) (SHUFFLE(x, y, 0, 2) + SHUFFLE(x, y, 1, 3))
#endif
#endif
#endif

/* The sums of VECTOR_LANES vectors, in order. */
static inline __attribute__((always_inline)) register_vector sums_of(register_vector *lanes) {
#ifdef SHUFFLE
#define HALVED(count, pair) \
    if (VECTOR_LANES >= 2 * count) \
        for (int at = 0; at < count; at++) lanes[at] = pair(lanes[2 * at], lanes[2 * at + 1]);
#if VECTOR_LANES == 16
    HALVED(8, PAIR_1) HALVED(4, PAIR_2) HALVED(2, PAIR_4) HALVED(1, PAIR_8)
#elif VECTOR_LANES == 8
    HALVED(4, PAIR_1) HALVED(2, PAIR_2) HALVED(1, PAIR_4)
#elif VECTOR_LANES == 4
    HALVED(2, PAIR_1) HALVED(1, PAIR_2)
#else
    HALVED(1, PAIR_1)
#endif
    return lanes[0];
#else
    real sums[VECTOR_LANES];
    for (int at = 0; at < VECTOR_LANES; at++) {
        real *const own = (real *)&lanes[at];
        for (int half = VECTOR_LANES / 2; half > 0; half /= 2)
            for (int lane = 0; lane < half; lane++) own[lane] += own[lane + half];
        sums[at] = own[0];
    }
    return VECTOR_AT(sums);
#endif
}

/* --- stretches: parts --- */

/* Products that need not be done step by step are done for 64 rows or more at once, which read a matrix together, but
   not for so many that what they are made of and make, `bytes` a step, goes far away. */
#define STRETCH_BYTES ((size_t)1 << 21)
#define STRETCH_LEAST (64 / BLOCK_ROWS)
#define STRETCH(bytes) \
    ((int)((bytes) * STRETCH_LEAST >= STRETCH_BYTES ? STRETCH_LEAST \
        : (bytes) * 64 <= STRETCH_BYTES ? 64 : STRETCH_BYTES / (bytes) / 8 * 8))

/* A part of the rows of several steps. */
static inline struct part widened(const struct part *me, int rows) {
    struct part wide = *me;
    wide.first = rows * me->rank / me->parts, wide.end = rows * (me->rank + 1) / me->parts;
    return wide;
}

/* --- multiply: vectors, parts --- */

/* `y[row, j] (+)= sum over k of x[row, k] * w[k, j]` for a few rows and vectors of columns, all sums in registers.
   Each is taken in one order, whatever rows it is computed with. */
static inline __attribute__((always_inline)) void multiply_few(
    const int rows, const int vectors, int inner, const real *x, int64_t x_row, int64_t x_inner, const real *w,
    int64_t w_inner, real *y, int64_t y_row, int add, int kept) {
    register_vector sums[8][8];
    for (int row = 0; row < rows; row++)
        for (int v = 0; v < vectors; v++)
            sums[row][v] = add ? CONSTANT_VECTOR_AT(y + row * y_row + v * VECTOR_LANES) : (register_vector){0};
    for (int k = 0; k < inner; k++) {
        register_vector right[8];
        for (int v = 0; v < vectors; v++) {
            right[v] = CONSTANT_VECTOR_AT(w + k * w_inner + v * VECTOR_LANES);
            __builtin_prefetch(w + (k + 8) * w_inner + v * VECTOR_LANES); /* pages apart: nothing else asks for it */
        }
        for (int row = 0; row < rows; row++)
            for (int v = 0; v < vectors; v++) sums[row][v] += x[row * x_row + k * x_inner] * right[v];
    }
    for (int row = 0; row < rows; row++)
        for (int v = 0; v < vectors; v++) {
            real *const at = y + row * y_row + v * VECTOR_LANES;
            if (kept == 0) VECTOR_AT(at) = sums[row][v];
            else memcpy(at + kept, (real *)&sums[row][v] + kept, (VECTOR_LANES - kept) * sizeof(real));
        }
}

/* The same for any number of rows; the first `kept` of the columns stay as they are. */
static inline __attribute__((always_inline)) void multiply_rows(
    int rows, const int vectors, int inner, const real *x, int64_t x_row, int64_t x_inner, const real *w,
    int64_t w_inner, real *y, int64_t y_row, int add, int kept) {
    int row = 0;
#define MULTIPLY_ROWS(few) \
    for (; row + few <= rows; row += few) \
        multiply_few(few, vectors, inner, x + row * x_row, x_row, x_inner, w, w_inner, y + row * y_row, y_row, add, kept);
#ifdef __AVX512F__
    MULTIPLY_ROWS(8)
#endif
    MULTIPLY_ROWS(4) MULTIPLY_ROWS(2) MULTIPLY_ROWS(1)
}

static void multiply(
    const struct part *me, int rows, int inner, int columns, const real *x, int64_t x_row, int64_t x_inner, const real *w, int64_t w_inner,
    real *y, int64_t y_row, int add) {
    int at = own_columns(me, &columns, 2 * VECTOR_LANES);
    w += at, y += at, columns -= at, at = 0;
    if (rows < 4)
        for (; at + 8 * VECTOR_LANES <= columns; at += 8 * VECTOR_LANES)
            multiply_rows(rows, 8, inner, x, x_row, x_inner, w + at, w_inner, y + at, y_row, add, 0);
    if (rows < 8)
        for (; at + 4 * VECTOR_LANES <= columns; at += 4 * VECTOR_LANES)
            multiply_rows(rows, 4, inner, x, x_row, x_inner, w + at, w_inner, y + at, y_row, add, 0);
    for (; at + 2 * VECTOR_LANES <= columns; at += 2 * VECTOR_LANES)
        multiply_rows(rows, 2, inner, x, x_row, x_inner, w + at, w_inner, y + at, y_row, add, 0);
    for (; at + VECTOR_LANES <= columns; at += VECTOR_LANES)
        multiply_rows(rows, 1, inner, x, x_row, x_inner, w + at, w_inner, y + at, y_row, add, 0);
    if (at < columns && columns >= VECTOR_LANES) {
        const int last = columns - VECTOR_LANES;
        multiply_rows(rows, 1, inner, x, x_row, x_inner, w + last, w_inner, y + last, y_row, add, at - last);
        return;
    }
    for (int row = 0; row < rows && at < columns; row++) {
        real sums[VECTOR_LANES];
        for (int j = 0; j < columns; j++) sums[j] = add ? y[row * y_row + j] : 0;
        for (int k = 0; k < inner; k++)
            for (int j = 0; j < columns; j++) sums[j] += x[row * x_row + k * x_inner] * w[k * w_inner + j];
        for (int j = 0; j < columns; j++) y[row * y_row + j] = sums[j];
    }
}

/* --- multiply_turned: vectors, parts, multiply --- */

/* A matrix that is multiplied by its rows may be turned once for many steps, for as many as its copy pays from. */
#define TURNED_STEPS 128
struct turned {
    const real *of;
    real *copy;
    int64_t matrices;
    int rows, columns;
};

/* Copies are made by all threads that share a block. */
static void turn(struct part *me, const struct turned *turned, int copies) {
    for (int i = 0; i < copies; i++)
        for (int64_t matrix = 0; matrix < turned[i].matrices; matrix++) {
            const int columns = turned[i].columns;
            int rows = turned[i].rows;
            const real *const of = turned[i].of + matrix * rows * columns;
            real *const copy = turned[i].copy + matrix * rows * columns;
            const int begin = own_columns(me, &rows, VECTOR_LANES);
            for (int row = begin; row < rows; row += VECTOR_LANES)
                for (int column = 0; column < columns; column += VECTOR_LANES)
                    for (int k = column; k < columns && k < column + VECTOR_LANES; k++)
                        for (int j = row; j < rows && j < row + VECTOR_LANES; j++)
                            copy[(int64_t)k * turned[i].rows + j] = of[(int64_t)j * columns + k];
        }
    me->turned = turned, me->copies = copies;
    meet(me);
}

/* The last elements of a row that are no whole vector, and zeros. */
static inline __attribute__((always_inline)) register_vector rest_of(const real *row, int count) {
    register_vector rest = {0};
    memcpy(&rest, row + count - count % VECTOR_LANES, (count % VECTOR_LANES) * sizeof(real));
    return rest;
}

/* `y[row, j] = sum over k of x[row, k] * w[j, k]` for a few rows and columns, one vector of sums each; of the columns
   only `there` exist. */
static inline __attribute__((always_inline)) void multiply_few_turned(
    const int rows, int inner, const real *x, int64_t x_row, const real *w, int64_t w_row, real *y, int64_t y_row,
    int there) {
    const int columns = VECTOR_LANES / rows;
    register_vector sums[VECTOR_LANES] = {{0}};
    const real *at[VECTOR_LANES];
    for (int j = 0; j < columns; j++) at[j] = w + (j < there ? j : there - 1) * w_row;
    for (int k = 0; k + VECTOR_LANES <= inner; k += VECTOR_LANES)
        for (int row = 0; row < rows; row++) {
            const register_vector left = CONSTANT_VECTOR_AT(x + row * x_row + k);
            for (int j = 0; j < columns; j++) sums[row * columns + j] += left * CONSTANT_VECTOR_AT(at[j] + k);
        }
    if (inner % VECTOR_LANES)
        for (int row = 0; row < rows; row++) {
            const register_vector left = rest_of(x + row * x_row, inner);
            for (int j = 0; j < columns; j++) sums[row * columns + j] += left * rest_of(at[j], inner);
        }
    const register_vector all = sums_of(sums);
    for (int row = 0; row < rows; row++)
        if (there >= columns) memcpy(y + row * y_row, (const real *)&all + row * columns, columns * sizeof(real));
        else memcpy(y + row * y_row, (const real *)&all + row * columns, there * sizeof(real));
}

static void multiply_turned(
    const struct part *me, int rows, int inner, int columns, const real *x, int64_t x_row, const real *w, int64_t w_row, real *y,
    int64_t y_row) {
    for (int i = 0; i < me->copies; i++) {
        const struct turned *const own = &me->turned[i];
        if (w < own->of || w >= own->of + own->matrices * own->rows * own->columns) continue;
        multiply(me, rows, inner, columns, x, x_row, 1, own->copy + (w - own->of), columns, y, y_row, 0);
        return;
    }
#define MULTIPLY_TURNED(few) \
    if (2 * few <= VECTOR_LANES || few == 1) \
        for (; row + few <= rows; row += few) \
            for (int j = 0; j < columns; j += VECTOR_LANES / few) \
                multiply_few_turned( \
                    few, inner, x + row * x_row, x_row, w + j * w_row, w_row, y + row * y_row + j, y_row, columns - j);
    const int at = own_columns(me, &columns, VECTOR_LANES);
    int row = 0;
    w += at * w_row, y += at, columns -= at;
    MULTIPLY_TURNED(8) MULTIPLY_TURNED(4) MULTIPLY_TURNED(2) MULTIPLY_TURNED(1)
}

/* --- loading --- */

/* A step's values as `real`: where they lie if they are that already, else converted into a buffer, and back. */
static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float with_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float from_bfloat16(bfloat16 x) { return with_bits((uint32_t)x.bits << 16); }

static inline bfloat16 to_bfloat16(float x) {
    const uint32_t bits = bits_of(x), rounded = bits + 0x7fffu + ((bits >> 16) & 1);
    return (bfloat16){(uint16_t)((x != x ? 0x7fc00000u : rounded) >> 16)};
}

static inline float from_float16(float16 x) {
    const uint32_t sign = (uint32_t)(x.bits & 0x8000) << 16, rest = (uint32_t)(x.bits & 0x7fff) << 13;
    const uint32_t finite = bits_of(with_bits(rest) * 0x1p112f);
    return with_bits(sign | (rest >= 0x0f800000u ? rest | 0x7f800000u : finite));
}

static inline float16 to_float16(float x) {
    const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    const uint32_t normal = (size - (112u << 23) + 0xfffu + ((size >> 13) & 1)) >> 13;
    const uint32_t small = bits_of(with_bits(size) + 0.5f) - bits_of(0.5f);
    const uint32_t large = size > 0x7f800000u ? 0x7e00 : 0x7c00;
    return (float16){(uint16_t)(sign | (size >= 0x477ff000u ? large : size < 0x38800000u ? small : normal))};
}

static inline const real *load_real(real *buffer, const real *from, int64_t count) {
    (void)buffer, (void)count;
    return from;
}

static inline const real *load_bfloat16(real *buffer, const bfloat16 *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) buffer[i] = from_bfloat16(from[i]);
    return buffer;
}

static inline const real *load_float16(real *buffer, const float16 *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) buffer[i] = from_float16(from[i]);
    return buffer;
}

static inline const real *load_other(real *buffer, const other *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) buffer[i] = (real)from[i];
    return buffer;
}

#define LOAD(buffer, from, count) _Generic((from), const real *: load_real, const other *: load_other, \
    const bfloat16 *: load_bfloat16, const float16 *: load_float16)(buffer, from, count)

static inline real *place_real(real *buffer, real *to) {
    (void)buffer;
    return to;
}

static inline real *place_bfloat16(real *buffer, bfloat16 *to) {
    (void)to;
    return buffer;
}

static inline real *place_float16(real *buffer, float16 *to) {
    (void)to;
    return buffer;
}

static inline real *place_other(real *buffer, other *to) {
    (void)to;
    return buffer;
}

#define PLACE(buffer, to) _Generic((to), real *: place_real, other *: place_other, \
    bfloat16 *: place_bfloat16, float16 *: place_float16)(buffer, to)

static inline void store_real(real *to, const real *from, int64_t count) { (void)to, (void)from, (void)count; }

static inline void store_bfloat16(bfloat16 *to, const real *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] = to_bfloat16((float)from[i]);
}

static inline void store_float16(float16 *to, const real *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] = to_float16((float)from[i]);
}

static inline void store_other(other *to, const real *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[i] = (other)from[i];
}

#define STORE(to, from, count) _Generic((to), real *: store_real, other *: store_other, \
    bfloat16 *: store_bfloat16, float16 *: store_float16)(to, from, count)

static inline void load_pair(real *re, real *im, const real *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) re[i] = from[2 * i], im[i] = from[2 * i + 1];
}

static inline void store_pair(real *to, const real *re, const real *im, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[2 * i] = re[i], to[2 * i + 1] = im[i];
}

/* --- rows --- */

/* Steps of a row that do not lie one after the other, or are read backwards, are asked for early: processors see no
 * pattern in them. One step ahead is enough where steps take long: they work on much memory. */
#define AHEAD (sizeof *m < 16384 ? 4 : 1)
#define FETCH(from, backwards, stride, count, write) \
    if ((backwards) || (stride) != (count)) \
        for (size_t byte = 0; byte < (size_t)(count) * sizeof *(from); byte += 64) \
            __builtin_prefetch((const char *)((from) + ((backwards) ? -AHEAD : AHEAD) * (stride)) + byte, write)

/* What a call is told of its shape, at these places; the sizes of the lanes follow. */
enum { ROWS, STEPS, REVERSE, TILE_STEPS, LANE_COUNT, LANE_RANK, LANE_SIZES };

/* The next row that no thread has begun. */
static inline int64_t claim(int64_t *next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }

/* Where a row of a tensor begins, from its strides over time, sequences and lanes, `begin` steps late. */
static inline int64_t origin(int64_t row, const int64_t *shape, const int64_t *stride, int64_t begin) {
    int64_t at = row / shape[LANE_COUNT] * stride[1] + begin * stride[0], lane = row % shape[LANE_COUNT];
    for (int64_t i = shape[LANE_RANK] - 1; i >= 0; i--) {
        at += lane % shape[LANE_SIZES + i] * stride[2 + i];
        lane /= shape[LANE_SIZES + i];
    }
    return at;
}

static void *allocate(size_t size) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, size) ? NULL : memory;
}

/* --- blocks --- */

/* Rows that are walked side by side, all on one lane: how many there are, the steps of the longest, and of each its
   number, where it begins, its steps and its first tile. Those beyond the last sequence have no steps. Where something is
   kept of all steps, that of a block begins at `path`. */
struct block {
    int rows;
    int64_t longest, path, row[BLOCK_ROWS], begin[BLOCK_ROWS], count[BLOCK_ROWS], first[BLOCK_ROWS];
};

static inline int64_t count_blocks(const int64_t *shape) {
    const int64_t lanes = shape[LANE_COUNT];
    return lanes ? (shape[ROWS] / lanes + BLOCK_ROWS - 1) / BLOCK_ROWS * lanes : 0;
}

static inline struct block open_block(
    int64_t number, const int64_t *shape, const int64_t *bounds, const int64_t *tiles) {
    const int64_t lanes = shape[LANE_COUNT], first = number / lanes * BLOCK_ROWS, left = shape[ROWS] / lanes - first;
    struct block block = {.rows = left < BLOCK_ROWS ? (int)left : BLOCK_ROWS};
    for (int row = 0; row < BLOCK_ROWS; row++) {
        const int64_t sequence = row < block.rows ? first + row : first;
        block.row[row] = sequence * lanes + number % lanes;
        block.begin[row] = bounds ? bounds[sequence] : 0;
        block.count[row] = row >= block.rows ? 0 : bounds ? bounds[sequence + 1] - bounds[sequence] : shape[STEPS];
        block.first[row] = tiles ? tiles[sequence] : 0;
        if (block.count[row] > block.longest) block.longest = block.count[row];
    }
    block.path = number * shape[STEPS];
    if (bounds) {
        const int64_t begin = bounds[first], end = bounds[first + block.rows];
        block.path = begin * lanes + number % lanes * (end - begin);
    }
    return block;
}

/* --- lanes --- */

/* Rows that are walked side by side, one in each lane: consecutive ones, those of one sequence where these fill a group
 * or where sequences are packed. Lanes without a row repeat the first one, and what they compute is not stored. */
struct group {
    int rows;
    int64_t row, begin, count, first;
};

static inline int by_sequence(const int64_t *shape, const int64_t *bounds) {
    return bounds || shape[LANE_COUNT] >= GROUP_LANES;
}

static inline int64_t count_groups(const int64_t *shape, const int64_t *bounds) {
    const int64_t lanes = shape[LANE_COUNT];
    if (!by_sequence(shape, bounds)) return (shape[ROWS] + GROUP_LANES - 1) / GROUP_LANES;
    return lanes ? shape[ROWS] / lanes * ((lanes + GROUP_LANES - 1) / GROUP_LANES) : 0;
}

static inline struct group open_group(
    int64_t number, const int64_t *shape, const int64_t *bounds, const int64_t *tiles) {
    const int64_t lanes = by_sequence(shape, bounds) ? shape[LANE_COUNT] : shape[ROWS];
    const int64_t each = (lanes + GROUP_LANES - 1) / GROUP_LANES, part = number / each, lane = number % each * GROUP_LANES;
    return (struct group){
        .rows = lanes - lane < GROUP_LANES ? (int)(lanes - lane) : GROUP_LANES,
        .row = part * lanes + lane,
        .begin = bounds ? bounds[part] : 0,
        .count = bounds ? bounds[part + 1] - bounds[part] : shape[STEPS],
        .first = tiles ? tiles[part] : 0,
    };
}

/* Where each lane of a tensor begins: all at the same place, one after the other, or apart. */
enum { SAME_LANES, NEXT_LANES, APART_LANES };
struct view { int kind; int64_t at[GROUP_LANES]; };

static struct view view_of(
    const struct group *group, const int64_t *shape, const int64_t *stride, int64_t begin, int64_t features) {
    const int64_t rank = shape[LANE_RANK], last = rank ? shape[LANE_SIZES + rank - 1] : shape[ROWS];
    int64_t left = 0;
    struct view view;
    int same = 1, next = 1;
    for (int lane = 0; lane < GROUP_LANES; lane++, left--) {
        if (lane >= group->rows) {
            view.at[lane] = view.at[0];
            continue;
        }
        view.at[lane] = left > 0 ? view.at[lane - 1] + stride[1 + rank] : origin(group->row + lane, shape, stride, begin);
        if (left <= 0) left = last - (group->row + lane) % last;
        same &= view.at[lane] == view.at[0];
        next &= view.at[lane] == view.at[0] + lane * features;
    }
    view.kind = next ? NEXT_LANES : same ? SAME_LANES : APART_LANES;
    return view;
}

/* Steps of all lanes of a group, as numbers that lie `[step][part][feature][lane]`: read where they are if they lie so,
 * else copied there and back. A complex number has two parts. */
static inline real from_real(real x) { return x; }
static inline real to_real(real x) { return x; }
static inline real from_other(other x) { return (real)x; }
static inline other to_other(real x) { return (other)x; }

#define IN_PLACE(view, from, numbers, lanes) \
    (_Generic((from), real *: 1, const real *: 1, default: 0) && (numbers) == 1 && (lanes) == GROUP_LANES \
        && (view).kind == NEXT_LANES)
/* Some of a vector's lanes, in pieces whose sizes are known. */
static inline void copy_lanes(real *to, const real *from, int lanes) {
#define COPY_LANES(some) if (some <= GROUP_LANES && (lanes & some)) memcpy(to, from, some * sizeof(real)), to += some, from += some;
    COPY_LANES(64) COPY_LANES(32) COPY_LANES(16) COPY_LANES(8) COPY_LANES(4) COPY_LANES(2) COPY_LANES(1)
}
#define ROW_OF(type) \
    static inline void row_in_##type(real *to, const type *from, int lanes) { \
        for (int lane = 0; lane < lanes; lane++) to[lane] = from_##type(from[lane]); \
    } \
    static inline void row_out_##type(type *to, const real *from, int lanes) { \
        for (int lane = 0; lane < lanes; lane++) to[lane] = to_##type(from[lane]); \
    }
ROW_OF(other) ROW_OF(bfloat16) ROW_OF(float16)
#define ROW_IN(of, ...) _Generic((of), const real *: copy_lanes, const other *: row_in_other, \
    const bfloat16 *: row_in_bfloat16, const float16 *: row_in_float16)(__VA_ARGS__)
#define ROW_OUT(of, ...) _Generic((of), real *: copy_lanes, other *: row_out_other, \
    bfloat16 *: row_out_bfloat16, float16 *: row_out_float16)(__VA_ARGS__)

#define MOVE_LANES(type) \
    static inline __attribute__((always_inline)) void load_lanes_##type( \
        real *to, const type *from, const struct view *view, int64_t at, int64_t step, int64_t steps, int lanes, \
        int features, int parts) { \
        const int numbers = features * parts; \
        if (view->kind == APART_LANES) fetch_lanes(from + parts * (at + steps * step), parts * sizeof *from, view, step, steps); \
        for (int i = 0; i < numbers; i++) { \
            const type *const own = from + parts * at + i % features * parts + i / features; \
            real *const into = to + i * GROUP_LANES; \
            const int copied = view->kind == SAME_LANES ? 1 : lanes; \
            if (view->kind == APART_LANES) { \
                const int64_t done = numbers == 1 && step == 1 ? TURN(turn_in, own, into, own, view, steps, GROUP_LANES) : 0; \
                for (int lane = 0; lane < GROUP_LANES; lane++) \
                    for (int64_t n = done; n < steps; n++) \
                        into[n * numbers * GROUP_LANES + lane] = from_##type(own[parts * (view->at[lane] + n * step)]); \
            } else \
                for (int64_t n = 0; n < steps; n++) { \
                    const type *const here = own + parts * (view->at[0] + n * step); \
                    real *const row = into + n * numbers * GROUP_LANES; \
                    const real first = from_##type(*here); \
                    for (int lane = 0; lane < GROUP_LANES; lane++) row[lane] = first; \
                    if (numbers == 1 && copied > 1) ROW_IN(here, row, here, copied); \
                    else for (int lane = 1; lane < copied; lane++) row[lane] = from_##type(here[lane * numbers]); \
                } \
        } \
    } \
    static inline __attribute__((always_inline)) void store_lanes_##type( \
        type *to, const real *from, const struct view *view, int64_t at, int64_t step, int64_t steps, int lanes, \
        int features, int parts) { \
        const int numbers = features * parts; \
        for (int i = 0; i < numbers; i++) { \
            type *const own = to + parts * at + i % features * parts + i / features; \
            const real *const of = from + i * GROUP_LANES; \
            if (view->kind == NEXT_LANES && lanes > 1) \
                for (int64_t n = 0; n < steps; n++) { \
                    type *const here = own + parts * (view->at[0] + n * step); \
                    const real *const row = of + n * numbers * GROUP_LANES; \
                    if (numbers == 1) ROW_OUT(here, here, row, lanes); \
                    else for (int lane = 0; lane < lanes; lane++) here[lane * numbers] = to_##type(row[lane]); \
                } \
            else { \
                const int64_t done = numbers == 1 && step == 1 ? TURN(turn_out, own, own, of, view, steps, lanes) : 0; \
                for (int lane = 0; lane < lanes; lane++) \
                    for (int64_t n = done; n < steps; n++) \
                        own[parts * (view->at[lane] + n * step)] = to_##type(of[n * numbers * GROUP_LANES + lane]); \
            } \
        } \
    }

/* Lanes whose steps lie one after the other are turned in squares; returns how many steps were. */
enum { SQUARE = 64 / sizeof(real) };
#if defined __AVX512F__ && (defined __clang__ || __GNUC__ >= 12)
typedef real square_row __attribute__((vector_size(64), aligned(4), may_alias));

/* Interleaving the first half of the rows with the second as often as a row's length is halved turns a square. */
static inline __attribute__((always_inline)) void turn_square(square_row *v) {
    for (int length = SQUARE; length > 1; length /= 2) {
        square_row next[SQUARE];
        for (int i = 0; i < SQUARE / 2; i++) {
            const square_row a = v[i], b = v[i + SQUARE / 2];
#if REAL_BITS == 32
            next[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            next[2 * i + 1] = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#else
            next[2 * i] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
            next[2 * i + 1] = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#endif
        }
        for (int i = 0; i < SQUARE; i++) v[i] = next[i];
    }
}

static int64_t turn_in(real *to, const real *from, const struct view *view, int64_t steps, int lanes) {
    if (GROUP_LANES % SQUARE) return 0;
    int64_t n = 0;
    for (; n + SQUARE <= steps; n += SQUARE)
        for (int lane = 0; lane < GROUP_LANES; lane += SQUARE) {
            square_row v[SQUARE];
            for (int i = 0; i < SQUARE; i++) v[i] = *(const square_row *)(from + view->at[lane + i] + n);
            turn_square(v);
            for (int i = 0; i < SQUARE; i++) *(square_row *)(to + (n + i) * GROUP_LANES + lane) = v[i];
        }
    return n;
}

static int64_t turn_out(real *to, const real *from, const struct view *view, int64_t steps, int lanes) {
    if (lanes % SQUARE) return 0;
    int64_t n = 0;
    for (; n + SQUARE <= steps; n += SQUARE)
        for (int lane = 0; lane < lanes; lane += SQUARE) {
            square_row v[SQUARE];
            for (int i = 0; i < SQUARE; i++) v[i] = *(const square_row *)(from + (n + i) * GROUP_LANES + lane);
            turn_square(v);
            for (int i = 0; i < SQUARE; i++) *(square_row *)(to + view->at[lane + i] + n) = v[i];
        }
    return n;
}
#else
static int64_t turn_in(real *to, const real *from, const struct view *view, int64_t steps, int lanes) { return 0; }
static int64_t turn_out(real *to, const real *from, const struct view *view, int64_t steps, int lanes) { return 0; }
#endif
#define TURN(turn, of, to, from, ...) \
    (_Generic((of), real *: 1, const real *: 1, default: 0) ? turn((real *)(to), (const real *)(from), __VA_ARGS__) : 0)

/* The steps of the next tile are asked for while these are read: processors see no pattern in so many rows. */
static inline void fetch_lanes(
    const void *from, int size, const struct view *view, int64_t step, int64_t steps) {
    const int64_t bytes = (step < 0 ? -step : step) * size, line = bytes < 64 ? 64 / (bytes + !bytes) : 1;
    for (int lane = 0; lane < GROUP_LANES; lane++)
        for (int64_t n = 0; n < steps; n += line)
            __builtin_prefetch((const char *)from + (view->at[lane] + n * step) * size);
}

MOVE_LANES(real) MOVE_LANES(other) MOVE_LANES(bfloat16) MOVE_LANES(float16)

#define LOAD_LANES(to, from, ...) _Generic((from), const real *: load_lanes_real, const other *: load_lanes_other, \
    const bfloat16 *: load_lanes_bfloat16, const float16 *: load_lanes_float16)(to, from, __VA_ARGS__)
#define STORE_LANES(to, from, ...) _Generic((to), real *: store_lanes_real, other *: store_lanes_other, \
    bfloat16 *: store_lanes_bfloat16, float16 *: store_lanes_float16)(to, from, __VA_ARGS__)
