/* What the table of instructions is written in: PTX's types and its arithmetic, to the bit.

   Types have the names that PTX gives them. A register holds bits; `as_f32` and its kind read them
   as a number. Compile without contraction, and with -frounding-math. */

#include <fenv.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t pred, u8, b8;
typedef uint16_t u16, b16, f16; /* f16: the bits of one */
typedef uint32_t u32, b32;
typedef uint64_t u64, b64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef float f32;
typedef double f64;

enum { rn = FE_TONEAREST, rz = FE_TOWARDZERO, rm = FE_DOWNWARD, rp = FE_UPWARD };
enum { rni = rn, rzi = rz, rmi = rm, rpi = rp };

static inline f32 as_f32(b32 bits) { f32 x; memcpy(&x, &bits, 4); return x; }
static inline f64 as_f64(b64 bits) { f64 x; memcpy(&x, &bits, 8); return x; }
static inline f16 as_f16(b16 bits) { return bits; }
static inline b32 bits_f32(f32 x) { b32 bits; memcpy(&bits, &x, 4); return bits; }
static inline b64 bits_f64(f64 x) { b64 bits; memcpy(&bits, &x, 8); return bits; }
static inline b16 bits_f16(f16 x) { return x; }

/* --- floats */

/* .ftz: a subnormal number is a zero of its sign. */
static inline f32 ftz_f32(f32 x) {
    b32 bits = bits_f32(x);
    return bits & 0x7f800000 ? x : as_f32(bits & 0x80000000);
}
/* .sat: between 0 and 1, and 0 for NaN. */
static inline f32 sat_f32(f32 x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
static inline f64 sat_f64(f64 x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
/* Arithmetic in f32 and f16 has one NaN; the host's has a sign that depends on the operation. */
static inline f32 nan_f32(f32 x) { return x != x ? as_f32(0x7fffffff) : x; }
static inline f64 nan_f64(f64 x) { return x; }

/* An operation in a rounding mode. The operands pass through volatile variables, so that the
   compiler can not move the operation to where another mode holds. */
#define ROUNDED(T, name, expression)                              \
    static inline T name(int mode, T a, T b, T c) {               \
        if (mode == rn) return nan_##T(expression);               \
        fesetround(mode);                                         \
        volatile T a_ = a, b_ = b, c_ = c;                        \
        a = a_, b = b_, c = c_;                                   \
        volatile T result = expression;                           \
        fesetround(rn);                                           \
        return nan_##T(result);                                   \
    }
#define ARITHMETIC(T, suffix)                                     \
    ROUNDED(T, add_##T, a + b)                                    \
    ROUNDED(T, mul_##T, a * b)                                    \
    ROUNDED(T, div_##T, a / b)                                    \
    ROUNDED(T, fma_##T, fma##suffix(a, b, c))                     \
    ROUNDED(T, sqrt_##T, sqrt##suffix(a))                         \
    /* A number before NaN, and -0 before 0. */                   \
    static inline T min_##T(T a, T b) {                           \
        if (a != a || b != b) return nan_##T(a != a ? b : a);     \
        return a < b || (a == b && signbit(a)) ? a : b;           \
    }                                                             \
    static inline T max_##T(T a, T b) {                           \
        if (a != a || b != b) return nan_##T(a != a ? b : a);     \
        return a > b || (a == b && !signbit(a)) ? a : b;          \
    }                                                             \
    static inline T integral_##T(int mode, T x) {                 \
        x = mode == rz ? trunc##suffix(x) : mode == rm ? floor##suffix(x) \
            : mode == rp ? ceil##suffix(x) : nearbyint##suffix(x); \
        return nan_##T(x);                                        \
    }
ARITHMETIC(f32, f)
ARITHMETIC(f64, )

/* A number in f16; its magnitude is a whole number of quanta, which are exact in f64. */
static inline f16 f16_from_f64(int mode, f64 x) {
    f64 size = fabs(x);
    b16 sign = signbit(x) ? 0x8000 : 0;
    if (x != x) return 0x7fff;
    if (size > 1e6) size = size == INFINITY ? size : 1e6; /* far beyond the largest, 65504 */
    if (size == INFINITY) return sign | 0x7c00;
    int exponent = size < 0x1p-14 ? -14 : ilogb(size);
    f64 quanta = ldexp(size, 10 - exponent);
    if (mode == rm) mode = sign ? rp : rz;
    else if (mode == rp) mode = sign ? rz : rp;
    b32 whole = (b32)integral_f64(mode, quanta); /* 1024 to 2048, or less if subnormal */
    b32 bits = ((b32)(exponent + 14) << 10) + whole;
    if (bits >= 0x7c00) bits = mode == rz ? 0x7bff : 0x7c00;
    return sign | bits;
}
static inline f64 f64_from_f16(f16 h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31) return fraction ? NAN : h >> 15 ? -INFINITY : INFINITY;
    f64 size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return h >> 15 ? -size : size;
}
static inline f32 f32_from_f16(f16 h) { return nan_f32((f32)f64_from_f16(h)); }

/* f64 holds sums and products of f16 exactly, and a fused one well enough to round it once more. */
#define ARITHMETIC_F16(name, expression)                          \
    static inline f16 name##_f16(f16 a_, f16 b_, f16 c_) {        \
        f64 a = f64_from_f16(a_), b = f64_from_f16(b_), c = f64_from_f16(c_); \
        return f16_from_f64(rn, expression);                      \
    }
ARITHMETIC_F16(add, a + b)
ARITHMETIC_F16(sub, a - b)
ARITHMETIC_F16(mul, a * b)
ARITHMETIC_F16(fma, a * b + c)
ARITHMETIC_F16(min, min_f64(a, b))
ARITHMETIC_F16(max, max_f64(a, b))

/* --- approximations of the hardware, here rounded once from f64 */

static inline f32 approx_f32(f64 x) { return nan_f32((f32)x); }
/* Those of f64 have the upper half of its bits, and no subnormal numbers. */
static inline f64 ftz_f64(f64 x) {
    b64 bits = bits_f64(x);
    return bits & 0x7ff0000000000000 ? x : as_f64(bits & 0x8000000000000000);
}
static inline f64 upper_half(f64 x) { return as_f64(bits_f64(ftz_f64(x)) & 0xffffffff00000000); }

/* --- conversions */

#define FROM_INTEGER(T, S)                                        \
    static inline T T##_from_##S(int mode, S x) {                 \
        if (mode == rn) return (T)x;                              \
        fesetround(mode);                                         \
        volatile S x_ = x;                                        \
        volatile T result = (T)x_;                                \
        fesetround(rn);                                           \
        return result;                                            \
    }
#define FROM_INTEGERS(T)                                          \
    FROM_INTEGER(T, u8) FROM_INTEGER(T, u16) FROM_INTEGER(T, u32) FROM_INTEGER(T, u64) \
    FROM_INTEGER(T, s8) FROM_INTEGER(T, s16) FROM_INTEGER(T, s32) FROM_INTEGER(T, s64)
FROM_INTEGERS(f32)
FROM_INTEGERS(f64)
FROM_INTEGER(f32, f64)

/* Beyond the range: the end of it. NaN: 0 from f32 to 32 bits or less, and else the highest bit. */
#define TO_INTEGER(T, low, beyond)                                \
    static inline T T##_from_f64(f64 x, int from_f64) {           \
        if (x != x) return from_f64 || sizeof(T) == 8 ? (T)(1ull << (8 * sizeof(T) - 1)) : 0; \
        if (x <= low) return (T)low;                              \
        return x < beyond ? (T)x : low < 0 ? (T)((1ull << (8 * sizeof(T) - 1)) - 1) : (T)~0ull; \
    }                                                             \
    static inline T T##_saturated(__int128 x) {                   \
        __int128 last = (__int128)(low < 0 ? ~0ull >> (65 - 8 * sizeof(T)) : ~0ull >> (64 - 8 * sizeof(T))); \
        __int128 first = low < 0 ? -last - 1 : 0;                 \
        return (T)(x < first ? first : x > last ? last : x);      \
    }
