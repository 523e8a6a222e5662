"""Gaussian random fields on the periodic unit square with the covariance (-Δ + tau²)^-alpha.

Li et al. (2021), Fourier neural operator for parametric partial differential equations, arXiv:2010.08895, Appendix A.3.
The noise is drawn on half of the spectrum, as published, and waves along y alone keep its symmetric part: they have
half the power of that covariance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gaussian_field(noise: NDArray[np.complex128], *, tau: float, alpha: float) -> NDArray[np.float64]:
    """Fields of zero mean (n, s, s), up to a factor, from complex white ``noise`` (n, s, s // 2 + 1), s odd or even."""
    side = noise.shape[1]
    x, y = np.arange(noise.shape[2]), np.fft.fftfreq(side, 1 / side)[:, None]
    amplitude = (4 * np.pi**2 * (x**2 + y**2) + tau**2) ** (-alpha / 2)
    amplitude[0, 0] = 0
    return np.fft.irfft2(noise * amplitude, (side, side))
