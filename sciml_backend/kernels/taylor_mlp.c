/* Value and gradient of one mean-square term of a tanh network's physics loss, row by row.
 *
 * A term is  sum_p weight_p r_p^2 + linear_p r_p  over its sites p, where the residual r is a polynomial in the "slots" of a site:
 * the network's value, directional derivatives along constant directions ("firsts"), and linear operators
 * L = b.grad + sum c_ij d_i d_j ("seconds"), at each of the site's points ("groups", e.g. both ends of a period).
 * Derivatives travel forward through the network as Taylor streams beside its value,
 *     f(z),   f'(z) z_k,   f'(z) z_L + f''(z) sum c_ij z_i z_j,
 * and the gradient comes back by hand-written reverse mode. Sites are worked off in chunks that stay in cache.
 *
 * The first layer's derivative streams are the same at all sites. So is their rounding: it would not average out over the
 * sites as all other rounding does. In float they are therefore kept in two parts, a number and what it was rounded by.
 *
 * A row's arithmetic depends on its own numbers alone, never on how many rows there are: results are bit-identical
 * in any batch. This file includes itself twice, once for float and once for double.
 */
#ifndef REAL

#include <stdint.h>
#include <stddef.h>
#include <string.h>

#ifdef __AVX512F__
#define VECTOR_BYTES 64
#define TALL 5 /* register block of a product: rows, */
#define WIDE 4 /* and vectors of columns */
#define BROAD 4 /* columns of an outer product's block */
#define FLOATS {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} /* the lanes of a vector */
#define DOUBLES {0, 1, 2, 3, 4, 5, 6, 7}
#else
#define VECTOR_BYTES 32
#define TALL 5
#define WIDE 2
#define BROAD 2
#define FLOATS {0, 1, 2, 3, 4, 5, 6, 7}
#define DOUBLES {0, 1, 2, 3}
#endif
#define SUMS (VECTOR_BYTES / 4) /* sums of an outer product's block: one or two vectors of them */

#define MAX_FACTORS 4 /* factors of one monomial */
#define MAX_LAYERS 16
#define INLINE static inline __attribute__((always_inline))

/* Everything a term is made of, apart from the numbers of each row. */
typedef struct {
    int64_t layers;          /* weight matrices, output layer included */
    const int64_t *sizes;    /* layers + 1 widths, sizes[0] = dims, sizes[layers] = 1 */
    int64_t groups, sites;   /* points per site; sites, a multiple of 16 */
    int64_t firsts, seconds, pairs;
    const int64_t *pair;     /* (pairs, 2) indices into the firsts */
    int64_t monomials;
    const int64_t *factor;   /* (monomials, MAX_FACTORS) slots, -1 for none */
    int64_t chunk;           /* sites per chunk, a multiple of 16 */
} term_t;

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define NAME(x) PASTE(x, SUFFIX)

#define REAL float
#define INTEGER int32_t
#define SUFFIX _float32
#define DOUBLE 0
#define LANE_NUMBERS FLOATS
#include "taylor_mlp.c"
#undef REAL
#undef INTEGER
#undef SUFFIX
#undef DOUBLE
#undef LANE_NUMBERS
#define REAL double
#define INTEGER int64_t
#define SUFFIX _float64
#define DOUBLE 1
#define LANE_NUMBERS DOUBLES
#include "taylor_mlp.c"

#else /* REAL is set: the code itself */

#define LANES (VECTOR_BYTES / (int)sizeof(REAL))
#define V NAME(vector)
#define I NAME(integers)
typedef REAL V __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef INTEGER I __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

INLINE V NAME(splat)(REAL x) { return x - (V){0}; }

INLINE REAL NAME(total)(V v) {
    REAL s = 0;
    for (int i = 0; i < LANES / 2; i++) s += v[i] + v[i + LANES / 2];
    return s;
}

/* tanh|x| with e = exp(-2|x|): float rounds almost correctly, double is accurate to two units in the last place.
 *
 * L-BFGS in float ends where rounding drowns what is left of its descent, so every unit here decides how far it gets.
 */
