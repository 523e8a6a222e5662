"""Gauss-Newton with the damping of Levenberg (1944) and Marquardt (1963); the damping as in Nielsen (1999).

A step solves (G + μ) d = -g, G = 2 Σ w JᵀJ / n the part of the Hessian that needs the residuals' first derivatives
only. G is never negative, so every d leads downwards. μ falls where G's model of the loss held, and rises elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats
from sciml_backend.run import setting
from sciml_backend.strategies._second_order import SecondOrder, Trial
from sciml_backend.strategy import Dense

LEAST = 1 / 3
"""The least factor by which the damping changes after a good step."""


@dataclass(frozen=True, kw_only=True)
class GaussNewton(SecondOrder):
    """Gauss-Newton with Levenberg-Marquardt damping, for small networks."""

    label = "Gauss–Newton (Levenberg–Marquardt)"
    damping: float = setting(1e-3, "damping before the first step, in terms of the largest eigenvalue")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("damping", above=0)

    def matrix(self, objective: Dense, theta: Tensor) -> Tensor:
        return objective.gauss_newton(theta)

    @property
    def first_size(self) -> float:
        return np.nan

    def begun(self, size: Floats, values: Floats) -> Floats:
        return np.where(np.isnan(size), self.damping * values[:, -1], size)

    def proposed(self, values: Floats, slope: Floats, size: Floats) -> Floats:
        step: Floats = -slope / (np.maximum(values, 0.0) + size[:, None])
        return step

    def judged(self, trial: Trial) -> tuple[Any, Floats]:
        ratio = trial.ratio
        with np.errstate(over="ignore"):
            eased = trial.size * np.maximum(LEAST, 1 - (2 * ratio - 1) ** 3)
        return ratio > 0, np.where(ratio > 0, eased, trial.size * 2.0 ** (trial.number + 1))

    def told(self, values: Floats) -> str:
        return ""
