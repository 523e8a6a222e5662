/* Value and gradient of linear residuals of a small tanh network f: R^d -> R^m at samples of its own row.
 *
 * A row's loss is  sum over terms k, components c and samples p of  weight_kp r^2 + linear_kcp r,  with the residual
 * r = scale_k f_c(x_p) - target_kcp: one step of Euler's method against the next state, or a vector field against an
 * equation. All terms share one pass forwards and one backwards. Samples are worked off in chunks that stay in cache.
 *
 * A row's arithmetic depends on its own numbers alone, never on how many rows there are. Products and tanh are those of
 * the file included here; this one includes itself twice, for float and for double.
 */
#ifndef REAL
#include "taylor_mlp.c"
#undef REAL
#undef SUFFIX

#define CHUNK 128 /* samples, a multiple of 16 */

/* What rows share: weight matrices (output layer included), their widths, padded samples, terms and their scales. */
typedef struct {
    int64_t layers;
    const int64_t *sizes;
    int64_t samples, terms;
    const double *scale;
} field_t;

#define REAL float
#define SUFFIX _float32
#include "vector_field.c"
#undef REAL
#undef SUFFIX
#define REAL double
#define SUFFIX _float64
#include "vector_field.c"

#else

#define LANES (VECTOR_BYTES / (int)sizeof(REAL))
#define V NAME(vector)

/* Where a row's weights lie, and its chunk: outputs of every layer, the last one's being f, and their cotangents. */
typedef struct {
    const REAL *weight[MAX_LAYERS], *bias[MAX_LAYERS];
    REAL *h[MAX_LAYERS], *dz, *dh, *turned;
    int64_t stride;
} NAME(chunk_t);

static int64_t NAME(field_widest)(const field_t *t) {
    int64_t w = 1;
    for (int64_t l = 0; l <= t->layers; l++) w = t->sizes[l] > w ? t->sizes[l] : w;
    return w;
}

/* Scratch of one call, in numbers of REAL. */
int64_t NAME(vector_field_scratch)(const field_t *t) {
    return (CHUNK + 64 / (int64_t)sizeof(REAL)) * NAME(field_widest)(t) * (t->layers + 3);
}

static void NAME(lay_out)(const field_t *t, NAME(chunk_t) *c, REAL *scratch) {
    c->stride = CHUNK + 64 / (int64_t)sizeof(REAL); /* so that a column of features does not fall into one cache set */
    int64_t block = c->stride * NAME(field_widest)(t);
    for (int64_t l = 0; l < t->layers; l++) c->h[l] = scratch + l * block;
    c->dz = scratch + t->layers * block;
    c->dh = c->dz + block;
    c->turned = c->dh + block;
}

static void NAME(weights)(const field_t *t, NAME(chunk_t) *c, const REAL *theta) {
    for (int64_t l = 0; l < t->layers; l++) {
        c->weight[l] = theta, theta += t->sizes[l] * t->sizes[l + 1];
        c->bias[l] = theta, theta += t->sizes[l + 1];
    }
}

/* f at n samples x (d, stride `apart`), into the last layer's outputs. */
static void NAME(field)(const field_t *t, NAME(chunk_t) *c, const REAL *x, int64_t apart, int64_t n) {
    for (int64_t l = 0; l < t->layers; l++) {
        int64_t in = t->sizes[l], out = t->sizes[l + 1];
        if (l == 0)
            for (int64_t j = 0; j < out; j++)
                for (int64_t k = 0; k < n; k += LANES) {
                    V v = (V){0};
                    for (int64_t i = 0; i < in; i++) v += c->weight[0][j * in + i] * *(const V *)(x + i * apart + k);
                    *(V *)(c->h[0] + j * c->stride + k) = v;
                }
        else
            NAME(product)(out, in, c->weight[l], in, 1, c->h[l - 1], c->h[l], n, c->stride);
        for (int64_t j = 0; j < out; j++)
            for (int64_t k = 0; k < n; k += LANES) {
                V *v = (V *)(c->h[l] + j * c->stride + k), z = *v + c->bias[l][j];
                *v = l < t->layers - 1 ? NAME(tanh)(z) : z;
            }
    }
}

static const REAL NAME(ones)[CHUNK] = {[0 ... CHUNK - 1] = 1};

/* What `outer` adds to g, to the bit, for whole vectors of columns: with b by samples in `turned`, LANES sums of its
 * products are kept side by side, and none is scattered. */
