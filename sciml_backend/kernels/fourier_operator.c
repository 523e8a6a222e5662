/* Outputs of a Fourier neural operator and their gradient in its weights, for a few samples of one network.
 *
 * Inside, fields have their channels last, so that a vector holds channels of one point and every step is the same
 * product of a small matrix with rows of channels: the linear maps at the points, the mixing of Fourier coefficients,
 * and the Fourier transforms themselves, which are products with sines and cosines, because few frequencies are kept.
 * Rows h and H - h of a field, and points w and W - w of a row, go into their sum (for cosines) and difference (for
 * sines) first, which halves each transform. A pair of rows stays in cache from one layer's synthesis through its
 * activation into the next layer's analysis; backwards likewise.
 *
 * Real waves: a field's transform has rows cos 0 ... cos m (even) and sin 1 ... sin m (odd) of the first axis, each
 * with columns cos 0 ... cos m-1, sin 0 ... sin m-1 of the second. Two of them give a complex coefficient.
 *
 * Sums have one order whatever the number of samples. This file includes itself twice, for float and for double.
 */
#ifndef REAL

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#include <immintrin.h>
#define VECTOR_BYTES 64
#define TALLEST(wide) ((wide) == 1 ? 16 : (wide) == 2 ? 12 : 6) /* rows of a product's register block */
#else
#define VECTOR_BYTES 32
#define TALLEST(wide) ((wide) == 1 ? 12 : (wide) == 2 ? 6 : 3)
#endif

/* Numbers below the normal ones count as zero while a call works: on each, such as the tail of a GELU at -13, many a
 * processor spends a hundred times as long. */
#ifdef __SSE__
#include <xmmintrin.h>
static unsigned flush_subnormal(void) {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* results, and what is read */
    return before;
}
static void restore(unsigned before) { _mm_setcsr(before); }
#else
static unsigned flush_subnormal(void) { return 0; }
static void restore(unsigned before) { (void)before; }
#endif

#define MAX_DENSE 3 /* hidden layers of the projection, and its output */
#define INLINE static inline __attribute__((always_inline))
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define NAME(x) PASTE(x, SUFFIX)

typedef struct {
    int64_t inputs, outputs, width, modes, layers; /* width and units are multiples of 16 */
    int64_t dense;                                 /* linear maps of the projection */
    int64_t units[MAX_DENSE + 1];                  /* width, hidden units, outputs */
    int64_t height, breadth;                       /* points of the grid along either axis */
    const int64_t *at;                             /* where each block of a row of theta begins, in order */
} operator_t;

#define REAL float
#define INTEGER int32_t
#define SUFFIX _float32
#define DOUBLE 0
#include "fourier_operator.c"
#undef REAL
#undef INTEGER
#undef SUFFIX
#undef DOUBLE
#define REAL double
#define INTEGER int64_t
#define SUFFIX _float64
#define DOUBLE 1
#include "fourier_operator.c"

#else /* REAL is set: the code itself */

#define LANES (VECTOR_BYTES / (int)sizeof(REAL))
#define V NAME(vector)
#define I NAME(integers)
typedef REAL V __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef INTEGER I __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

INLINE V NAME(load)(const REAL *p) { return *(const V *)p; }
INLINE void NAME(store)(REAL *p, V v) { *(V *)p = v; }
INLINE V NAME(splat)(REAL x) { return x - (V){0}; }
INLINE V NAME(choose)(I where, V yes, V no) { return (V)((where & (I)yes) | (~where & (I)no)); }

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* A matrix whose (i, j) lies at data + i * down + j * across. */
typedef struct {
    const REAL *data;
    int64_t down, across;
} NAME(matrix);
#define M NAME(matrix)

/* c[i][.] (+)= sum_k a(i, k) b[k][.] for `tall` rows and `wide` vectors. */
INLINE void NAME(block)(int tall, int wide, int64_t inner, M a, const REAL *b, int64_t b_row, REAL *c, int64_t c_row,
                        int add) {
    V sum[16][4];
#pragma GCC unroll 16
    for (int i = 0; i < tall; i++)
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++) sum[i][j] = add ? NAME(load)(c + i * c_row + j * LANES) : (V){0};
    /* four pointers, each for four rows: addresses that a load can work out by itself */
    const REAL *p0 = a.data, *p1 = p0 + 4 * a.down, *p2 = p1 + 4 * a.down, *p3 = p2 + 4 * a.down;
    const int64_t d1 = a.down, d3 = 3 * a.down;
    for (int64_t k = 0; k < inner; k++) {
        V x[4];
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++) x[j] = NAME(load)(b + j * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < tall; i++) {
            const REAL *p = i < 4 ? p0 : i < 8 ? p1 : i < 12 ? p2 : p3;
            V w = NAME(splat)(p[i % 4 == 0 ? 0 : i % 4 == 1 ? d1 : i % 4 == 2 ? 2 * d1 : d3]);
#pragma GCC unroll 4
            for (int j = 0; j < wide; j++) sum[i][j] += w * x[j];
        }
        p0 += a.across, p1 += a.across, p2 += a.across, p3 += a.across, b += b_row;
    }
