"""1D logistic reaction; Krishnapriyan et al. (2021), arXiv:2109.01050."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from typing import Any

import numpy as np

from sciml_backend.equation import Array, Field, Nodes, Periodic, Point, gaussian, logistic
from sciml_backend.problem import Coefficient

EXPONENT = 8 / pi**2  # a Gaussian of standard deviation π/4


class Reaction(Periodic):
    """u_t = ρ u (1 - u) on [0, 2π], u(x, 0) = h(x) = exp(-8 (x/π - 1)²); hence u = h e^{ρt} / (h e^{ρt} + 1 - h)."""

    label = "1D reaction"
    equation = "uₜ = ρ u (1 − u),  u(x, 0) = exp(−8 (x/π − 1)²),  u(0, t) = u(2π, t)"
    coefficients = (Coefficient(name="rho", label="ρ", low=0.0, high=50.0, axis=(1, 2, 3, 4, 5, 6, 8, 10, 12)),)

    def residual(self, u: Field, c: Point) -> Any:
        return u.apply(t=1.0) - c["rho"] * u.value * (1 - u.value)

    def initial(self, u: Field, c: Point) -> Any:
        return u.value - gaussian(u.at["x"], centre=pi, exponent=EXPONENT)

    def exact(self, at: Nodes, c: Mapping[str, float]) -> Array:
        start = np.exp(-EXPONENT * (at["x"] - pi) ** 2)
        return np.asarray(logistic(start, np.exp(c["rho"] * at["t"])))
