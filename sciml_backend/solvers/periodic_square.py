"""Diffusion and advection with constant coefficients on the periodic unit square, by Fourier series.

-div(K grad u) + v · grad u = f  is  (k · K k + i v · k) û = f̂  for every wave vector k. A field is (h, w): y along its
first axis, x along its second. Of the highest wave number only even powers are kept, as it has no sign on the grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def solve(source: Array, *, diffusion: Array, velocity: Array | None = None) -> Array:
    """The solution of zero mean, (n, h, w); the mean of ``source`` (n, h, w) is dropped.

    ``diffusion`` (n, 3) has K11, K22, K12 of a positive definite K, with 1 along x; ``velocity`` (n, 2) is v, else 0.
    """
    diffused, advected = _symbols(source.shape[1:], diffusion, velocity)
    symbol = diffused + 1j * advected
    symbol[:, 0, 0] = 1
    spectrum = np.fft.rfft2(source) / symbol
    spectrum[:, 0, 0] = 0
    return np.fft.irfft2(spectrum, source.shape[1:])


def terms(u: Array, *, diffusion: Array, velocity: Array | None = None) -> tuple[Array, Array]:
    """-div(K grad u) and v · grad u, each (n, h, w)."""
    diffused, advected = _symbols(u.shape[1:], diffusion, velocity)
    spectrum = np.fft.rfft2(u)
    shape = u.shape[1:]
    return np.fft.irfft2(diffused * spectrum, shape), np.fft.irfft2(1j * advected * spectrum, shape)


def _symbols(shape: tuple[int, ...], diffusion: Array, velocity: Array | None) -> tuple[Array, Array]:
    """k · K k and v · k, each (n, h, w // 2 + 1)."""
    x, odd_x = _waves(np.fft.rfftfreq(shape[1], 1 / shape[1]), shape[1])
    y, odd_y = (along[:, None] for along in _waves(np.fft.fftfreq(shape[0], 1 / shape[0]), shape[0]))
    k11, k22, k12 = (column[:, None, None] for column in diffusion.T)
    diffused = k11 * x**2 + k22 * y**2 + 2 * k12 * odd_x * odd_y
    if velocity is None:
        return diffused, np.zeros_like(diffused)
    v1, v2 = (column[:, None, None] for column in velocity.T)
    return diffused, v1 * odd_x + v2 * odd_y


def _waves(numbers: NDArray[Any], side: int) -> tuple[Array, Array]:
    """Wave numbers for even powers, and for odd ones."""
    waves = 2 * np.pi * numbers
    return waves, np.where(2 * abs(numbers) == side, 0.0, waves)


def tensor(eigenvalue: Array, angle: Array) -> Array:
    """R(angle)ᵀ diag(1, eigenvalue) R(angle) as K11, K22, K12, (n, 3)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack(
        [cosine**2 + eigenvalue * sine**2, sine**2 + eigenvalue * cosine**2, (eigenvalue - 1) * sine * cosine], axis=1
    )


def bumps(amplitudes: Array, *, side: int, width: float, spacing: float) -> Array:
    """Sums of Gaussians on a centred square lattice: ``amplitudes`` (n, m, m) to fields (n, side, side)."""
    places = 0.5 + (np.arange(amplitudes.shape[1]) - (amplitudes.shape[1] - 1) / 2) * spacing
    along = np.exp(-((np.arange(side) / side - places[:, None]) ** 2) / (2 * width**2))
    return np.asarray(along.T @ (amplitudes @ along))