#pragma GCC unroll 16
    for (int i = 0; i < tall; i++)
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++) NAME(store)(c + i * c_row + j * LANES, sum[i][j]);
}

#define CASE(n)                                                                        \
    case n:                                                                            \
        if (n <= TALLEST(wide)) NAME(block)(n, wide, inner, a, b, b_row, c, c_row, add); \
        break;

INLINE void NAME(columns)(int wide, int64_t rows, int64_t inner, M a, const REAL *b, int64_t b_row, REAL *c,
                          int64_t c_row, int add) {
    for (int64_t blocks = (rows + TALLEST(wide) - 1) / TALLEST(wide); blocks > 0; blocks--) {
        int64_t tall = (rows + blocks - 1) / blocks;
        switch (tall) {
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
            CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14) CASE(15) CASE(16)
        }
        a.data += tall * a.down, c += tall * c_row, rows -= tall;
    }
}

/* c (rows, n) (+)= a (rows, inner) b (inner, n); n is a multiple of the lanes. */
static void NAME(product)(int64_t rows, int64_t inner, int64_t n, M a, const REAL *b, int64_t b_row, REAL *c,
                          int64_t c_row, int add) {
    int64_t j = 0;
    for (; j + 4 * LANES <= n; j += 4 * LANES) NAME(columns)(4, rows, inner, a, b + j, b_row, c + j, c_row, add);
    for (; j + 2 * LANES <= n; j += 2 * LANES) NAME(columns)(2, rows, inner, a, b + j, b_row, c + j, c_row, add);
    for (; j < n; j += LANES) NAME(columns)(1, rows, inner, a, b + j, b_row, c + j, c_row, add);
}

static void NAME(transpose)(int64_t rows, int64_t n, const REAL *from, int64_t from_row, REAL *to, int64_t to_row) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) to[j * to_row + i] = from[i * from_row + j];
}

/* sum[.] += every row of x. */
static void NAME(add_rows)(int64_t rows, int64_t n, const REAL *x, REAL *sum) {
    for (int64_t j = 0; j < n; j += LANES) {
        V s = NAME(load)(sum + j);
        for (int64_t i = 0; i < rows; i++) s += NAME(load)(x + i * n + j);
        NAME(store)(sum + j, s);
    }
}

static void NAME(fill_rows)(int64_t rows, int64_t n, const REAL *value, REAL *x) {
    for (int64_t i = 0; i < rows; i++) memcpy(x + i * n, value, n * sizeof(REAL));
}

/* ---- GELU -------------------------------------------------------------------------------------------------------- */

/* How e^y is made of 2^k e^r, and the normal distribution's tail of e^{-x²/2} and a polynomial. */
#if DOUBLE
#define MAGIC 6755399441055744.0 /* added and taken off, it rounds to whole numbers */
#define LEAST -700.0             /* a y whose e^y is a normal number */
#define LN2_HIGH 0.693147180369123816490
#define LN2_LOW 1.90821492927058770002e-10
#define MANTISSA 52
#define ONE 0x3ff0000000000000
#define NO_SIGN 0x7fffffffffffffff
#define SCALE 0.25
static const double NAME(exponential)[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                                           1.0 / 40320,      1.0 / 5040,      1.0 / 720,      1.0 / 120,     1.0 / 24,
                                           1.0 / 6,          0.5,             1.0,            1.0};
static const double NAME(tails)[] = {-4.4343515628112746e-10, -3.2114549854656605e-10, 4.1340113436315335e-09,
                                     4.902084918199719e-09,   -1.997462719722046e-08,  -4.0579794481590486e-08,
                                     6.655819784138848e-08,   2.567737205057532e-07,   -1.5655171943604472e-07,
                                     -1.4807449571513641e-06, 1.7881843784882546e-07,  8.78641114655905e-06,
                                     -4.769768721302713e-07,  -5.777378769695014e-05,  3.333606472593728e-05,
                                     0.0004077046219705957,   -0.0008699230907225894,  -0.0018850472422843286,
                                     0.0150991437226906,      -0.0466304644898918,     0.09678435018555413,
                                     -0.15197416049297327,    0.18882128260393788};
