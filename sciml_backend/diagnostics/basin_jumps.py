"""How a trained network moves on under noise: the lengths of further steps of plain SGD, and the law of the short ones.

arXiv:2605.29153, Fig. 14: where steps are mostly short and sometimes long the network stays in a basin and jumps. Of
the inverse lengths 1 / |step| the exponent of a power law is taken, as in Clauset, Shalizi and Newman (2009),
arXiv:0706.1062.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from sciml_backend import memory
from sciml_backend.diagnostic import Diagnostic, Finding, require_finite
from sciml_backend.linalg.power_law import power_law
from sciml_backend.run import setting

if TYPE_CHECKING:
    from sciml_backend.objective import Objective

SHORTEST = 1e-12
"""Shorter steps are none; as in the released code."""


@dataclass(frozen=True, kw_only=True)
class BasinJumps(Diagnostic):
    """Basin jumps: from the trained weights on, ``iterations`` of SGD without momentum, decay or schedule.

    ``alpha`` is the exponent of the power law that the inverse lengths of the steps follow from ``lowest`` on, with its
    standard error and the ``distance`` of the two distributions there; there is none where too few steps make a law.
    Arrays ``length`` of each step and ``loss`` on its batch (n,).
    """

    label: ClassVar[str] = "Basin jumps"
    iterations: int = setting(200, "steps that are taken")
    rate: float = setting(0.1, "learning rate")
    batch: int = setting(64, "training samples of a step")

    def __post_init__(self) -> None:
        self.require(self.iterations >= 10, f"iterations must be at least 10, got {self.iterations}.")
        self.require(self.rate > 0, f"rate must be positive, got {self.rate}.")
        self.require(self.batch >= 1, f"batch must be at least 1, got {self.batch}.")

    def compute(self, objective: Objective, *, theta_initial: Tensor, theta_final: Tensor) -> Finding:
        """Go on from the weights after training; raises BadRequest where samples cannot be told apart."""
        require_finite(theta_final)
        self._require_room(objective, theta_final)
        theta, lengths, losses = theta_final[None], [], []
        for number in range(self.iterations):
            loss, gradient = objective.minibatch(number, self.batch).value_and_gradient(theta)
            step = self.rate * gradient
            theta = theta - step
            lengths.append(float(torch.linalg.vector_norm(step.double())))
            losses.append(float(loss[0]))
        length = np.array(lengths)
        self.require(bool(np.isfinite(length).all()), f"SGD diverged at the rate {self.rate:g}: take a smaller one.")
        fit = power_law(1 / length[length > SHORTEST])
        numbers = {"median_length": float(np.median(length)), "longest": float(length.max())}
        if fit is not None:
            numbers |= {"alpha": fit.alpha, "alpha_error": fit.error, "lowest": fit.lowest, "tail": float(fit.tail)}
            numbers["distance"] = fit.distance
        return Finding(numbers, {"length": length, "loss": np.array(losses)})

    def _require_room(self, objective: Objective, theta: Tensor) -> None:
        needed, what = objective.minibatch(0, self.batch).memory(1), f"{self.label}: a step on {self.batch:,} samples"
        memory.require(needed, theta.device, what, "take a smaller batch")
