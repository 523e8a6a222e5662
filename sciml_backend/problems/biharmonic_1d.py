"""1D biharmonic equation with a solution of one frequency; Kopaničáková and Riccietti (2026), arXiv:2601.10222.

The bending of a beam. The operator multiplies a sine by the fourth power of its frequency, and so the loss's curvature
along it by the eighth.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from typing import Any

import numpy as np
import torch

from sciml_backend.equation import Array, Field, Interval, Nodes, Point, Term
from sciml_backend.problem import Coefficient


class Biharmonic1D(Interval):
    """u_xxxx = (ωπ)⁴ sin ωπx on [0, 1] with u and u_xx those of sin ωπx at both ends; hence u = sin ωπx.

    At whole ω both are zero at the ends: a simply supported beam.
    """

    label = "1D biharmonic"
    equation = "u⁗ = (ωπ)⁴ sin ωπx,  u and u″ of sin ωπx at both ends"
    coefficients = (Coefficient(name="omega", label="ω", low=0.1, high=50.0, axis=(1, 1.5, 2, 3, 4, 6, 8)),)
    data_axis = (5, 10, 20, 50, 100, 200)

    def terms(self) -> tuple[Term, ...]:
        return (*super().terms(), Term("bending", ("ends",), self.bending))

    def residual(self, u: Field, c: Point) -> Any:
        k = c["omega"] * pi
        return u.apply(xxxx=1.0) - k**4 * torch.sin(k * u.at["x"])

    def boundary(self, u: Field, c: Point) -> Any:
        return u.value - torch.sin(c["omega"] * pi * u.at["x"])

    def bending(self, u: Field, c: Point) -> Any:
        k = c["omega"] * pi
        return u.apply(xx=1.0) + k**2 * torch.sin(k * u.at["x"])

    def exact(self, at: Nodes, c: Mapping[str, float]) -> Array:
        return np.sin(c["omega"] * pi * at["x"])