#else
#define MAGIC 12582912.0f
#define LEAST -87.0f
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define MANTISSA 23
#define ONE 0x3f800000
#define NO_SIGN 0x7fffffff
#define SCALE 0.32f
static const float NAME(exponential)[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
static const float NAME(tails)[] = {-0.02108843f, 0.09545561f, -0.1468034f, 0.06543221f, -0.00944491f,
                                    0.05868034f,  0.087823f,   0.11462313f, 0.1276609f,  0.12766153f};
#endif

/* 1 / x; a vector's division takes as long as ten products in float. */
INLINE V NAME(reciprocal)(V x) {
#if defined(__AVX512F__) && !DOUBLE
    V r = (V)_mm512_rcp14_ps((__m512)x);
    return r + r * (1 - x * r);
#else
    return 1 / x;
#endif
}

/* Coefficients of falling powers. */
#define POLYNOMIAL(c, x, sum)                                   \
    V sum = NAME(splat)(c[0]);                                  \
    _Pragma("GCC unroll 32") for (int i = 1; i < (int)(sizeof(c) / sizeof(c[0])); i++) sum = sum * (x) + c[i];

/* The normal distribution below -|x|, and e^{-x²/2} = bell.
 *
 * tail = bell t p with t = 1 / (1 + SCALE |x|): p, of t or (in double) of 1 - 2t, is fitted to the scaled error
 * function, to 3.3e-8 of its value, in double to 5e-16.
 */
INLINE void NAME(normal)(V x, V *tail, V *bell) {
    V size = (V)((I)x & NO_SIGN), y = x * x * (REAL)-0.5;
    y = NAME(choose)(y < LEAST, NAME(splat)(LEAST), y); /* a NaN stays one */
    V shifted = y * (REAL)1.44269504088896340736 + MAGIC, k = shifted - MAGIC;
    V r = y - k * LN2_HIGH - k * LN2_LOW;
    V scale = (V)((((I)shifted - (I)NAME(splat)(MAGIC)) << MANTISSA) + ONE);
    POLYNOMIAL(NAME(exponential), r, e)
    *bell = e * scale;
    V t = NAME(reciprocal)(size * SCALE + (REAL)1), at = t;
    if (DOUBLE) at = 1 - 2 * t;
    POLYNOMIAL(NAME(tails), at, p)
    *tail = *bell * t * p;
}

/* out = GELU(x + bias), and slope (unless NULL) its derivative; rows of n. */
static void NAME(gelu)(int64_t rows, int64_t n, const REAL *bias, const REAL *x, REAL *out, REAL *slope) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j += LANES) {
            V z = NAME(load)(x + i * n + j) + NAME(load)(bias + j), tail, bell;
            NAME(normal)(z, &tail, &bell);
            V below = NAME(choose)(z < 0, tail, 1 - tail);
            NAME(store)(out + i * n + j, z * below);
            if (slope) NAME(store)(slope + i * n + j, below + z * bell * (REAL)0.39894228040143267794);
        }
}

/* ---- workspace --------------------------------------------------------------------------------------------------- */

/* What is known of one call: sizes, weights, and where everything lies. */
typedef struct {
    operator_t o;
    int64_t samples, points, row, field, spectrum, line; /* numbers of a row, a sample's field, a layer's coefficients */
    int64_t even_h, odd_h, even_w, odd_w;                /* sums and differences along each axis */
    const REAL *cos_h, *sin_h, *cos_w, *sin_w;           /* (even or odd, frequencies) */
    const REAL *theta;
    REAL *even, *odd, *waves;                            /* real waves of one sample: (even_h, odd_h or 2m+1; line) */
    REAL *fold, *lines, *halves, *rows;                  /* of one pair of rows */
    REAL *mixed, *turned;                                /* coefficients after mixing, and what mixing needs */
    REAL *transposed, *lifting;                          /* a matrix (in, out) */
    REAL *dense[MAX_DENSE], *hidden[MAX_DENSE], *slope[MAX_DENSE], *delta[MAX_DENSE]; /* of the projection, on one row */
    REAL *activations, *slopes, *spectra;                /* kept for the way back, layer by layer */
    int64_t keep, size;
} NAME(work);
#define W NAME(work)

static REAL *NAME(take)(W *w, REAL *base, int64_t count) {
    REAL *found = base ? base + w->size : NULL;
    w->size += (count + 15) / 16 * 16;
    return found;
}

static const REAL *NAME(block_of)(const W *w, int64_t i) { return w->theta + w->o.at[i]; }
#define SPECTRAL(l) (2 + 3 * (l))
#define LOCAL(l) (3 + 3 * (l))
#define DENSE(w, d) (2 + 3 * (w)->o.layers + 2 * (d))