TO_INTEGER(u8, 0, 0x1p8) TO_INTEGER(u16, 0, 0x1p16) TO_INTEGER(u32, 0, 0x1p32) TO_INTEGER(u64, 0, 0x1p64)
TO_INTEGER(s8, -0x1p7, 0x1p7) TO_INTEGER(s16, -0x1p15, 0x1p15)
TO_INTEGER(s32, -0x1p31, 0x1p31) TO_INTEGER(s64, -0x1p63, 0x1p63)

/* --- integers */

/* PTX leaves a division by 0 open; here all bits are 1. The host would stop the process. */
#define DIVISION(T)                                               \
    static inline T divide_##T(T a, T b) { return b == 0 ? (T)~(T)0 : (T)(b + 1) == 0 && (T)-1 < 0 ? (T)-(b64)a : a / b; } \
    static inline T remainder_##T(T a, T b) { return b == 0 ? (T)~(T)0 : (T)(b + 1) == 0 && (T)-1 < 0 ? 0 : a % b; }
DIVISION(u16) DIVISION(u32) DIVISION(u64) DIVISION(s16) DIVISION(s32) DIVISION(s64)

/* A shift by the width or more leaves nothing but copies of the sign. */
#define SHIFTS(T)                                                 \
    static inline T shift_left_##T(T a, u32 n) { return n < 8 * sizeof(T) ? (T)((b64)a << n) : 0; } \
    static inline T shift_right_##T(T a, u32 n) {                 \
        u32 last = 8 * sizeof(T) - 1;                             \
        return n > last ? (T)(a < 0 ? -1 : 0) : (T)(a >> n);      \
    }
SHIFTS(b16) SHIFTS(b32) SHIFTS(b64) SHIFTS(u16) SHIFTS(u32) SHIFTS(u64) SHIFTS(s16) SHIFTS(s32) SHIFTS(s64)