INLINE void NAME(turned_rows)(int tall, int64_t cols, const REAL *a, int64_t lda, const REAL *turned, REAL *g, int64_t n) {
    V sum[8], lower[8], upper[8];
    for (int64_t i = 0; i < cols; i += LANES) {
#pragma GCC unroll 8
        for (int j = 0; j < tall; j++) sum[j] = (V){0};
        for (int l = 0; l < LANES / 2; l++) {
#pragma GCC unroll 8
            for (int j = 0; j < tall; j++) lower[j] = upper[j] = (V){0};
            for (int64_t k = l; k < n; k += LANES) {
                V b = *(const V *)(turned + k * cols + i), c = *(const V *)(turned + (k + LANES / 2) * cols + i);
#pragma GCC unroll 8
                for (int j = 0; j < tall; j++) {
                    lower[j] += NAME(splat)(a[j * lda + k]) * b;
                    upper[j] += NAME(splat)(a[j * lda + k + LANES / 2]) * c;
                }
            }
#pragma GCC unroll 8
            for (int j = 0; j < tall; j++) sum[j] += lower[j] + upper[j];
        }
#pragma GCC unroll 8
        for (int j = 0; j < tall; j++) *(V *)(g + j * cols + i) += sum[j];
    }
}

static void NAME(outer_by_samples)(int64_t rows, int64_t cols, const REAL *a, const REAL *b, int64_t stride, REAL *turned,
                                   REAL *g, int64_t n) {
    for (int64_t i = 0; i < cols; i += LANES)
        for (int64_t k = 0; k < n; k += LANES) {
            V v[LANES];
#pragma GCC unroll 16
            for (int o = 0; o < LANES; o++) v[o] = *(const V *)(b + (i + o) * stride + k);
#pragma GCC unroll 4
            for (int s = LANES / 2; s; s /= 2) {
#pragma GCC unroll 16
                for (int o = 0; o < LANES; o++)
                    if (!(o & s)) NAME(exchange)(v + o, v + o + s, s);
            }
#pragma GCC unroll 16
            for (int o = 0; o < LANES; o++) *(V *)(turned + (k + o) * cols + i) = v[o];
        }
    int64_t j = 0;
    for (; j + 8 <= rows; j += 8) NAME(turned_rows)(8, cols, a + j * stride, stride, turned, g + j * cols, n);
    for (; j < rows; j++) NAME(turned_rows)(1, cols, a + j * stride, stride, turned, g + j * cols, n);
}

/* From the cotangent of f, in dz, to the gradient of theta. */
static void NAME(field_backward)(const field_t *t, NAME(chunk_t) *c, const REAL *x, int64_t apart, int64_t n,
                                 const REAL *theta, REAL *gradient) {
    for (int64_t l = t->layers - 1; l >= 0; l--) {
        int64_t in = t->sizes[l], out = t->sizes[l + 1];
        REAL *weight = gradient + (c->weight[l] - theta), *bias = gradient + (c->bias[l] - theta);
        NAME(outer)(out, 1, c->dz, c->stride, NAME(ones), 0, bias, n);
        if (l == 0) {
            NAME(outer)(out, in, c->dz, c->stride, x, apart, weight, n);
            return;
        }
        if (in % LANES)
            NAME(outer)(out, in, c->dz, c->stride, c->h[l - 1], c->stride, weight, n);
        else
            NAME(outer_by_samples)(out, in, c->dz, c->h[l - 1], c->stride, c->turned, weight, n);
        NAME(product)(in, out, c->weight[l], 1, in, c->dz, c->dh, n, c->stride);
        for (int64_t i = 0; i < in; i++)
            for (int64_t k = 0; k < n; k += LANES) {
                V a = *(V *)(c->h[l - 1] + i * c->stride + k);
                *(V *)(c->dz + i * c->stride + k) = (1 - a * a) * *(V *)(c->dh + i * c->stride + k);
            }
    }
}

/* loss[b] += the row's loss and gradient[b] += its gradient.
 *
 * theta, gradient (rows, P); x (rows, d, samples); target, linear, cotangent, residual (rows, terms, m, samples); weight
 * (rows, terms, samples). linear, cotangent (which replaces d loss / d r), residual and gradient may be NULL. */