/* Places in `base`, which may be NULL to learn the size. */
static W NAME(work_of)(const operator_t *o, int64_t samples, int64_t keep, const REAL *tables, const REAL *theta,
                       REAL *base) {
    W w = {.o = *o, .samples = samples, .theta = theta, .keep = keep};
    const int64_t c = o->width, m = o->modes;
    w.points = o->height * o->breadth, w.row = o->breadth * c, w.field = w.points * c;
    w.spectrum = 2 * m * m * samples * 2 * c, w.line = 2 * m * c;
    w.even_h = o->height / 2 + 1, w.odd_h = (o->height - 1) / 2;
    w.even_w = o->breadth / 2 + 1, w.odd_w = (o->breadth - 1) / 2;
    w.cos_h = tables, w.sin_h = w.cos_h + w.even_h * (m + 1);
    w.cos_w = w.sin_h + w.odd_h * m, w.sin_w = w.cos_w + w.even_w * m;
    w.even = NAME(take)(&w, base, w.even_h * w.line), w.odd = NAME(take)(&w, base, w.odd_h * w.line);
    w.waves = NAME(take)(&w, base, (2 * m + 1) * w.line);
    w.fold = NAME(take)(&w, base, 4 * w.even_w * c), w.lines = NAME(take)(&w, base, w.line);
    w.halves = NAME(take)(&w, base, 2 * w.even_w * c), w.rows = NAME(take)(&w, base, 2 * w.row);
    w.mixed = NAME(take)(&w, base, w.spectrum);
    w.turned = NAME(take)(&w, base, 2 * samples * 2 * c);
    w.transposed = NAME(take)(&w, base, c * c), w.lifting = NAME(take)(&w, base, c * o->inputs);
    for (int64_t d = 0; d + 1 < o->dense; d++) {
        w.dense[d] = NAME(take)(&w, base, o->units[d] * o->units[d + 1]);
        w.hidden[d] = NAME(take)(&w, base, o->breadth * o->units[d + 1]);
        w.slope[d] = NAME(take)(&w, base, o->breadth * o->units[d + 1]);
        w.delta[d] = NAME(take)(&w, base, o->breadth * o->units[d + 1]);
    }
    const int64_t layers = keep ? o->layers : 0; /* else one field, one spectrum and no slopes do */
    w.activations = NAME(take)(&w, base, (layers + 1) * samples * w.field);
    w.slopes = NAME(take)(&w, base, layers * samples * w.field); /* the last of them is the way back's own */
    w.spectra = NAME(take)(&w, base, (keep ? layers : 1) * w.spectrum);
    return w;
}

static REAL *NAME(activation)(const W *w, int64_t layer, int64_t sample) {
    return w->activations + ((w->keep ? layer * w->samples : 0) + sample) * w->field;
}
static REAL *NAME(slope_of)(const W *w, int64_t layer, int64_t sample) {
    return w->slopes + (layer * w->samples + sample) * w->field;
}
static REAL *NAME(spectrum_of)(const W *w, int64_t layer) { return w->spectra + (w->keep ? layer * w->spectrum : 0); }

/* The row that goes with row j, or NULL. */
static REAL *NAME(partner)(const W *w, REAL *field, int64_t j) {
    return j && 2 * j != w->o.height ? field + (w->o.height - j) * w->row : NULL;
}

/* ---- Fourier transforms ------------------------------------------------------------------------------------------ */

/* Real waves along rows j and H - j (which may be NULL): of their sum into even[j], of their difference into odd. */
static void NAME(analyse_rows)(const W *w, int64_t j, const REAL *p, const REAL *q) {
    const int64_t c = w->o.width, m = w->o.modes, n = w->o.breadth;
    REAL *sum_even = w->fold, *diff_even = sum_even + w->even_w * c;
    REAL *sum_odd = diff_even + w->even_w * c, *diff_odd = sum_odd + w->odd_w * c;
    for (int64_t i = 0; i < w->even_w; i++) {
        const int64_t here = i * c, there = (n - i) * c, paired = i >= 1 && i <= w->odd_w;
        for (int64_t k = 0; k < c; k += LANES) {
            V a = NAME(load)(p + here + k), b = paired ? NAME(load)(p + there + k) : (V){0}, even = a + b, odd = a - b;
            if (q) {
                V d = NAME(load)(q + here + k), e = paired ? NAME(load)(q + there + k) : (V){0};
                V even_q = d + e, odd_q = d - e;
                NAME(store)(diff_even + here + k, even - even_q);
                if (paired) NAME(store)(diff_odd + here - c + k, odd - odd_q);
                even += even_q, odd += odd_q;
            }
            NAME(store)(sum_even + here + k, even);
            if (paired) NAME(store)(sum_odd + here - c + k, odd);
        }
    }
    const M cosines = {w->cos_w, 1, m}, sines = {w->sin_w, 1, m};
    REAL *even = w->even + j * w->line, *odd = w->odd + (j - 1) * w->line;
    NAME(product)(m, w->even_w, c, cosines, sum_even, c, even, c, 0);
    NAME(product)(m, w->odd_w, c, sines, sum_odd, c, even + m * c, c, 0);
    if (!q) return;
    NAME(product)(m, w->even_w, c, cosines, diff_even, c, odd, c, 0);
    NAME(product)(m, w->odd_w, c, sines, diff_odd, c, odd + m * c, c, 0);
}

/* The inverse: rows j and H - j (unless NULL) from even[j] and odd. */
static void NAME(synthesise_rows)(const W *w, int64_t j, REAL *p, REAL *q) {
    const int64_t c = w->o.width, m = w->o.modes, n = w->o.breadth;
    const M cosines = {w->cos_w, m, 1}, sines = {w->sin_w, m, 1};
    const REAL *even = w->even + j * w->line, *odd = w->odd + (j - 1) * w->line;
    REAL *halves[2] = {w->halves, w->halves + w->even_w * c};
    for (int second = 0; second <= (q != NULL); second++) {
        REAL *row = second ? q : p;
        const REAL *line = even;
        if (q) {
            const REAL sign = second ? -1 : 1;
            for (int64_t k = 0; k < w->line; k += LANES)
                NAME(store)(w->lines + k, NAME(load)(even + k) + sign * NAME(load)(odd + k));
            line = w->lines;
        }
        NAME(product)(w->even_w, m, c, cosines, line, c, halves[0], c, 0);
        NAME(product)(w->odd_w, m, c, sines, line + m * c, c, halves[1], c, 0);
        for (int64_t i = 0; i < w->even_w; i++) {
            const int64_t paired = i >= 1 && i <= w->odd_w;
            for (int64_t k = 0; k < c; k += LANES) {
                V a = NAME(load)(halves[0] + i * c + k), b = paired ? NAME(load)(halves[1] + (i - 1) * c + k) : (V){0};
                NAME(store)(row + i * c + k, a + b);
                if (paired) NAME(store)(row + (n - i) * c + k, a - b);
            }
        }
    }
}