INLINE V NAME(tanh)(V x) {
#if DOUBLE
    const REAL magic = 6755399441055744.0, least = -80.0, log2e = 1.4426950408889634;
    const REAL ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    const int shift = 52;
    const INTEGER sign = (INTEGER)0x8000000000000000, one = 0x3ff0000000000000;
#else
    const REAL magic = 12582912.0f, least = -40.0f, log2e = 1.44269504f;
    const REAL ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const int shift = 23;
    const INTEGER sign = (INTEGER)0x80000000, one = 0x3f800000;
#endif
    I signs = (I)x & sign;
    V size = (V)((I)x & ~sign), y = size * (REAL)-2;
    I low = y < least; /* false for a NaN, which so stays one */
    y = (V)(((I)y & ~low) | ((I)NAME(splat)(least) & low));
    V shifted = y * log2e + magic;
    V k = shifted - magic;
    V r = y - k * ln2_high - k * ln2_low;
    V scale = (V)((((I)shifted - (I)NAME(splat)(magic)) << shift) + one);
    static const REAL c[] = {
#if DOUBLE
        1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0,
#endif
        (REAL)(1.0 / 5040.0), (REAL)(1.0 / 720.0), (REAL)(1.0 / 120.0), (REAL)(1.0 / 24.0), (REAL)(1.0 / 6.0), (REAL)0.5};
    V p = NAME(splat)(c[0]);
#pragma GCC unroll 16
    for (int i = 1; i < (int)(sizeof(c) / sizeof(c[0])); i++) p = p * r + c[i];
    p = p * r * r + r;
#if DOUBLE
    V m = scale * p + (scale - 1); /* e - 1 */
    V t = -m / (m + 2);
#else
    V e = scale * p + scale, far = 1 - 2 * e / (e + 1);
    static const REAL d[] = {1.8965013e-3f, -7.8849546e-3f, 2.157221e-2f, -5.3921303e-2f, 1.3332988e-1f, -3.3333325e-1f};
    V z = size * size, near = NAME(splat)(d[0]); /* tanh(x) / x below 0.7: relative error 7e-10 before rounding */
#pragma GCC unroll 16
    for (int i = 1; i < (int)(sizeof(d) / sizeof(d[0])); i++) near = near * z + d[i];
    near = near * z * size + size;
    I small = size < 0.7f;
    V t = (V)(((I)near & small) | ((I)far & ~small));
#endif
    return (V)((I)t | signs);
}

