"""How the largest curvature grows while a run trains: progressive sharpening, then a plateau.

Cohen, Kaur, Li, Kolter and Talwalkar (2021), arXiv:2103.00065; drawn for PINNs in Figs. 7 and 12 of arXiv:2605.29153.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from sciml_backend.diagnostic import (
    DOUBLE_UP_TO,
    AlongTraining,
    Finding,
    OfTheLoss,
    TrainingPath,
    affordable_steps,
    require_finite,
    to_numpy,
)
from sciml_backend.linalg.lanczos import lanczos
from sciml_backend.linalg.probes import gaussian
from sciml_backend.run import setting

if TYPE_CHECKING:
    from sciml_backend.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Sharpening(OfTheLoss, AlongTraining):
    """The largest eigenvalue of the Hessian of the plain loss against iterations.

    The run is trained anew (on the same machine bit by bit as it was) and measured at ``points`` logged iterations.
    Arrays ``iteration``, ``lambda_max``, ``residual`` (a true eigenvalue lies that near) and ``train_loss``, all (n,).
    """

    label: ClassVar[str] = "Sharpening"
    points: int = setting(40, "logged iterations at which the curvature is measured, evenly spread")
    steps: int = setting(20, "Lanczos steps at each of them, at most")
    seed: int = setting(0, "seed of the start vector")

    def __post_init__(self) -> None:
        self.require(self.points >= 2, f"points must be at least 2, got {self.points}.")
        self.require(self.steps >= 2, f"steps must be at least 2, got {self.steps}.")

    def require_room(self, theta: Tensor) -> None:
        affordable_steps(self.steps, theta)

    def compute_along(self, objective: Objective, path: TrainingPath) -> Finding:
        """Lanczos at every chosen point, all from one start vector."""
        chosen = np.unique(np.linspace(0, len(path.iteration) - 1, self.points).round().astype(int))
        theta = path.theta[torch.as_tensor(chosen)]
        require_finite(theta)
        pieces = theta.split(len(theta) if theta.shape[1] <= DOUBLE_UP_TO else 1)
        values, residuals = map(torch.cat, zip(*(self._largest(objective, some) for some in pieces), strict=True))
        numbers = {
            "lambda_max_initial": float(values[0]),
            "lambda_max_final": float(values[-1]),
            "lambda_max_highest": float(values.max()),
        }
        arrays = {
            "iteration": np.asarray(path.iteration)[chosen],
            "lambda_max": to_numpy(values),
            "residual": to_numpy(residuals),
            "train_loss": to_numpy(objective.value(theta)),
        }
        return Finding(numbers, arrays)

    def _largest(self, objective: Objective, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The largest eigenvalue at every row of theta (B, P), and how near a true one lies, (B,) each."""
        generator = torch.Generator().manual_seed(self.seed)
        start = gaussian(1, theta[0], generator=generator).expand_as(theta)
        steps = affordable_steps(self.steps, theta[0], rows=len(theta))
        krylov = lanczos(objective.hessian_at(theta), start, steps=steps)
        last = (krylov.steps - 1).clamp_min(0)
        every = torch.arange(len(theta))
        return krylov.ritz_values[every, last], krylov.bounded_residuals()[every, last]
