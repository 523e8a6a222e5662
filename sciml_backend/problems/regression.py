"""Regression of a sum of sines: the picture of spectral bias.

Rahaman et al. (2019), arXiv:1806.08734; Kopaničáková and Riccietti (2026), arXiv:2601.10222. Gradient descent with a
small rate α shrinks the error along an eigenvector of the neural tangent kernel by 1 - 2αλ a step, so low frequencies,
whose eigenvalues are large, are learned first.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import pi
from typing import Any

import numpy as np
import torch

from sciml_backend.equation import Array, Coordinate, Equation, Field, Nodes, Point, Term
from sciml_backend.problem import Coefficient

MODES = (0.25, 0.5, 0.75, 1.0)
"""The frequencies of the sines, as parts of the highest one."""


class Regression(Equation):
    """Samples of f(x) = ½ Σ sin(mωπx) over m = ¼, ½, ¾, 1 at nodes of [0, 1]: ω is the highest frequency."""

    label = "Multi-frequency regression"
    equation = "u(x) = ½ (sin ¼ωπx + sin ½ωπx + sin ¾ωπx + sin ωπx)"
    coefficients = (Coefficient(name="omega", label="ω", low=0.1, high=400.0, axis=(4, 8, 16, 24, 32, 48, 64)),)
    domain = (Coordinate("x", 0.0, 1.0, nodes=1025),)
    data_axis = (10, 20, 50, 100, 200, 500)
    data_name = "N"
    data_label = "samples N"
    families = ("mlp",)

    def terms(self) -> tuple[Term, ...]:
        return (Term("data", ("interior",), self.misfit, measured=True),)

    def misfit(self, u: Field, c: Point) -> Any:
        """u minus the sample, (B, n)."""
        return u.value - 0.5 * sum(torch.sin(m * c["omega"] * pi * u.at["x"]) for m in MODES)

    def exact(self, at: Nodes, c: Mapping[str, float]) -> Array:
        sines = [np.sin(m * c["omega"] * pi * at["x"]) for m in MODES]
        return np.asarray(0.5 * np.sum(sines, axis=0))
