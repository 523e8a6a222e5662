"""1D Poisson's equation with a solution of one frequency; Kopaničáková and Riccietti (2026), arXiv:2601.10222.

The operator multiplies a sine by the square of its frequency, and so the loss's curvature along it by the fourth power.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from typing import Any

import numpy as np
import torch

from sciml_backend.equation import Array, Field, Interval, Nodes, Point
from sciml_backend.problem import Coefficient


class Poisson1D(Interval):
    """-u_xx = (ωπ)² sin ωπx on [0, 1] with u = sin ωπx at both ends; hence everywhere."""

    label = "1D Poisson"
    equation = "−u″ = (ωπ)² sin ωπx,  u = sin ωπx at both ends"
    coefficients = (Coefficient(name="omega", label="ω", low=0.1, high=100.0, axis=(1, 2, 4, 6, 8, 12, 16, 24)),)

    def residual(self, u: Field, c: Point) -> Any:
        k = c["omega"] * pi
        return u.apply(xx=-1.0) - k**2 * torch.sin(k * u.at["x"])

    def boundary(self, u: Field, c: Point) -> Any:
        return u.value - torch.sin(c["omega"] * pi * u.at["x"])

    def exact(self, at: Nodes, c: Mapping[str, float]) -> Array:
        return np.sin(c["omega"] * pi * at["x"])
