/* Adam for every row (one training run): Kingma & Ba (2015), algorithm 1.

   Every sum, product and quotient is rounded by itself, in the order of the torch operations that do the same: no bit
   differs, and this file is compiled without fused multiply-adds. The root between the two halves is torch's own, which
   is not always the nearest number. The file includes itself once per precision. */
#ifndef REAL

#include <stdint.h>

#define JOIN(name, suffix) name##_##suffix
#define NAME_AS(name, suffix) JOIN(name, suffix)
#define NAME(name) NAME_AS(name, PRECISION)

#define REAL float
#define PRECISION float32
#include "adam.c"
#undef REAL
#undef PRECISION

#define REAL double
#define PRECISION float64
#include "adam.c"

#else

/* Bring the means of the gradient and of its square up to date. */
void NAME(means)(int64_t rows, int64_t n, const REAL *restrict gradient, REAL *restrict first, REAL *restrict second,
                 double beta1, double beta2) {
    const REAL keep1 = (REAL)beta1, keep2 = (REAL)beta2, new1 = (REAL)(1 - beta1), new2 = (REAL)(1 - beta2);
    for (int64_t i = 0; i < rows * n; i++) {
        const REAL g = gradient[i];
        first[i] = first[i] * keep1 + g * new1;
        second[i] = second[i] * keep2 + g * g * new2;
    }
}

/* out = theta - length first / (root / correction + epsilon); length and correction have one number per row. */
void NAME(moved)(int64_t rows, int64_t n, const REAL *theta, const REAL *first, const REAL *root, const double *length,
                 const double *correction, double epsilon, REAL *out) {
    const REAL least = (REAL)epsilon;
    for (int64_t row = 0; row < rows; row++) {
        const REAL step = (REAL)length[row], divisor = (REAL)correction[row];
        const REAL *restrict from = theta + row * n, *restrict mean = first + row * n, *restrict size = root + row * n;
        REAL *restrict to = out + row * n;
        for (int64_t i = 0; i < n; i++) to[i] = from[i] - mean[i] * step / (size[i] / divisor + least);
    }
}

#endif