/* The second axis of the analysis; coefficients (modes, samples, 2, c), times `first` in column 0, `rest` elsewhere. */
static void NAME(analyse)(const W *w, REAL *spectrum, int64_t sample, REAL first, REAL rest) {
    const int64_t c = w->o.width, m = w->o.modes, line = w->line, mode = w->samples * 2 * c;
    REAL *cosines = w->waves, *sines = w->waves + (m + 1) * line;
    NAME(product)(m + 1, w->even_h, line, (M){w->cos_h, 1, m + 1}, w->even, line, cosines, line, 0);
    NAME(product)(m, w->odd_h, line, (M){w->sin_h, 1, m}, w->odd, line, sines, line, 0);
    spectrum += sample * 2 * c;
    for (int64_t k = 0; k <= m; k++)
        for (int64_t l = 0; l < m; l++) {
            const REAL factor = l ? rest : first, *cc = cosines + k * line + l * c, *sc = sines + (k - 1) * line + l * c;
            REAL *plus = spectrum + (k * m + l) * mode, *minus = spectrum + ((2 * m - k) * m + l) * mode;
            for (int64_t i = 0; i < c; i += LANES) {
                V re = NAME(load)(cc + i), im = -NAME(load)(cc + m * c + i), turn_re = {0}, turn_im = {0};
                if (k) turn_re = NAME(load)(sc + m * c + i), turn_im = NAME(load)(sc + i);
                if (k < m) NAME(store)(plus + i, (re - turn_re) * factor);
                if (k < m) NAME(store)(plus + c + i, (im - turn_im) * factor);
                if (k) NAME(store)(minus + i, (re + turn_re) * factor);
                if (k) NAME(store)(minus + c + i, (im + turn_im) * factor);
            }
        }
}

/* The inverse: `even` and `odd` from the coefficients of a sample. */
static void NAME(synthesise)(const W *w, const REAL *spectrum, int64_t sample, REAL first, REAL rest) {
    const int64_t c = w->o.width, m = w->o.modes, line = w->line, mode = w->samples * 2 * c;
    REAL *cosines = w->waves, *sines = w->waves + (m + 1) * line;
    spectrum += sample * 2 * c;
    for (int64_t k = 0; k <= m; k++)
        for (int64_t l = 0; l < m; l++) {
            const REAL factor = l ? rest : first;
            const REAL *plus = spectrum + (k * m + l) * mode, *minus = spectrum + ((2 * m - k) * m + l) * mode;
            REAL *cc = cosines + k * line + l * c, *sc = sines + (k - 1) * line + l * c;
            for (int64_t i = 0; i < c; i += LANES) {
                V re = {0}, im = {0}, minus_re = {0}, minus_im = {0};
                if (k < m) re = NAME(load)(plus + i), im = NAME(load)(plus + c + i);
                if (k) minus_re = NAME(load)(minus + i), minus_im = NAME(load)(minus + c + i);
                NAME(store)(cc + i, (minus_re + re) * factor);
                NAME(store)(cc + m * c + i, (minus_im + im) * -factor);
                if (k) NAME(store)(sc + i, (minus_im - im) * factor);
                if (k) NAME(store)(sc + m * c + i, (minus_re - re) * factor);
            }
        }
    NAME(product)(w->even_h, m + 1, line, (M){w->cos_h, m + 1, 1}, cosines, line, w->even, line, 0);
    NAME(product)(w->odd_h, m, line, (M){w->sin_h, m, 1}, sines, line, w->odd, line, 0);
}

/* ---- mixing of coefficients -------------------------------------------------------------------------------------- */

/* mixed = spectrum times complex weights (modes, in, 2, out). */
static void NAME(mix)(const W *w, const REAL *weight, const REAL *spectrum) {
    const int64_t c = w->o.width, all = 2 * w->samples, modes = 2 * w->o.modes * w->o.modes;
    REAL *both = w->turned; /* of real and imaginary parts: times the real part, times the imaginary part */
    for (int64_t mode = 0; mode < modes; mode++, weight += 2 * c * c, spectrum += all * c) {
        NAME(product)(all, c, 2 * c, (M){spectrum, c, 1}, weight, 2 * c, both, 2 * c, 0);
        REAL *out = w->mixed + mode * all * c;
        for (int64_t s = 0; s < w->samples; s++)
            for (int64_t i = 0; i < c; i += LANES) {
                const REAL *re = both + 4 * s * c + i, *im = re + 2 * c;
                NAME(store)(out + 2 * s * c + i, NAME(load)(re) - NAME(load)(im + c));
                NAME(store)(out + 2 * s * c + c + i, NAME(load)(re + c) + NAME(load)(im));
            }
    }
}

