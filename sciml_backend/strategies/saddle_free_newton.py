"""Saddle-free Newton; Dauphin et al. (2014), arXiv:1406.2572.

θ goes along -(|H| + μ)⁻¹ g, with |H| the Hessian whose eigenvalues are taken by their absolute values: away from a
saddle along directions of negative curvature. Armijo's rule halves the step until the loss falls.
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

SUFFICIENT = 0.1
"""Armijo's constant: the share of the predicted decrease that a step must bring."""


@dataclass(frozen=True, kw_only=True)
class SaddleFreeNewton(SecondOrder):
    """Saddle-free Newton (the Hessian's eigenvalues by their absolute values), for small networks."""

    label = "Saddle-free Newton"
    damping: float = setting(1e-3, "mu, added to the absolute eigenvalues")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("damping", above=0)

    def matrix(self, objective: Dense, theta: Tensor) -> Tensor:
        return objective.hessian(theta)

    def begun(self, size: Floats, values: Floats) -> Floats:
        return np.ones_like(size)

    def proposed(self, values: Floats, slope: Floats, size: Floats) -> Floats:
        step: Floats = -size[:, None] * slope / (np.abs(values) + self.damping)
        return step

    def judged(self, trial: Trial) -> tuple[Any, Floats]:
        taken = trial.before - trial.after >= SUFFICIENT * trial.linear
        return taken, np.where(taken, trial.size, trial.size / 2)