/* Z[j][k] = sum_i w(j, i) H[i][k] for `tall` rows j and `wide` vectors of columns k. */
INLINE void NAME(product_block)(int tall, int wide, int64_t inner, const REAL *w, int64_t wj, int64_t wi, const REAL *h,
                                REAL *z, int64_t stride) {
    V acc[TALL][WIDE];
#pragma GCC unroll 8
    for (int j = 0; j < tall; j++)
#pragma GCC unroll 8
        for (int k = 0; k < wide; k++) acc[j][k] = (V){0};
    for (int64_t i = 0; i < inner; i++) {
        V x[WIDE];
#pragma GCC unroll 8
        for (int k = 0; k < wide; k++) x[k] = *(const V *)(h + i * stride + k * LANES);
#pragma GCC unroll 8
        for (int j = 0; j < tall; j++) {
            V c = NAME(splat)(w[j * wj + i * wi]);
#pragma GCC unroll 8
            for (int k = 0; k < wide; k++) acc[j][k] += c * x[k];
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < tall; j++)
#pragma GCC unroll 8
        for (int k = 0; k < wide; k++) *(V *)(z + j * stride + k * LANES) = acc[j][k];
}

INLINE void NAME(product_rows)(int wide, int64_t outer, int64_t inner, const REAL *w, int64_t wj, int64_t wi,
                               const REAL *h, REAL *z, int64_t stride) {
    int64_t j = 0, lower = (TALL - outer % TALL) % TALL * (TALL - 1); /* rows in lower blocks, so that none is left over */
    if (lower > outer) lower = 0;
    for (; j + TALL <= outer - lower; j += TALL)
        NAME(product_block)(TALL, wide, inner, w + j * wj, wj, wi, h, z + j * stride, stride);
    for (; j + TALL - 1 <= outer; j += TALL - 1)
        NAME(product_block)(TALL - 1, wide, inner, w + j * wj, wj, wi, h, z + j * stride, stride);
    for (; j < outer; j++) NAME(product_block)(1, wide, inner, w + j * wj, wj, wi, h, z + j * stride, stride);
}

static void NAME(product)(int64_t outer, int64_t inner, const REAL *w, int64_t wj, int64_t wi, const REAL *h, REAL *z,
                          int64_t columns, int64_t stride) {
    int64_t k = 0;
    for (; k + WIDE * LANES <= columns; k += WIDE * LANES)
        NAME(product_rows)(WIDE, outer, inner, w, wj, wi, h + k, z + k, stride);
    for (; k + 2 * LANES <= columns; k += 2 * LANES) NAME(product_rows)(2, outer, inner, w, wj, wi, h + k, z + k, stride);
    for (; k + LANES <= columns; k += LANES) NAME(product_rows)(1, outer, inner, w, wj, wi, h + k, z + k, stride);
}

INLINE V NAME(mixed)(V a, V b, I lanes) { /* lane l is that of number lanes[l] in a, then b */
#ifdef __clang__
    V v;
    for (int l = 0; l < LANES; l++) v[l] = lanes[l] < LANES ? a[lanes[l]] : b[lanes[l] - LANES];
    return v;
#else
    return __builtin_shuffle(a, b, lanes);
#endif
}

/* Bit s of the vectors' numbers, 0 for a and s for b, changes places with that of their lanes. */
INLINE void NAME(exchange)(V *a, V *b, int s) {
    const I lane = LANE_NUMBERS, odd = (lane & s) != 0;
    V even = *a;
    *a = NAME(mixed)(even, *b, lane + (odd & (LANES - s)));
    *b = NAME(mixed)(even, *b, lane + s + (odd & (LANES - s)));
}

/* Lane l is `total` of v[l], to the bit: the vectors are transposed, so that LANES totals are added side by side. */
INLINE V NAME(totals)(V v[LANES]) {
    V half[LANES / 2], sum = (V){0};
#pragma GCC unroll 16
    for (int o = 0; o < LANES / 2; o++) {
        NAME(exchange)(v + o, v + o + LANES / 2, LANES / 2);
        half[o] = v[o] + v[o + LANES / 2];
    }
#pragma GCC unroll 4
    for (int s = LANES / 4; s; s /= 2) {
#pragma GCC unroll 16
        for (int o = 0; o < LANES / 2; o++)
            if (!(o & s)) NAME(exchange)(half + o, half + o + s, s);
    }
#pragma GCC unroll 16
    for (int l = 0; l < LANES / 2; l++) sum += half[l];
    return sum;
}

/* g[j][i] += sum_k a[j][k] b[i][k] for a block of `tall` x `broad`: SUMS in all, or one. */
INLINE void NAME(outer_block)(int tall, int broad, const REAL *a, int64_t lda, const REAL *b, int64_t ldb, REAL *g,
                              int64_t ldg, int64_t columns) {
    V acc[SUMS], y[SUMS];
#pragma GCC unroll 16
    for (int p = 0; p < tall * broad; p++) acc[p] = (V){0};
    for (int64_t k = 0; k < columns; k += LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < broad; i++) y[i] = *(const V *)(b + i * ldb + k);
#pragma GCC unroll 16
        for (int j = 0; j < tall; j++) {
            V x = *(const V *)(a + j * lda + k);
#pragma GCC unroll 16
            for (int i = 0; i < broad; i++) acc[j * broad + i] += x * y[i];
        }
    }
    if (tall * broad == 1) {
        *g += NAME(total)(acc[0]);
        return;
    }
#pragma GCC unroll 4
    for (int p = 0; p < SUMS; p += LANES) acc[p / LANES] = NAME(totals)(acc + p);
#pragma GCC unroll 16
    for (int p = 0; p < SUMS; p++) g[p / broad * ldg + p % broad] += acc[p / LANES][p % LANES];
}

INLINE void NAME(outer_rows)(int tall, int broad, int64_t cols, const REAL *a, int64_t lda, const REAL *b, int64_t ldb,
                             REAL *g, int64_t ldg, int64_t columns) {
    int64_t i = 0;
    for (; i + broad <= cols; i += broad)
        NAME(outer_block)(tall, broad, a, lda, b + i * ldb, ldb, g + i, ldg, columns);
    for (; i < cols; i++)
        for (int j = 0; j < tall; j++)
            NAME(outer_block)(1, 1, a + j * lda, lda, b + i * ldb, ldb, g + j * ldg + i, ldg, columns);
}