/* The way back: mixed, the cotangent of what was mixed, becomes that of the spectrum; adds to the gradient.
 *
 * Here the weights are transposed, (modes, 2, out, in).
 */
static void NAME(mix_back)(const W *w, const REAL *weight, const REAL *spectrum, REAL *gradient) {
    const int64_t c = w->o.width, all = 2 * w->samples, modes = 2 * w->o.modes * w->o.modes;
    for (int64_t mode = 0; mode < modes; mode++, weight += 2 * c * c, gradient += 2 * c * c, spectrum += all * c) {
        REAL *cotangent = w->mixed + mode * all * c;
        for (int64_t s = 0; s < w->samples; s++)
            for (int64_t i = 0; i < c; i += LANES) { /* of the real part (re, im), of the imaginary part (im, -re) */
                V re = NAME(load)(cotangent + 2 * s * c + i), im = NAME(load)(cotangent + 2 * s * c + c + i);
                REAL *to = w->turned + 4 * s * c + i;
                NAME(store)(to, re), NAME(store)(to + c, im), NAME(store)(to + 2 * c, im), NAME(store)(to + 3 * c, -re);
            }
        NAME(product)(c, all, 2 * c, (M){spectrum, 1, c}, w->turned, 2 * c, gradient, 2 * c, 1);
        NAME(product)(all, 2 * c, c, (M){w->turned, 2 * c, 1}, weight, c, cotangent, c, 0);
    }
}

/* ---- lifting and projection, on one row of points ---------------------------------------------------------------- */

static void NAME(lift)(const W *w, const REAL *fields, REAL *row) {
    const int64_t c = w->o.width, n = w->o.breadth;
    NAME(fill_rows)(n, c, NAME(block_of)(w, 1), row);
    NAME(product)(n, w->o.inputs, c, (M){fields, 1, w->points}, w->lifting, c, row, c, 1);
}

static void NAME(hide)(const W *w, const REAL *row, int slopes) {
    for (int64_t d = 0; d + 1 < w->o.dense; d++) {
        const int64_t n_in = w->o.units[d], n_out = w->o.units[d + 1], n = w->o.breadth;
        NAME(product)(n, n_in, n_out, (M){d ? w->hidden[d - 1] : row, n_in, 1}, w->dense[d], n_out, w->hidden[d], n_out, 0);
        NAME(gelu)(n, n_out, NAME(block_of)(w, DENSE(w, d) + 1), w->hidden[d], w->hidden[d], slopes ? w->slope[d] : NULL);
    }
}

static void NAME(project)(const W *w, const REAL *row, REAL *outputs) {
    const int64_t last = w->o.dense - 1, units = w->o.units[last];
    const REAL *weight = NAME(block_of)(w, DENSE(w, last)), *bias = NAME(block_of)(w, DENSE(w, last) + 1);
    NAME(hide)(w, row, 0);
    for (int64_t o = 0; o < w->o.outputs; o++)
        for (int64_t i = 0; i < w->o.breadth; i++) {
            V sum = {0};
            for (int64_t j = 0; j < units; j += LANES)
                sum += NAME(load)(weight + o * units + j) * NAME(load)(w->hidden[last - 1] + i * units + j);
            REAL total = bias[o];
            for (int j = 0; j < LANES / 2; j++) total += sum[j] + sum[j + LANES / 2];
            outputs[o * w->points + i] = total;
        }
}

/* The cotangent of a row of the last layer's field from that of its outputs; adds to the projection's gradient. */
static void NAME(project_back)(const W *w, const REAL *row, const REAL *cotangent, REAL *gradient, REAL *out) {
    const int64_t n = w->o.breadth, last = w->o.dense - 1;
    NAME(hide)(w, row, 1);
    M delta = {cotangent, 1, w->points};
    for (int64_t d = last; d >= 0; d--) {
        const int64_t n_in = w->o.units[d], n_out = w->o.units[d + 1];
        REAL *to = gradient + w->o.at[DENSE(w, d)], *bias = gradient + w->o.at[DENSE(w, d) + 1];
        REAL *before = d ? w->delta[d - 1] : out;
        NAME(product)(n_out, n, n_in, (M){delta.data, delta.across, delta.down}, d ? w->hidden[d - 1] : row, n_in, to,
                      n_in, 1);
        if (d < last) NAME(add_rows)(n, n_out, delta.data, bias);
        else
            for (int64_t o = 0; o < n_out; o++)
                for (int64_t i = 0; i < n; i++) bias[o] += cotangent[o * w->points + i];
        NAME(product)(n, n_out, n_in, delta, NAME(block_of)(w, DENSE(w, d)), n_in, before, n_in, 0);
        if (d)
            for (int64_t i = 0; i < n * n_in; i += LANES)
                NAME(store)(before + i, NAME(load)(before + i) * NAME(load)(w->slope[d - 1] + i));
        delta = (M){before, n_in, 1};
    }
}

