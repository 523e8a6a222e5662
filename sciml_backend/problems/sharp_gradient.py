"""1D Poisson's equation with a steep layer in the middle; Kopaničáková and Riccietti (2026), arXiv:2601.10222."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sciml_backend.equation import Array, Field, Interval, Nodes, Point
from sciml_backend.problem import Coefficient


class SharpGradient(Interval):
    """-u_xx = 2k² tanh s (1 - tanh² s) with s = k (x - 1/2) on [0, 1], u = tanh s at both ends; hence everywhere.

    The layer is 1/k wide: uniform points miss it where k is large.
    """

    label = "1D sharp gradient"
    equation = "−u″ = 2k² tanh s (1 − tanh² s),  s = k (x − ½),  u = tanh s at both ends"
    coefficients = (Coefficient(name="k", label="k", low=0.1, high=1000.0, axis=(2, 5, 10, 20, 50, 100, 200)),)

    def residual(self, u: Field, c: Point) -> Any:
        wanted = _layer(u, c)
        return u.apply(xx=-1.0) - 2 * c["k"] ** 2 * wanted * (1 - wanted**2)

    def boundary(self, u: Field, c: Point) -> Any:
        return u.value - _layer(u, c)

    def exact(self, at: Nodes, c: Mapping[str, float]) -> Array:
        return np.tanh(c["k"] * (at["x"] - 0.5))


def _layer(u: Field, c: Point) -> Any:
    return torch.tanh(c["k"] * (u.at["x"] - 0.5))