/* g[j][i] += sum_k a[j][k] b[i][k]. Columns that are left over go by SUMS of their rows. */
static void NAME(outer)(int64_t rows, int64_t cols, const REAL *a, int64_t lda, const REAL *b, int64_t ldb, REAL *g,
                        int64_t columns) {
    int64_t j = 0, whole = cols - cols % BROAD;
    for (; j + SUMS / BROAD <= rows; j += SUMS / BROAD)
        NAME(outer_rows)(SUMS / BROAD, BROAD, whole, a + j * lda, lda, b, ldb, g + j * cols, cols, columns);
    for (; j < rows; j++) NAME(outer_rows)(1, SUMS, whole, a + j * lda, lda, b, ldb, g + j * cols, cols, columns);
    b += whole * ldb, g += whole, whole = cols - whole;
    for (j = 0; j + SUMS <= rows; j += SUMS)
        NAME(outer_rows)(SUMS, 1, whole, a + j * lda, lda, b, ldb, g + j * cols, cols, columns);
    for (; j < rows; j++) NAME(outer_rows)(1, 1, whole, a + j * lda, lda, b, ldb, g + j * cols, cols, columns);
}

/* The numbers of one row, and where its chunk lives in memory. */
typedef struct {
    const REAL *theta, *first, *second_b, *second_c; /* (P,), (firsts, dims), (seconds, dims), (seconds, pairs) */
    const REAL *weight[MAX_LAYERS], *bias[MAX_LAYERS];
    REAL *h[MAX_LAYERS], *z[MAX_LAYERS]; /* per hidden layer: outputs and pre-activations, (width, stride) */
    REAL *dz, *dh;                       /* scratch of the same shape */
    REAL *slots, *dslots;                /* (groups * streams, chunk) */
    REAL *low;                           /* (width of layer 0, firsts + 3 seconds): see `constants` */
    int64_t stride;
} NAME(row_t);

INLINE int64_t NAME(lows)(const term_t *t) { return t->firsts + 3 * t->seconds; }

INLINE REAL NAME(rest)(double exact, REAL rounded) { return (REAL)(exact - (double)rounded); }

/* The first layer's derivative streams of unit j, rounded, into constant[1..], and what that cut off into the unit's
 * `low`: of the firsts, of the seconds' linear parts; of their quadratic parts the value and what was cut off. */
static void NAME(constants)(const term_t *t, NAME(row_t) *r, int64_t j, REAL *constant) {
    int64_t dims = t->sizes[0];
    const REAL *w = r->weight[0] + j * dims;
    REAL *low = r->low + j * NAME(lows)(t), *quadratic = low + t->firsts + t->seconds;
    double first[t->firsts + 1];
    for (int64_t s = 0; s < t->firsts + t->seconds; s++) {
        const REAL *direction = s < t->firsts ? r->first + s * dims : r->second_b + (s - t->firsts) * dims;
        double v = 0;
        for (int64_t i = 0; i < dims; i++) v += (double)w[i] * direction[i];
        constant[1 + s] = (REAL)v;
        low[s] = NAME(rest)(v, constant[1 + s]);
        if (s < t->firsts) first[s] = v;
    }
    for (int64_t m = 0; m < t->seconds; m++) {
        const REAL *c = r->second_c + m * t->pairs;
        double q = 0;
        for (int64_t p = 0; p < t->pairs; p++) q += c[p] * first[t->pair[2 * p]] * first[t->pair[2 * p + 1]];
        quadratic[2 * m] = (REAL)q;
        quadratic[2 * m + 1] = NAME(rest)(q, quadratic[2 * m]);
    }
}

