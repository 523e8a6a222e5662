"""Newton's method with the exact Hessian and nothing to keep it from saddles; Rowan (2025), arXiv:2510.11987.

θ goes to θ - H⁻¹ g, the stationary point of the loss's quadratic model, be it a minimum or not. Eigenvalues below the
precision of the Hessian are left out: steps along them would be rounding, magnified without bound. The reason a run
ended says how many negative eigenvalues the Hessian had there.
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


@dataclass(frozen=True, kw_only=True)
class Newton(SecondOrder):
    """Newton's method (exact Hessian, full steps), for small networks; it stops at saddles."""

    label = "Newton"
    cutoff: float = setting(1e-8, "eigenvalues below this share of the largest one are left out")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("cutoff", least=0)

    def matrix(self, objective: Dense, theta: Tensor) -> Tensor:
        return objective.hessian(theta)

    def proposed(self, values: Floats, slope: Floats, size: Floats) -> Floats:
        known = np.abs(values) > self.cutoff * np.abs(values).max(1, keepdims=True)
        return np.where(known, -slope / np.where(known, values, 1.0), 0.0)

    def judged(self, trial: Trial) -> tuple[Any, Floats]:
        return np.ones(len(trial.size), dtype=bool), trial.size
