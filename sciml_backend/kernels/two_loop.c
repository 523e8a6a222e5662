/* Vector arithmetic of L-BFGS, one row (one training run) at a time: Nocedal & Wright (2006), algorithm 7.4.

   Every sum runs in one fixed order that depends on the number of parameters alone, so a row's bits do not depend on
   how many rows are computed beside it or on where it lies in memory. The file includes itself once per precision. */
#ifndef REAL

#include <math.h>
#include <stdint.h>

#define JOIN(name, suffix) name##_##suffix
#define NAME_AS(name, suffix) JOIN(name, suffix)
#define NAME(name) NAME_AS(name, PRECISION)

#define REAL float
#define BITS int32_t
#define PRECISION float32
#include "two_loop.c"
#undef REAL
#undef BITS
#undef PRECISION

#define REAL double
#define BITS int64_t
#define PRECISION float64
#include "two_loop.c"

#else

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define LANES ((int64_t)(64 / sizeof(REAL)))

typedef REAL VECTOR __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));
typedef BITS MASK __attribute__((vector_size(64)));

static inline double NAME(total)(const VECTOR *a, const VECTOR *b, const VECTOR *c, const VECTOR *d, REAL tail) {
    VECTOR all = (*a + *b) + (*c + *d);
    double sum = tail;
    for (int64_t lane = 0; lane < LANES; lane++) sum += (double)all[lane];
    return sum;
}

/* q += a x, and the product of the new q with z: one pass over memory where two operations need it. */
static inline double NAME(add_dot)(int64_t n, REAL *restrict q, REAL a, const REAL *restrict x, const REAL *restrict z) {
    VECTOR s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    REAL tail = 0;
    int64_t i = 0;
#define PART(sum, at)                                        \
    {                                                        \
        VECTOR *to = (VECTOR *)(q + (at));                   \
        VECTOR value = *to + a * *(const VECTOR *)(x + (at)); \
        *to = value;                                         \
        sum += value * *(const VECTOR *)(z + (at));          \
    }
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        PART(s0, i)
        PART(s1, i + LANES)
        PART(s2, i + 2 * LANES)
        PART(s3, i + 3 * LANES)
    }
    for (; i + LANES <= n; i += LANES) PART(s0, i)
#undef PART
    for (; i < n; i++) {
        q[i] += a * x[i];
        tail += q[i] * z[i];
    }
    return NAME(total)(&s0, &s1, &s2, &s3, tail);
}

static inline double NAME(dot)(int64_t n, const REAL *x, const REAL *z) {
    VECTOR s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    REAL tail = 0;
    int64_t i = 0;
#define PART(sum, at) sum += *(const VECTOR *)(x + (at)) * *(const VECTOR *)(z + (at));
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        PART(s0, i)
        PART(s1, i + LANES)
        PART(s2, i + 2 * LANES)
        PART(s3, i + 3 * LANES)
    }
    for (; i + LANES <= n; i += LANES) PART(s0, i)
#undef PART
    for (; i < n; i++) tail += x[i] * z[i];
    return NAME(total)(&s0, &s1, &s2, &s3, tail);
}

/* Largest and summed absolute value; both are not a number where one of the values is. */
static void NAME(norm)(int64_t n, const REAL *x, double *largest, double *sum) {
    const MASK magnitude = (MASK){0} + (BITS)(((uint64_t)1 << (8 * sizeof(REAL) - 1)) - 1);
    VECTOR added = {0}, none = {0}, top = {0};
    REAL tail = 0, tail_top = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        VECTOR value = (VECTOR)((MASK) * (const VECTOR *)(x + i) & magnitude);
        MASK larger = value > top;
        top = (VECTOR)((larger & (MASK)value) | (~larger & (MASK)top));
        added += value;
    }
    for (; i < n; i++) {
        REAL value = x[i] < 0 ? -x[i] : x[i];
        tail_top = value > tail_top ? value : tail_top;
        tail += value;
    }
    *sum = NAME(total)(&added, &none, &none, &none, tail);
    *largest = tail_top;
    for (int64_t lane = 0; lane < LANES; lane++) *largest = top[lane] > *largest ? (double)top[lane] : *largest;
    if (isnan(*sum)) *largest = *sum;
}

void NAME(dots)(int64_t rows, int64_t n, const REAL *x, const REAL *z, double *out) {
    for (int64_t row = 0; row < rows; row++) out[row] = NAME(dot)(n, x + row * n, z + row * n);
}