/* Pre-activations of the first layer: an affine map of the points; constant for the derivative streams. */
static void NAME(first_layer)(const term_t *t, NAME(row_t) *r, const REAL *points, int64_t at, int64_t n) {
    int64_t dims = t->sizes[0], streams = 1 + t->firsts + t->seconds;
    REAL constant[streams];
    for (int64_t j = 0; j < t->sizes[1]; j++) {
        const REAL *w = r->weight[0] + j * dims;
        REAL *z = r->z[0] + j * r->stride;
        NAME(constants)(t, r, j, constant);
        for (int64_t g = 0; g < t->groups; g++, z += streams * n) {
            for (int64_t k = 0; k < n; k += LANES) {
                V v = (V){0};
                for (int64_t i = 0; i < dims; i++) v += w[i] * *(const V *)(points + (g * dims + i) * t->sites + at + k);
                *(V *)(z + k) = v;
            }
            for (int64_t s = 1; s < streams; s++)
                for (int64_t k = 0; k < n; k += LANES) *(V *)(z + s * n + k) = NAME(splat)(constant[s]);
        }
    }
}

INLINE V NAME(quadratic)(const term_t *t, const REAL *c, const REAL *z1, int64_t n) {
    V q = (V){0};
    for (int64_t p = 0; p < t->pairs; p++)
        q += c[p] * *(const V *)(z1 + t->pair[2 * p] * n) * *(const V *)(z1 + t->pair[2 * p + 1] * n);
    return q;
}

/* `exact` at the first layer in float: there `low` says what the constants were rounded by. */
INLINE void NAME(activate_)(const term_t *t, NAME(row_t) *r, int64_t layer, int64_t n, int exact) {
    int64_t streams = 1 + t->firsts + t->seconds;
    for (int64_t j = 0; j < t->sizes[layer + 1]; j++) {
        const REAL *low = r->low + j * NAME(lows)(t), *quadratic = low + t->firsts + t->seconds;
        for (int64_t g = 0; g < t->groups; g++) {
            REAL *z = r->z[layer] + j * r->stride + g * streams * n, *h = r->h[layer] + j * r->stride + g * streams * n;
            REAL bias = r->bias[layer][j];
            for (int64_t k = 0; k < n; k += LANES) {
                V a = NAME(tanh)(*(V *)(z + k) + bias), d1 = 1 - a * a;
                *(V *)(h + k) = a;
                for (int64_t s = 1; s <= t->firsts; s++) {
                    V slope = d1 * *(V *)(z + s * n + k);
                    if (exact) slope += d1 * low[s - 1];
                    *(V *)(h + s * n + k) = slope;
                }
                for (int64_t m = 0; m < t->seconds; m++) {
                    int64_t s = 1 + t->firsts + m;
                    V d2 = -2 * a * d1;
                    if (exact) {
                        V rest = d1 * low[s - 1] + d2 * quadratic[2 * m + 1];
                        *(V *)(h + s * n + k) = d1 * *(V *)(z + s * n + k) + d2 * quadratic[2 * m] + rest;
                    } else {
                        V q = NAME(quadratic)(t, r->second_c + m * t->pairs, z + n + k, n);
                        *(V *)(h + s * n + k) = d1 * *(V *)(z + s * n + k) + d2 * q;
                    }
                }
            }
        }
    }
}

static void NAME(activate)(const term_t *t, NAME(row_t) *r, int64_t layer, int64_t n) {
    if (layer == 0 && !DOUBLE)
        NAME(activate_)(t, r, layer, n, 1);
    else
        NAME(activate_)(t, r, layer, n, 0);
}

