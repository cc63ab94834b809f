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
#define TILE(size) ((size) <= TILE_LANES ? (size) : (size) % TILE_LANES == 0 ? TILE_LANES \
    : (size) % (TILE_LANES / 2) == 0 ? TILE_LANES / 2 : (size) % (TILE_LANES / 4) == 0 ? TILE_LANES / 4 : TILE_LANES)
#define LANES(size, first) ((size) % TILE(size) == 0 || (size) - (first) >= TILE(size) ? TILE(size) : (size) - (first))

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

/* --- fold_sum: fold --- */

/* Whole vectors are added first; compilers make better code of this than of a reduction of theirs. */
typedef real whole_vector __attribute__((vector_size(64), aligned(4), may_alias));
typedef real half_vector __attribute__((vector_size(32), aligned(4), may_alias));
typedef real quarter_vector __attribute__((vector_size(16), aligned(4), may_alias));

static inline real fold_sum(real *lanes, int count) {
    enum { WIDTH = 64 / sizeof(real) };
    if (count > 0 && count % WIDTH == 0) {
        whole_vector sum = *(whole_vector *)lanes;
        for (int at = WIDTH; at < count; at += WIDTH) sum += *(whole_vector *)(lanes + at);
        real part[WIDTH] __attribute__((aligned(64)));
        *(whole_vector *)part = sum;
        *(half_vector *)part += *(half_vector *)(part + WIDTH / 2);
        const quarter_vector last = *(quarter_vector *)part + *(quarter_vector *)(part + WIDTH / 4);
#if REAL_BITS == 32
        return (last[0] + last[2]) + (last[1] + last[3]);
#else
        return last[0] + last[1];
#endif
    }
    FOLD(PLUS)
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

/* --- scaled --- */

/* x * 2^n for a whole number n that a result, or a subnormal one, can have; in two steps, so that neither overflows. */
#if REAL_BITS == 32
static inline real power_of_two(int32_t n) {
    const uint32_t bits = (uint32_t)(n + 127) << 23;
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline real scaled(real x, real n) {
    const int32_t whole = (int32_t)n, half = whole >> 1;
    return x * power_of_two(half) * power_of_two(whole - half);
}
#else
static inline real power_of_two(int64_t n) {
    const uint64_t bits = (uint64_t)(n + 1023) << 52;
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline real scaled(real x, real n) {
    const int64_t whole = (int64_t)n, half = whole >> 1;
    return x * power_of_two(half) * power_of_two(whole - half);
}
#endif

/* --- reduced_expm1 --- */

/* exp(x) - 1 for abs(x) <= log(2) / 2: its Taylor polynomial. */
static inline real reduced_expm1(real x) {
#if REAL_BITS == 32
    real p = (real)(1.0 / 5040);
#else
    real p = (real)(1.0 / 6227020800.0);
    p = p * x + (real)(1.0 / 479001600);
    p = p * x + (real)(1.0 / 39916800);
    p = p * x + (real)(1.0 / 3628800);
    p = p * x + (real)(1.0 / 362880);
    p = p * x + (real)(1.0 / 40320);
    p = p * x + (real)(1.0 / 5040);
#endif
    p = p * x + (real)(1.0 / 720);
    p = p * x + (real)(1.0 / 120);
    p = p * x + (real)(1.0 / 24);
    p = p * x + (real)(1.0 / 6);
    p = p * x + (real)0.5;
    return p * x * x + x;
}

/* --- log2_parts --- */

/* log(2) in two parts, the first with few bits, so that its products with small whole numbers are exact. */
#if REAL_BITS == 32
#define LOG2_HIGH 0.693359375f
#define LOG2_LOW -2.12194440e-4f
#define EXP_MOST 89.0f
#define EXP_LEAST -104.0f
#else
#define LOG2_HIGH 6.93147180369123816490e-01
#define LOG2_LOW 1.90821492927058770002e-10
#define EXP_MOST 710.0
#define EXP_LEAST -746.0
#endif

/* --- real_exp: scaled, reduced_expm1, log2_parts --- */

static inline real real_exp(real x) {
    const real y = x > EXP_MOST ? EXP_MOST : x < EXP_LEAST ? EXP_LEAST : x;
    const real n = REAL(rint)(y * (real)1.44269504088896340736);
    const real r = (y - n * LOG2_HIGH) - n * LOG2_LOW;
    return scaled(1 + reduced_expm1(r), n);
}

/* --- real_expm1: scaled, reduced_expm1, log2_parts --- */

static inline real real_expm1(real x) {
    const real y = x > EXP_MOST ? EXP_MOST : x < EXP_LEAST ? EXP_LEAST : x;
    const real n = REAL(rint)(y * (real)1.44269504088896340736);
    const real r = (y - n * LOG2_HIGH) - n * LOG2_LOW;
    const real p = reduced_expm1(r);
    const real whole = scaled(1, n);
    return n == 0 ? (x == 0 ? x : p) : x > 80 ? scaled(1 + p, n) : whole * p + (whole - 1);
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

/* --- real_log: log2_parts --- */

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

/* --- real_softplus: real_exp, real_log1p, real_max --- */

static inline real real_softplus(real x) { return real_max(x, 0) + real_log1p(real_exp(-REAL(fabs)(x))); }

/* --- real_logsigmoid: real_exp, real_log1p, real_min --- */

static inline real real_logsigmoid(real x) { return real_min(x, 0) - real_log1p(real_exp(-REAL(fabs)(x))); }

/* --- real_logaddexp: real_exp, real_log1p, real_max --- */

static inline real real_logaddexp(real x, real y) {
    const real apart = x == y ? (real)0 : REAL(fabs)(x - y);
    return real_max(x, y) + real_log1p(real_exp(-apart));
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

/* Steps of a row that do not lie one after the other are asked for early: processors see no pattern in them. */
enum { AHEAD = 4 };
#define FETCH(from, backwards, stride, count, write) \
    if ((stride) != (count)) \
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