/* A funnel shift: of two words side by side, the lower one first. */
static inline b32 funnel_left(b32 low, b32 high, u32 n) {
    b64 both = (b64)high << 32 | low;
    return n > 31 ? low : (b32)(both << n >> 32);
}
static inline b32 funnel_right(b32 low, b32 high, u32 n) {
    b64 both = (b64)high << 32 | low;
    return n > 31 ? high : (b32)(both >> n);
}
#define MUL_HI(T, wide) static inline T mul_hi_##T(T a, T b) { return (T)(((wide)a * b) >> (8 * sizeof(T))); }
MUL_HI(u16, u32) MUL_HI(u32, u64) MUL_HI(u64, unsigned __int128)
MUL_HI(s16, s32) MUL_HI(s32, s64) MUL_HI(s64, __int128)

/* Sums with the carry flag, differences with it as a borrow. */
#define CARRY(T)                                                  \
    static inline T add_carry_##T(T a, T b, pred in, pred *out) { \
        T sum;                                                    \
        pred first = __builtin_add_overflow(a, b, &sum);          \
        *out = __builtin_add_overflow(sum, (T)in, &sum) | first;  \
        return sum;                                               \
    }                                                             \
    static inline T sub_borrow_##T(T a, T b, pred in, pred *out) { \
        T rest;                                                   \
        pred first = __builtin_sub_overflow(a, b, &rest);         \
        *out = __builtin_sub_overflow(rest, (T)in, &rest) | first; \
        return rest;                                              \
    }
CARRY(u32) CARRY(u64)

#define BITS(T)                                                   \
    static inline u32 popc_##T(T a) { return __builtin_popcountll(a); } \
    static inline u32 clz_##T(T a) { return a ? __builtin_clzll(a) - (64 - 8 * sizeof(T)) : 8 * sizeof(T); } \
    static inline T brev_##T(T a) {                               \
        T turned = 0;                                             \
        for (u32 i = 0; i < 8 * sizeof(T); i++) turned |= (a >> i & 1) << (8 * sizeof(T) - 1 - i); \
        return turned;                                            \
    }                                                             \
    /* The lowest bits of a, put into b from a position on. */    \
    static inline T bfi_##T(T a, T b, u32 position, u32 length) { \
        position &= 255, length &= 255;                           \
        T field = shift_left_##T(~shift_left_##T((T)~(T)0, length), position); \
        return (b & ~field) | (shift_left_##T(a, position) & field); \
    }
BITS(b32) BITS(b64)

/* Some bits of a, from a position on; a signed field continues with its own highest bit. */
#define EXTRACT(T)                                                \
    static inline T bfe_##T(T a, u32 position, u32 length) {      \
        u32 last = 8 * sizeof(T) - 1, end = (position & 255) + (length & 255) - 1; \
        position &= 255, length &= 255;                           \
        if (length == 0) return 0;                                \
        T top = (T)-1 < 0 && (a >> (end < last ? end : last) & 1) ? (T)-1 : 0; \
        T field = position > last ? 0 : (T)((b64)a >> position);  \
        u32 kept = position > last ? 0 : last + 1 - position < length ? last + 1 - position : length; \
        if (kept > last) return field;                            \
        b64 mask = (1ull << kept) - 1;                            \
        return (T)(((b64)field & mask) | ((b64)top & ~mask));     \
    }
EXTRACT(u32) EXTRACT(u64) EXTRACT(s32) EXTRACT(s64)

/* Four bytes of eight, as the selector's four digits say; 8 in a digit: copies of the byte's sign. */
static inline b32 permute(b32 a, b32 b, b32 selector) {
    b64 bytes = (b64)b << 32 | a;
    b32 result = 0;
    for (int i = 0; i < 4; i++) {
        b32 digit = selector >> (4 * i), byte = bytes >> (8 * (digit & 7)) & 255;
        if (digit & 8) byte = byte & 128 ? 255 : 0;
        result |= byte << (8 * i);
    }
    return result;
}
static inline b32 permute_f4e(b32 a, b32 b, b32 c) { return permute(a, b, 0x3210 + 0x1111 * (c & 3)); }
static inline b32 permute_b4e(b32 a, b32 b, b32 c) {
    static const u16 selectors[] = {0x5670, 0x6701, 0x7012, 0x0123};
    return permute(a, b, selectors[c & 3]);
}
static inline b32 permute_rc8(b32 a, b32 b, b32 c) { return permute(a, b, 0x1111 * (c & 3)); }
static inline b32 permute_ecl(b32 a, b32 b, b32 c) {
    static const u16 selectors[] = {0x3210, 0x3211, 0x3222, 0x3333};
    return permute(a, b, selectors[c & 3]);
}
static inline b32 permute_ecr(b32 a, b32 b, b32 c) {
    static const u16 selectors[] = {0x0000, 0x1110, 0x2210, 0x3210};
    return permute(a, b, selectors[c & 3]);
}
static inline b32 permute_rc16(b32 a, b32 b, b32 c) { return permute(a, b, c & 1 ? 0x3232 : 0x1010); }

/* --- memory */

/* The value before, and the new one, which `old` may stand in, in its place. */
#define FETCH(T, address, new_value) \
    ({ T old, new_; memcpy(&old, address, sizeof old); new_ = (new_value); memcpy(address, &new_, sizeof new_); old; })