/* From the cotangent dh of a layer's outputs to dz of its pre-activations. */
INLINE void NAME(deactivate_)(const term_t *t, NAME(row_t) *r, int64_t layer, int64_t n, REAL *bias_gradient, int exact) {
    int64_t streams = 1 + t->firsts + t->seconds;
    for (int64_t j = 0; j < t->sizes[layer + 1]; j++) {
        const REAL *low = r->low + j * NAME(lows)(t), *quadratic = low + t->firsts + t->seconds;
        V sum = (V){0};
        for (int64_t g = 0; g < t->groups; g++) {
            int64_t offset = j * r->stride + g * streams * n;
            const REAL *h = r->h[layer] + offset, *z = r->z[layer] + offset, *dh = r->dh + offset;
            REAL *dz = r->dz + offset;
            for (int64_t k = 0; k < n; k += LANES) {
                V a = *(const V *)(h + k), d1 = 1 - a * a, d2 = -2 * a * d1;
                V value = d1 * *(const V *)(dh + k);
                for (int64_t s = 1; s <= t->firsts; s++) {
                    V up = *(const V *)(dh + s * n + k);
                    if (exact) value += d2 * low[s - 1] * up;
                    value += d2 * *(const V *)(z + s * n + k) * up;
                    *(V *)(dz + s * n + k) = d1 * up;
                }
                for (int64_t m = 0; m < t->seconds; m++) {
                    int64_t s = 1 + t->firsts + m;
                    const REAL *c = r->second_c + m * t->pairs, *z1 = z + n + k;
                    V up = *(const V *)(dh + s * n + k), bent = d2 * up, d3 = d1 * (6 * a * a - 2);
                    if (exact) value += (d2 * low[s - 1] + d3 * quadratic[2 * m + 1]) * up;
                    V q = exact ? NAME(splat)(quadratic[2 * m]) : NAME(quadratic)(t, c, z1, n);
                    value += (d2 * *(const V *)(z + s * n + k) + d3 * q) * up;
                    *(V *)(dz + s * n + k) = d1 * up;
                    for (int64_t p = 0; p < t->pairs; p++) {
                        int64_t i1 = t->pair[2 * p], i2 = t->pair[2 * p + 1];
                        if (exact) {
                            *(V *)(dz + (1 + i1) * n + k) += bent * c[p] * low[i2];
                            *(V *)(dz + (1 + i2) * n + k) += bent * c[p] * low[i1];
                        }
                        *(V *)(dz + (1 + i1) * n + k) += bent * c[p] * *(const V *)(z1 + i2 * n);
                        *(V *)(dz + (1 + i2) * n + k) += bent * c[p] * *(const V *)(z1 + i1 * n);
                    }
                }
                *(V *)(dz + k) = value;
                sum += value;
            }
        }
        bias_gradient[j] += NAME(total)(sum);
    }
}

static void NAME(deactivate)(const term_t *t, NAME(row_t) *r, int64_t layer, int64_t n, REAL *bias_gradient) {
    if (layer == 0 && !DOUBLE)
        NAME(deactivate_)(t, r, layer, n, bias_gradient, 1);
    else
        NAME(deactivate_)(t, r, layer, n, bias_gradient, 0);
}

static void NAME(forward)(const term_t *t, NAME(row_t) *r, const REAL *points, int64_t at, int64_t n) {
    int64_t streams = 1 + t->firsts + t->seconds, columns = t->groups * streams * n, hidden = t->layers - 1;
    NAME(first_layer)(t, r, points, at, n);
    NAME(activate)(t, r, 0, n);
    for (int64_t l = 1; l < hidden; l++) {
        NAME(product)(t->sizes[l + 1], t->sizes[l], r->weight[l], t->sizes[l], 1, r->h[l - 1], r->z[l], columns, r->stride);
        NAME(activate)(t, r, l, n);
    }
    NAME(product)(1, t->sizes[hidden], r->weight[hidden], t->sizes[hidden], 1, r->h[hidden - 1], r->slots, columns, r->stride);
    for (int64_t g = 0; g < t->groups; g++)
        for (int64_t k = 0; k < n; k += LANES) *(V *)(r->slots + g * streams * n + k) += r->bias[hidden][0];
}

