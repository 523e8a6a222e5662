"""1D periodic convection; Krishnapriyan et al. (2021), arXiv:2109.01050."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sciml_backend.equation import Array, Field, Nodes, Periodic, Point
from sciml_backend.problem import Coefficient


class Convection(Periodic):
    """u_t + β u_x = 0 on [0, 2π], u(x, 0) = sin x, 2π-periodic in x; hence u = sin(x - β t)."""

    label = "1D convection"
    equation = "uₜ + β uₓ = 0,  u(x, 0) = sin x,  u(0, t) = u(2π, t)"
    coefficients = (
        Coefficient(name="beta", label="β", low=0.0, high=100.0, axis=(5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 50, 70)),
    )

    def residual(self, u: Field, c: Point) -> Any:
        return u.apply(t=1.0, x=c["beta"])

    def initial(self, u: Field, c: Point) -> Any:
        return u.value - torch.sin(u.at["x"])

    def exact(self, at: Nodes, c: Mapping[str, float]) -> Array:
        return np.sin(at["x"] - c["beta"] * at["t"])