/* ---- the whole operator ------------------------------------------------------------------------------------------ */

/* One layer of one sample, whose mixed coefficients are there: the next field, and its spectrum or the outputs. */
static void NAME(layer)(const W *w, int64_t l, int64_t sample, REAL *outputs) {
    const int64_t c = w->o.width, n = w->o.breadth, is_last = l == w->o.layers - 1;
    const REAL *bias = NAME(block_of)(w, LOCAL(l) + 1), inverse = 1 / (REAL)w->points;
    REAL *from = NAME(activation)(w, l, sample), *to = NAME(activation)(w, l + 1, sample);
    REAL *slope = w->keep && !is_last ? NAME(slope_of)(w, l, sample) : NULL;
    NAME(synthesise)(w, w->mixed, sample, inverse, 2 * inverse);
    for (int64_t j = 0; j < w->even_h; j++) {
        REAL *q = NAME(partner)(w, to, j), *rows[2] = {to + j * w->row, q};
        NAME(synthesise_rows)(w, j, w->rows, q ? w->rows + w->row : NULL);
        for (int i = 0; i <= (q != NULL); i++) {
            const int64_t at = rows[i] - to;
            REAL *z = w->rows + i * w->row;
            NAME(product)(n, c, c, (M){from + at, c, 1}, w->transposed, c, z, c, 1);
            if (!is_last) {
                NAME(gelu)(n, c, bias, z, rows[i], slope ? slope + at : NULL);
                continue;
            }
            for (int64_t k = 0; k < w->row; k += LANES)
                NAME(store)(rows[i] + k, NAME(load)(z + k) + NAME(load)(bias + k % c));
            NAME(project)(w, rows[i], outputs + at / c);
        }
        if (!is_last) NAME(analyse_rows)(w, j, rows[0], rows[1]);
    }
    if (!is_last) NAME(analyse)(w, NAME(spectrum_of)(w, l + 1), sample, 1, 1);
}

static void NAME(transposed_matrices)(const W *w) {
    NAME(transpose)(w->o.width, w->o.inputs, NAME(block_of)(w, 0), w->o.inputs, w->lifting, w->o.width);
    for (int64_t d = 0; d + 1 < w->o.dense; d++)
        NAME(transpose)(w->o.units[d + 1], w->o.units[d], NAME(block_of)(w, DENSE(w, d)), w->o.units[d], w->dense[d],
                        w->o.units[d + 1]);
}

/* The gradient of a layer's local matrix from one row of its cotangent and of its input. */
static void NAME(local_gradient)(const W *w, int64_t l, const REAL *cotangent, const REAL *input, REAL *gradient) {
    const int64_t c = w->o.width;
    NAME(product)(c, w->o.breadth, c, (M){cotangent, 1, c}, input, c, gradient + w->o.at[LOCAL(l)], c, 1);
}

/* Coefficients of a layer's cotangent; its sum over the points, a wave of frequency zero, is the bias's gradient. */
static void NAME(analyse_cotangent)(const W *w, int64_t l, int64_t sample, REAL *gradient) {
    const REAL inverse = 1 / (REAL)w->points;
    NAME(analyse)(w, w->mixed, sample, inverse, 2 * inverse);
    NAME(add_rows)(1, w->o.width, w->waves, gradient + w->o.at[LOCAL(l) + 1]);
}

/* The way back through one layer of one sample, whose coefficients' cotangent is in `mixed`. */
static void NAME(layer_back)(const W *w, int64_t l, int64_t sample, const REAL *fields, REAL *gradient, REAL *lifting) {
    const int64_t c = w->o.width, n = w->o.breadth;
    REAL *field = NAME(slope_of)(w, w->o.layers - 1, sample); /* the cotangent of the layer's outcome, then of its input's */
    NAME(synthesise)(w, w->mixed, sample, 1, 1);
    for (int64_t j = 0; j < w->even_h; j++) {
        REAL *q = NAME(partner)(w, field, j), *rows[2] = {field + j * w->row, q};
        NAME(synthesise_rows)(w, j, w->rows, q ? w->rows + w->row : NULL);
        for (int i = 0; i <= (q != NULL); i++) {
            const int64_t at = rows[i] - field;
            REAL *z = w->rows + i * w->row;
            NAME(product)(n, c, c, (M){rows[i], c, 1}, NAME(block_of)(w, LOCAL(l)), c, z, c, 1);
            if (!l) {
                NAME(product)(w->o.inputs, n, c, (M){fields + at / c, w->points, 1}, z, c, lifting, c, 1);
                NAME(add_rows)(n, c, z, gradient + w->o.at[1]);
                continue;
            }
            const REAL *slope = NAME(slope_of)(w, l - 1, sample) + at;
            for (int64_t k = 0; k < w->row; k += LANES)
                NAME(store)(rows[i] + k, NAME(load)(z + k) * NAME(load)(slope + k));
            NAME(local_gradient)(w, l - 1, rows[i], NAME(activation)(w, l - 1, sample) + at, gradient);
        }
        if (l) NAME(analyse_rows)(w, j, rows[0], rows[1]);
    }
    if (l) NAME(analyse_cotangent)(w, l - 1, sample, gradient);
}