static void NAME(backward)(const term_t *t, NAME(row_t) *r, const REAL *points, int64_t at, int64_t n, REAL *gradient) {
    int64_t streams = 1 + t->firsts + t->seconds, columns = t->groups * streams * n, hidden = t->layers - 1;
    int64_t dims = t->sizes[0];
    REAL *last = gradient + (r->weight[hidden] - r->theta);
    NAME(outer)(1, t->sizes[hidden], r->dslots, r->stride, r->h[hidden - 1], r->stride, last, columns);
    V sum = (V){0};
    for (int64_t g = 0; g < t->groups; g++)
        for (int64_t k = 0; k < n; k += LANES) sum += *(V *)(r->dslots + g * streams * n + k);
    gradient[r->bias[hidden] - r->theta] += NAME(total)(sum);
    NAME(product)(t->sizes[hidden], 1, r->weight[hidden], 1, 1, r->dslots, r->dh, columns, r->stride);
    for (int64_t l = hidden - 1; l > 0; l--) {
        NAME(deactivate)(t, r, l, n, gradient + (r->bias[l] - r->theta));
        NAME(outer)(t->sizes[l + 1], t->sizes[l], r->dz, r->stride, r->h[l - 1], r->stride,
                    gradient + (r->weight[l] - r->theta), columns);
        NAME(product)(t->sizes[l], t->sizes[l + 1], r->weight[l], 1, t->sizes[l], r->dz, r->dh, columns, r->stride);
    }
    NAME(deactivate)(t, r, 0, n, gradient + (r->bias[0] - r->theta));
    REAL *g0 = gradient + (r->weight[0] - r->theta);
    for (int64_t j = 0; j < t->sizes[1]; j++) {
        const REAL *dz = r->dz + j * r->stride;
        for (int64_t g = 0; g < t->groups; g++)
            for (int64_t s = 0; s < streams; s++, dz += n) {
                if (s == 0) {
                    for (int64_t i = 0; i < dims; i++) {
                        const REAL *x = points + (g * dims + i) * t->sites + at;
                        V acc = (V){0};
                        for (int64_t k = 0; k < n; k += LANES) acc += *(const V *)(dz + k) * *(const V *)(x + k);
                        g0[j * dims + i] += NAME(total)(acc);
                    }
                    continue;
                }
                const REAL *direction = s <= t->firsts ? r->first + (s - 1) * dims : r->second_b + (s - 1 - t->firsts) * dims;
                V acc = (V){0};
                for (int64_t k = 0; k < n; k += LANES) acc += *(const V *)(dz + k);
                REAL up = NAME(total)(acc);
                for (int64_t i = 0; i < dims; i++) g0[j * dims + i] += up * direction[i];
            }
    }
}

/* Residuals of a chunk from its slots, and the slots' cotangents from d loss / d r. */
static void NAME(residuals)(const term_t *t, const NAME(row_t) *r, const REAL *coefficient, int64_t per_monomial,
                            int64_t per_site, int64_t at, int64_t n, REAL *out) {
    for (int64_t k = 0; k < n; k++) out[k] = 0;
    for (int64_t m = 0; m < t->monomials; m++) {
        const REAL *c = coefficient + m * per_monomial + at * per_site;
        const int64_t *f = t->factor + m * MAX_FACTORS;
        for (int64_t k = 0; k < n; k += LANES) {
            V v = per_site ? *(const V *)(c + k) : NAME(splat)(c[0]);
            for (int i = 0; i < MAX_FACTORS && f[i] >= 0; i++) v *= *(const V *)(r->slots + f[i] * n + k);
            *(V *)(out + k) += v;
        }
    }
}

static void NAME(slot_cotangents)(const term_t *t, NAME(row_t) *r, const REAL *coefficient, int64_t per_monomial,
                                  int64_t per_site, int64_t at, int64_t n, const REAL *up) {
    int64_t slots = t->groups * (1 + t->firsts + t->seconds);
    memset(r->dslots, 0, sizeof(REAL) * slots * n);
    for (int64_t m = 0; m < t->monomials; m++) {
        const REAL *c = coefficient + m * per_monomial + at * per_site;
        const int64_t *f = t->factor + m * MAX_FACTORS;
        for (int i = 0; i < MAX_FACTORS && f[i] >= 0; i++)
            for (int64_t k = 0; k < n; k += LANES) {
                V v = (per_site ? *(const V *)(c + k) : NAME(splat)(c[0])) * *(const V *)(up + k);
                for (int o = 0; o < MAX_FACTORS && f[o] >= 0; o++)
                    if (o != i) v *= *(const V *)(r->slots + f[o] * n + k);
                *(V *)(r->dslots + f[i] * n + k) += v;
            }
    }
}

static int64_t NAME(stride)(const term_t *t) {
    /* an odd number of cache lines, so that a column of features does not fall into one cache set */
    int64_t columns = t->groups * (1 + t->firsts + t->seconds) * t->chunk, line = 64 / (int64_t)sizeof(REAL);
    return columns + line + ((columns / line) % 2 ? line : 0);
}

static int64_t NAME(widest)(const term_t *t) {
    int64_t w = 1;
    for (int64_t l = 1; l <= t->layers; l++) w = t->sizes[l] > w ? t->sizes[l] : w;
    return w;
}

/* Scratch of one call, in numbers of REAL. */
int64_t NAME(taylor_mlp_scratch)(const term_t *t) {
    int64_t blocks = NAME(widest)(t) * (2 * (t->layers - 1) + 2) + 2;
    return NAME(stride)(t) * blocks + 2 * t->chunk + t->sizes[1] * NAME(lows)(t) + 64;
}