void NAME(vector_field)(const field_t *t, int64_t rows, int64_t parameters, const REAL *theta, const REAL *x,
                        const REAL *target, const REAL *weight, const REAL *linear, const REAL *cotangent, double *loss,
                        REAL *gradient, REAL *residual, REAL *scratch) {
    NAME(chunk_t) c;
    NAME(lay_out)(t, &c, scratch);
    int64_t dims = t->sizes[0], out = t->sizes[t->layers], n = t->samples;
    for (int64_t b = 0; b < rows; b++, theta += parameters, x += dims * n) {
        double sum = 0;
        NAME(weights)(t, &c, theta);
        for (int64_t at = 0; at < n; at += CHUNK) {
            int64_t here = n - at < CHUNK ? n - at : CHUNK;
            NAME(field)(t, &c, x + at, n, here);
            const REAL *f = c.h[t->layers - 1];
            V squares = (V){0};
            for (int64_t j = 0; j < out; j++)
                for (int64_t p = 0; p < here; p += LANES) {
                    V value = *(const V *)(f + j * c.stride + p), up = (V){0};
                    for (int64_t k = 0; k < t->terms; k++) {
                        int64_t place = ((b * t->terms + k) * out + j) * n + at + p;
                        REAL scale = (REAL)t->scale[k];
                        V r = scale * value - *(const V *)(target + place);
                        V w = *(const V *)(weight + (b * t->terms + k) * n + at + p), dr = 2 * w * r;
                        squares += w * r * r;
                        if (linear) {
                            V l = *(const V *)(linear + place);
                            squares += l * r;
                            dr += l;
                        }
                        if (residual) *(V *)(residual + place) = r;
                        if (cotangent) dr = *(const V *)(cotangent + place);
                        up += scale * dr;
                    }
                    *(V *)(c.dz + j * c.stride + p) = up;
                }
            sum += (double)NAME(total)(squares);
            if (gradient) NAME(field_backward)(t, &c, x + at, n, here, theta, gradient + b * parameters);
        }
        loss[b] += sum;
    }
}

/* Scratch of a rollout, in numbers of REAL. */
int64_t NAME(vector_field_rollout_scratch)(const field_t *t, int64_t parameters) {
    return LANES * (parameters + 2 * NAME(field_widest)(t));
}

/* States (rows, d, steps) of Euler's method from start (rows, d), the start left out; the network maps R^d to R^d.
 *
 * Here the lanes of a vector are rows, each with weights of its own: steps of one row wait for each other. */
void NAME(vector_field_rollout)(const field_t *t, int64_t rows, int64_t parameters, const REAL *theta,
                                const REAL *start, REAL step, int64_t steps, REAL *states, REAL *scratch) {
    int64_t dims = t->sizes[0], widest = NAME(field_widest)(t);
    REAL *weights = scratch, *ends[2] = {weights + LANES * parameters, weights + LANES * (parameters + widest)};
    REAL x[dims * LANES];
    for (int64_t b = 0; b < rows; b += LANES) {
        int64_t here = rows - b < LANES ? rows - b : LANES;
        for (int64_t l = 0; l < LANES; l++) {
            int64_t row = b + (l < here ? l : 0);
            for (int64_t p = 0; p < parameters; p++) weights[p * LANES + l] = theta[row * parameters + p];
            for (int64_t i = 0; i < dims; i++) x[i * LANES + l] = start[row * dims + i];
        }
        for (int64_t s = 0; s < steps; s++) {
            const REAL *w = weights, *in = x;
            for (int64_t l = 0; l < t->layers; l++) {
                int64_t n = t->sizes[l], m = t->sizes[l + 1];
                const REAL *bias = w + n * m * LANES;
                REAL *out = ends[l % 2];
                for (int64_t j = 0; j < m; j++, w += n * LANES) {
                    V sum = *(const V *)(bias + j * LANES);
                    for (int64_t i = 0; i < n; i++) sum += *(const V *)(w + i * LANES) * *(const V *)(in + i * LANES);
                    *(V *)(out + j * LANES) = l < t->layers - 1 ? NAME(tanh)(sum) : sum;
                }
                w += m * LANES;
                in = out;
            }
            for (int64_t i = 0; i < dims; i++) {
                *(V *)(x + i * LANES) += step * *(const V *)(in + i * LANES);
                for (int64_t l = 0; l < here; l++) states[((b + l) * dims + i) * steps + s] = x[i * LANES + l];
            }
        }
    }
}

#undef LANES
#undef V
#endif