void NAME(norms)(int64_t rows, int64_t n, const REAL *x, double *largest, double *sum) {
    for (int64_t row = 0; row < rows; row++) NAME(norm)(n, x + row * n, largest + row, sum + row);
}

/* out[k] = x[k] + step[k] * direction[k] */
void NAME(moved)(int64_t rows, int64_t n, const REAL *x, const double *step, const REAL *direction, REAL *out) {
    for (int64_t row = 0; row < rows; row++) {
        const REAL length = (REAL)step[row];
        const REAL *from = x + row * n, *along = direction + row * n;
        REAL *to = out + row * n;
        for (int64_t i = 0; i < n; i++) to[i] = from[i] + length * along[i];
    }
}

/* Keep the pair (step * direction, gradient - previous) of every row in which it is curved upwards enough.
   s and y are (rows, history, stride) ring buffers, inverse (rows, history) holds 1 / (y.s). */
void NAME(push)(int64_t rows, int64_t n, int64_t history, int64_t stride, REAL *s, REAL *y, double *inverse,
                double *scale, int64_t *newest, int64_t *count, const double *step, const REAL *direction,
                const REAL *gradient, const REAL *previous, double least, REAL *scratch) {
    for (int64_t row = 0; row < rows; row++) {
        const REAL length = (REAL)step[row];
        const REAL *along = direction + row * n, *after = gradient + row * n, *before = previous + row * n;
        REAL *moved = scratch, *change = scratch + stride;
        for (int64_t i = 0; i < n; i++) {
            moved[i] = length * along[i];
            change[i] = after[i] - before[i];
        }
        const double curvature = NAME(dot)(n, change, moved);
        if (!(curvature > least)) continue;
        const int64_t slot = (newest[row] + 1) % history;
        REAL *s_slot = s + (row * history + slot) * stride, *y_slot = y + (row * history + slot) * stride;
        for (int64_t i = 0; i < n; i++) {
            s_slot[i] = moved[i];
            y_slot[i] = change[i];
        }
        inverse[row * history + slot] = 1.0 / curvature;
        scale[row] = curvature / NAME(dot)(n, change, change);
        newest[row] = slot;
        count[row] = count[row] < history ? count[row] + 1 : history;
    }
}

/* out = -H gradient, with the slope gradient.out, for every row. */
void NAME(two_loop)(int64_t rows, int64_t n, int64_t history, int64_t stride, const REAL *s, const REAL *y,
                    const double *inverse, const double *scale, const int64_t *newest, const int64_t *count,
                    const REAL *gradient, REAL *out, double *slope, REAL *scratch) {
    double alpha[history];
    for (int64_t row = 0; row < rows; row++) {
        const REAL *g = gradient + row * n, *s_row = s + row * history * stride, *y_row = y + row * history * stride;
        const int64_t pairs = count[row], last = newest[row];
        REAL *q = scratch;
        for (int64_t i = 0; i < n; i++) q[i] = -g[i];
#define SLOT(age) ((last - (age) + history) % history)
        double product = pairs ? NAME(dot)(n, s_row + SLOT(0) * stride, q) : 0.0;
        for (int64_t age = 0; age < pairs; age++) {
            const int64_t slot = SLOT(age), next = SLOT(age + 1 < pairs ? age + 1 : age);
            alpha[age] = inverse[row * history + slot] * product;
            product = NAME(add_dot)(n, q, (REAL)-alpha[age], y_row + slot * stride, s_row + next * stride);
        }
        if (pairs) {
            const REAL factor = (REAL)scale[row];
            for (int64_t i = 0; i < n; i++) q[i] *= factor;
            product = NAME(dot)(n, y_row + SLOT(pairs - 1) * stride, q);
        }
        for (int64_t age = pairs - 1; age >= 0; age--) {
            const int64_t slot = SLOT(age), next = SLOT(age ? age - 1 : 0);
            const double beta = inverse[row * history + slot] * product;
            product = NAME(add_dot)(n, q, (REAL)(alpha[age] - beta), s_row + slot * stride, y_row + next * stride);
        }
#undef SLOT
        for (int64_t i = 0; i < n; i++) out[row * n + i] = q[i];
        slope[row] = NAME(dot)(n, g, q);
    }
}

#undef VECTOR
#undef MASK
#undef LANES

#endif