/* For each row b: loss[b] += sum_p weight_p r_p^2 + linear_p r_p and gradient[b] += its gradient.
 *
 * theta, gradient (rows, P); points (groups, dims, sites), one for all rows or, by a stride, one for each; first (rows,
 * firsts, dims); second_b (rows, seconds, dims); second_c (rows, seconds, pairs); coefficient by strides (row, monomial,
 * site; the last 0 or 1); weight (sites,) as points; linear (rows, sites) or NULL for none.
 * cotangent (rows, sites), when given, replaces d loss / d r. gradient, residual (rows, sites) and slot
 * (rows, groups * streams, sites) may be NULL. */
void NAME(taylor_mlp)(const term_t *t, int64_t rows, int64_t parameters, const REAL *theta, const REAL *points,
                      int64_t points_per_row, const REAL *first, const REAL *second_b, const REAL *second_c,
                      const REAL *coefficient, int64_t per_row, int64_t per_monomial, int64_t per_site,
                      const REAL *weight, int64_t weight_per_row, const REAL *linear, const REAL *cotangent,
                      double *loss, REAL *gradient, REAL *residual, REAL *slot, REAL *scratch) {
    int64_t hidden = t->layers - 1, dims = t->sizes[0], slots = t->groups * (1 + t->firsts + t->seconds);
    NAME(row_t) r;
    r.stride = NAME(stride)(t);
    REAL *free_ = scratch, *up, *res;
    int64_t block = r.stride * NAME(widest)(t);
    for (int64_t l = 0; l < hidden; l++) {
        r.h[l] = free_, free_ += block;
        r.z[l] = free_, free_ += block;
    }
    r.dz = free_, free_ += block;
    r.dh = free_, free_ += block;
    r.slots = free_, free_ += r.stride;
    r.dslots = free_, free_ += r.stride;
    res = free_, free_ += t->chunk;
    up = free_, free_ += t->chunk;
    r.low = free_;
    for (int64_t b = 0; b < rows; b++) {
        r.theta = theta + b * parameters;
        r.first = first + b * t->firsts * dims;
        r.second_b = second_b + b * t->seconds * dims;
        r.second_c = second_c + b * t->seconds * t->pairs;
        const REAL *p = r.theta, *c = coefficient + b * per_row, *places = points + b * points_per_row;
        const REAL *weights = weight + b * weight_per_row;
        for (int64_t l = 0; l < t->layers; l++) {
            r.weight[l] = p, p += t->sizes[l] * t->sizes[l + 1];
            r.bias[l] = p, p += t->sizes[l + 1];
        }
        double sum = 0;
        for (int64_t at = 0; at < t->sites; at += t->chunk) {
            int64_t n = t->sites - at < t->chunk ? t->sites - at : t->chunk;
            NAME(forward)(t, &r, places, at, n);
            if (slot)
                for (int64_t s = 0; s < slots; s++)
                    memcpy(slot + (b * slots + s) * t->sites + at, r.slots + s * n, sizeof(REAL) * n);
            NAME(residuals)(t, &r, c, per_monomial, per_site, at, n, res);
            if (residual) memcpy(residual + b * t->sites + at, res, sizeof(REAL) * n);
            V squares = (V){0};
            for (int64_t k = 0; k < n; k += LANES) {
                V e = *(V *)(res + k), w = *(const V *)(weights + at + k);
                squares += w * e * e;
                *(V *)(up + k) = 2 * w * e;
            }
            for (int64_t k = 0; linear && k < n; k += LANES) {
                V l = *(const V *)(linear + b * t->sites + at + k);
                squares += l * *(V *)(res + k);
                *(V *)(up + k) += l;
            }
            sum += (double)NAME(total)(squares);
            if (!gradient) continue;
            if (cotangent) memcpy(up, cotangent + b * t->sites + at, sizeof(REAL) * n);
            NAME(slot_cotangents)(t, &r, c, per_monomial, per_site, at, n, up);
            NAME(backward)(t, &r, places, at, n, gradient + b * parameters);
        }
        loss[b] += sum;
    }
}

#undef LANES
#undef V
#undef I
#endif
