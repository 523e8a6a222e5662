"""1D reaction-diffusion; Krishnapriyan et al. (2021), arXiv:2109.01050; the Gaussian is that of arXiv:2605.29153."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from typing import Any

import numpy as np

from sciml_backend.equation import Array, Field, Nodes, Periodic, Point, gaussian, logistic
from sciml_backend.problem import Coefficient
from sciml_backend.solvers.spectral import periodic_splitting


class ReactionDiffusion(Periodic):
    """u_t = ν u_xx + ρ u (1 - u) on [0, 2π], u(x, 0) = exp(-2 (x - π)²), 2π-periodic in x."""

    label = "1D reaction-diffusion"
    equation = "uₜ = ν uₓₓ + ρ u (1 − u),  u(x, 0) = exp(−2 (x − π)²),  u(0, t) = u(2π, t)"
    coefficients = (
        Coefficient(name="rho", label="ρ", low=0.0, high=100.0, axis=(1, 2, 5, 10, 15, 20, 25, 30)),
        Coefficient(name="nu", label="ν", low=0.0, high=20.0, default=2.0),
    )

    def residual(self, u: Field, c: Point) -> Any:
        return u.apply(t=1.0, xx=-c["nu"]) - c["rho"] * u.value * (1 - u.value)

    def initial(self, u: Field, c: Point) -> Any:
        return u.value - gaussian(u.at["x"], centre=pi, exponent=2.0)

    def exact(self, at: Nodes, c: Mapping[str, float]) -> Array:
        """By second-order splitting into the logistic equation and the heat equation, each solved exactly.

        Steps are halved until the solution changes by less than 1e-6 relative.
        """
        return periodic_splitting(
            lambda x: np.exp(-2 * (x - pi) ** 2),
            pointwise=lambda u, dt: np.asarray(logistic(u, np.exp(c["rho"] * dt))),
            diffusivity=c["nu"],
            x=at["x"].ravel(),
            t=at["t"].ravel(),
            length=2 * pi,
        )
