"""1D wave equation with two standing waves; Wang, Yu and Perdikaris (2022), arXiv:2007.14527."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from typing import Any

import numpy as np
import torch

from sciml_backend.equation import TIME, Array, Coordinate, Field, Nodes, Point, SpaceTime, Term
from sciml_backend.problem import Coefficient


class Wave(SpaceTime):
    """u_tt = c² u_xx on [0, 1], u(x, 0) = sin πx + ½ sin βπx, u_t(x, 0) = 0, u = 0 at both ends."""

    label = "1D wave"
    equation = "uₜₜ = c² uₓₓ,  u(x, 0) = sin πx + ½ sin βπx,  uₜ(x, 0) = 0,  u(0, t) = u(1, t) = 0"
    note = (
        "The released training loss behind the published wave maps has c = 2 whatever c is: "
        "they cannot be right away from c = 2."
    )
    coefficients = (
        Coefficient(name="c", label="c", low=0.0, high=20.0, axis=(0.1, 0.5, 1, 2, 3, 4, 5, 6)),
        Coefficient(name="beta", label="β", low=0.0, high=20.0, default=3.0, whole=True),  # else u(1, 0) is not 0
    )
    domain = (Coordinate("x", 0.0, 1.0, nodes=257), TIME)
    data_axis = (50, 100, 250, 500, 1000, 2000, 5000, 10000)

    def terms(self) -> tuple[Term, ...]:
        return (
            Term("residual", ("interior",), self.residual),
            Term("upper", ("upper",), self.fixed_end),
            Term("lower", ("lower",), self.fixed_end),
            Term("initial", ("initial",), self.initial, measured=True),
            Term("velocity", ("initial",), self.velocity),
        )

    def residual(self, u: Field, c: Point) -> Any:
        return u.apply(tt=1.0, xx=-(c["c"] ** 2))

    def fixed_end(self, u: Field, c: Point) -> Any:
        return u.value

    def initial(self, u: Field, c: Point) -> Any:
        x = u.at["x"]
        return u.value - (torch.sin(pi * x) + 0.5 * torch.sin(c["beta"] * pi * x))

    def velocity(self, u: Field, c: Point) -> Any:
        return u.apply(t=1.0)

    def exact(self, at: Nodes, c: Mapping[str, float]) -> Array:
        x, t = at["x"], at["t"]
        mode = c["beta"] * pi
        slow = np.sin(pi * x) * np.cos(c["c"] * pi * t)
        return np.asarray(slow + 0.5 * np.sin(mode * x) * np.cos(c["c"] * mode * t))