/* Numbers that a call needs to work in. */
int64_t NAME(fourier_operator_size)(const operator_t *o, int64_t samples, int64_t keep) {
    return NAME(work_of)(o, samples, keep, NULL, NULL, NULL).size;
}

/* Outputs (samples, outputs, h, w) of fields (samples, inputs, h, w); with `keep`, `work` is ready for the way back. */
void NAME(fourier_operator)(const operator_t *o, int64_t samples, int64_t keep, const REAL *tables, const REAL *theta,
                            const REAL *fields, REAL *outputs, REAL *work) {
    const W w = NAME(work_of)(o, samples, keep, tables, theta, work);
    const unsigned before = flush_subnormal();
    NAME(transposed_matrices)(&w);
    for (int64_t s = 0; s < samples; s++) {
        REAL *field = NAME(activation)(&w, 0, s);
        for (int64_t j = 0; j < w.even_h; j++) {
            REAL *p = field + j * w.row, *q = NAME(partner)(&w, field, j);
            NAME(lift)(&w, fields + s * o->inputs * w.points + j * o->breadth, p);
            if (q) NAME(lift)(&w, fields + s * o->inputs * w.points + (o->height - j) * o->breadth, q);
            NAME(analyse_rows)(&w, j, p, q);
        }
        NAME(analyse)(&w, NAME(spectrum_of)(&w, 0), s, 1, 1);
    }
    for (int64_t l = 0; l < o->layers; l++) {
        NAME(mix)(&w, NAME(block_of)(&w, SPECTRAL(l)), NAME(spectrum_of)(&w, l));
        NAME(transpose)(o->width, o->width, NAME(block_of)(&w, LOCAL(l)), o->width, w.transposed, o->width);
        for (int64_t s = 0; s < samples; s++) NAME(layer)(&w, l, s, outputs + s * o->outputs * w.points);
    }
    restore(before);
}

/* The layers' spectral weights transposed, (layers, modes, 2 out, in). */
void NAME(fourier_operator_transposed)(const operator_t *o, const REAL *theta, REAL *spectral) {
    const int64_t c = o->width, modes = 2 * o->modes * o->modes;
    for (int64_t l = 0; l < o->layers; l++)
        for (int64_t mode = 0; mode < modes; mode++, spectral += 2 * c * c)
            NAME(transpose)(c, 2 * c, theta + o->at[SPECTRAL(l)] + mode * 2 * c * c, 2 * c, spectral, c);
}

/* Adds to `gradient` that of sum cotangent . outputs, after a call that kept what is needed; `spectral` is what
 * `fourier_operator_transposed` gives. */
void NAME(fourier_operator_back)(const operator_t *o, int64_t samples, const REAL *tables, const REAL *theta,
                                 const REAL *spectral, const REAL *fields, const REAL *cotangent, REAL *gradient,
                                 REAL *work) {
    const W w = NAME(work_of)(o, samples, 1, tables, theta, work);
    const int64_t last = o->layers - 1, c = o->width;
    const unsigned before = flush_subnormal();
    NAME(transposed_matrices)(&w);
    for (int64_t s = 0; s < samples; s++) {
        REAL *field = NAME(slope_of)(&w, last, s);
        for (int64_t j = 0; j < w.even_h; j++) {
            REAL *q = NAME(partner)(&w, field, j), *rows[2] = {field + j * w.row, q};
            for (int i = 0; i <= (q != NULL); i++) {
                const int64_t at = rows[i] - field;
                NAME(project_back)(&w, NAME(activation)(&w, o->layers, s) + at,
                                   cotangent + s * o->outputs * w.points + at / c, gradient, rows[i]);
                NAME(local_gradient)(&w, last, rows[i], NAME(activation)(&w, last, s) + at, gradient);
            }
            NAME(analyse_rows)(&w, j, rows[0], rows[1]);
        }
        NAME(analyse_cotangent)(&w, last, s, gradient);
    }
    memset(w.lifting, 0, o->inputs * c * sizeof(REAL));
    for (int64_t l = last; l >= 0; l--) {
        NAME(mix_back)(&w, spectral + l * 4 * o->modes * o->modes * c * c, NAME(spectrum_of)(&w, l),
                       gradient + o->at[SPECTRAL(l)]);
        for (int64_t s = 0; s < samples; s++)
            NAME(layer_back)(&w, l, s, fields + s * o->inputs * w.points, gradient, w.lifting);
    }
    for (int64_t i = 0; i < c; i++)
        for (int64_t j = 0; j < o->inputs; j++) gradient[o->at[0] + i * o->inputs + j] += w.lifting[j * c + i];
    restore(before);
}

#undef MAGIC
#undef LEAST
#undef LN2_HIGH
#undef LN2_LOW
#undef MANTISSA
#undef ONE
#undef NO_SIGN
#undef SCALE
#undef LANES
#undef V
#undef I
#undef M
#undef W
#endif
