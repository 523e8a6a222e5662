"""Adam; Kingma & Ba (2015), arXiv:1412.6980, algorithm 1, with a learning rate that falls along a half cosine to zero.

Only sums, products, quotients and roots, one at a time: each is rounded exactly, so a row's bits do not depend on the
rows beside it. Fused operations such as ``lerp`` or ``addcmul`` round differently at the ends of a vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, Integers, norms, to_host
from sciml_backend.run import BadRequest, Status, setting
from sciml_backend.strategy import Minimisable, State, Step, Strategy

REASONS = {
    Status.RUNNING: "",
    Status.BUDGET_SPENT: "All steps were taken.",
    Status.DIVERGED: "The loss or its gradient became infinite or not a number.",
}


@dataclass
class AdamState(State):
    """Loss (B,), gradient (B, P) and its largest component (B,) at theta; both moments (B, P); steps taken (B,)."""

    loss: Floats
    gradient: Tensor
    gradient_norm: Floats
    mean: Tensor
    square: Tensor
    iteration: Integers


@dataclass(frozen=True, kw_only=True)
class Adam(Strategy[AdamState]):
    """Adam (first-order, adaptive step per parameter)."""

    label = "Adam"
    steps: int = setting(20_000, "steps after which a run ends")
    rate: float = setting(1e-3, "learning rate at the start")
    schedule: str = setting("cosine", "how the learning rate goes on: cosine (to zero at the last step) or constant")
    beta1: float = setting(0.9, "decay of the mean of the gradient")
    beta2: float = setting(0.999, "decay of the mean of its square")
    epsilon: float = setting(1e-8, "added to the root of the mean square")

    def __post_init__(self) -> None:
        self._require("steps", "rate", above=0)
        if self.schedule not in ("cosine", "constant"):
            raise BadRequest(f"The schedule of Adam is cosine or constant, got {self.schedule!r}.")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise BadRequest(
                f"The decays beta1 and beta2 of Adam lie from 0 to below 1, got {self.beta1!r} and {self.beta2!r}."
            )

    def init(self, objective: Minimisable, theta: Tensor) -> AdamState:
        """The state at theta (B, P); evaluates the objective once."""
        values, gradient = objective.value_and_gradient(theta)
        loss, norm = to_host(values, norms(gradient)[0])
        zero = torch.zeros_like(theta)
        return AdamState(loss, gradient, norm, zero, zero.clone(), np.zeros(len(theta), dtype=np.int64))

    def step(self, objective: Minimisable, theta: Tensor, state: AdamState) -> Step[AdamState]:
        """One update of every row, and the loss after it; a row whose loss is lost stays where it was."""
        moved = theta - self._update(state)
        values, gradient = objective.value_and_gradient(moved)
        loss, norm = to_host(values, norms(gradient)[0])
        evaluations = 1 + (state.iteration == 0)
        state.iteration = state.iteration + 1
        sound = np.isfinite(loss) & np.isfinite(norm) & np.isfinite(state.loss) & np.isfinite(state.gradient_norm)
        if sound.all():
            theta, state.gradient, state.loss, state.gradient_norm = moved, gradient, loss, norm
        else:
            keep = torch.as_tensor(sound, device=theta.device)[:, None]
            theta, state.gradient = torch.where(keep, moved, theta), torch.where(keep, gradient, state.gradient)
            state.loss, state.gradient_norm = (
                np.where(sound, loss, state.loss),
                np.where(sound, norm, state.gradient_norm),
            )
        spent = state.iteration >= self.steps
        status = [
            Status.DIVERGED if not fine else Status.BUDGET_SPENT if last else Status.RUNNING
            for fine, last in zip(sound, spent, strict=True)
        ]
        reason = [REASONS[s] for s in status]
        return Step(theta, state, state.loss, state.gradient_norm, evaluations, status, reason)

    def _update(self, state: AdamState) -> Tensor:
        taken, gradient = state.iteration + 1, state.gradient
        state.mean = state.mean * self.beta1 + gradient * (1 - self.beta1)
        state.square = state.square * self.beta2 + gradient * gradient * (1 - self.beta2)
        length = _column(self.rates(state.iteration) / (1 - self.beta1**taken), gradient)
        root = _column(np.sqrt(1 - self.beta2**taken), gradient)
        return state.mean * length / (state.square.sqrt() / root + self.epsilon)

    def rates(self, iteration: Integers) -> Floats:
        """The learning rate of the step after so many steps, per row."""
        if self.schedule == "constant":
            return np.full(len(iteration), self.rate)
        rates: Floats = self.rate * 0.5 * (1 + np.cos(np.pi * iteration / self.steps))
        return rates


def _column(values: Floats, like: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)[:, None]
