"""Spectral methods on a periodic interval.

Strang, G. (1968), On the construction and comparison of difference schemes, SIAM J. Numer. Anal. 5(3).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def periodic_splitting(
    start: Callable[[Array], Array],
    *,
    pointwise: Callable[[Array, float], Array],
    diffusivity: float,
    x: Array,
    t: Array,
    length: float,
    modes: int = 512,
    tolerance: float = 1e-6,
) -> Array:
    """Solve u_t = diffusivity u_xx + R(u) at (t, x), as (n_t, n_x), by Strang splitting, refined to ``tolerance``.

    ``pointwise(u, dt)`` solves u' = R(u) exactly over dt. The heat half is exact in Fourier space; between the grid's
    nodes the trigonometric interpolant is evaluated. ``t`` ascends from 0 or later, ``x`` may be anywhere. Steps are
    halved, then ``modes`` doubled, until the solution changes by less than ``tolerance`` (relative L2).
    Raises ArithmeticError when 2^12 steps per interval or 2^13 modes do not get there.
    """

    def solve(steps: int, modes: int) -> Array:
        nodes = np.arange(modes) * length / modes
        decay = diffusivity * (2 * np.pi * np.fft.rfftfreq(modes, length / modes)) ** 2
        u, now, rows = start(nodes), 0.0, []
        for target in t:
            if target > now:
                dt = (target - now) / steps
                half = np.exp(-decay * dt / 2)
                for _ in range(steps):
                    u = np.fft.irfft(half * np.fft.rfft(u), modes)
                    u = pointwise(u, dt)
                    u = np.fft.irfft(half * np.fft.rfft(u), modes)
                now = float(target)
            rows.append(np.fft.rfft(u))
        return interpolate(np.array(rows), x, length=length, modes=modes)

    def close(coarse: Array, fine: Array) -> bool:
        return bool(np.linalg.norm(fine - coarse) <= tolerance * np.linalg.norm(fine))

    steps, coarse = 8, solve(4, modes)
    while not close(coarse, fine := solve(steps, modes)):
        steps, coarse = 2 * steps, fine
        if steps > 4096:
            raise ArithmeticError(f"The splitting did not settle to {tolerance:g}; the reaction is too stiff for it.")
    while not close(fine, finer := solve(steps, 2 * modes)):
        modes, fine = 2 * modes, finer
        if modes > 4096:
            raise ArithmeticError(f"The splitting did not settle to {tolerance:g}; the fronts are too steep for it.")
    return fine


def interpolate(spectrum: NDArray[np.complex128], x: Array, *, length: float, modes: int) -> Array:
    """Trigonometric interpolant (n, n_x) of rows whose ``rfft`` over even nodes is ``spectrum`` (n, modes/2+1)."""
    wave = 2 * np.pi * np.arange(spectrum.shape[1]) / length
    weight = np.full(len(wave), 2.0 / modes)
    weight[0] = weight[-1] = 1.0 / modes
    basis = np.exp(1j * wave[:, None] * x[None, :]) * weight[:, None]
    return np.asarray((spectrum @ basis).real)
