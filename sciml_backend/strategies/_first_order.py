"""What first-order methods share: a learning rate that follows a schedule, batches of points, a budget of steps.

With ``batch`` every step sees so many of the samples, as the objective deals them out, and the batch may grow: small
ones find the way, large ones end the noise (Smith et al. 2018, arXiv:1711.00489).

Only sums, products, quotients and roots, one at a time: each is rounded exactly, so a row's bits do not depend on the
rows beside it. Fused operations such as ``lerp`` or ``addcmul`` round differently at the ends of a vector.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, Integers, norms, to_host
from sciml_backend.run import BadRequest, Status, setting
from sciml_backend.strategy import State, Step, Strategy

ENDS = np.array(
    [
        (Status.RUNNING, ""),
        (Status.BUDGET_SPENT, "All steps were taken."),
        (Status.DIVERGED, "The loss or its gradient became infinite or not a number."),
    ],
    dtype=object,
)
MOST = 2**31
"""A batch that grows without end stops here."""
SCHEDULES = ("cosine", "constant", "exponential", "halved")


@dataclass
class Descent(State):
    """Loss (B,), gradient (B, P) and its largest component (B,) at theta; the method's means (B, P) by name.

    ``iteration`` counts the steps taken, of ``total`` ones; ``unpaid`` is what ``init`` cost, until a step tells; (B,)
    each.
    """

    loss: Floats
    gradient: Tensor
    gradient_norm: Floats
    means: dict[str, Tensor]
    iteration: Integers
    total: Integers
    unpaid: Floats


@dataclass(frozen=True, kw_only=True)
class FirstOrder(Strategy[Descent]):
    """A method that moves theta by a function of the gradients so far; subclasses name their means and the move."""

    steps: int = setting(20_000, "steps after which a run ends (0: as many as published for this amount of data)")
    rate: float = setting(1e-3, "learning rate at the start")
    batch: int = setting(0, "samples, such as interior points, that the first steps see (0: all)")
    growth: float = setting(2.0, "factor by which the batch grows")
    stages: int = setting(8, "stages of equal length, after each of which the batch grows")
    schedule: str = setting(
        "cosine",
        "how the learning rate goes on: cosine (to zero at the last step), exponential, halved (after each fifth) or "
        "constant",
    )
    final: float = setting(0.01, "part of the learning rate that an exponential schedule ends with")

    def __post_init__(self) -> None:
        self._require("rate", "stages", "final", above=0)
        self._require("steps", "batch", least=0)
        self._require("growth", least=1)
        if self.schedule not in SCHEDULES:
            raise BadRequest(f"The schedule of {self.label} is {', '.join(SCHEDULES)}, got {self.schedule!r}.")

    @property
    def as_published(self) -> bool:
        return not self.steps

    @property
    def expected_iterations(self) -> int:
        return self.steps or super().expected_iterations

    @property
    def largest_batch(self) -> int:
        return self._grown(self.stages)

    def _grown(self, stages: int) -> int:
        """The batch after so many stages."""
        with np.errstate(over="ignore"):
            return round(min(self.batch * np.float64(self.growth) ** stages, MOST))

    @abstractmethod
    def _means(self) -> tuple[str, ...]:
        """What is remembered of past gradients, by name; all zero at the start."""

    @abstractmethod
    def _moved(self, theta: Tensor, state: Descent) -> Tensor:
        """Where theta (B, P) goes, as a new tensor; brings the means up to date."""

    def init(self, objective: Any, theta: Tensor) -> Descent:
        """The state at theta (B, P); evaluates the objective once."""
        none = np.zeros(len(theta), dtype=np.int64)
        total = none + (self.steps or objective.published_steps(self.batch))
        values, gradient, cost = self._evaluated(objective, theta, none, total)
        loss, norm = to_host(values, norms(gradient)[0])
        means = {name: theta.new_zeros(theta.shape) for name in self._means()}
        return Descent(loss, gradient, norm, means, none, total, cost)

    def step(self, objective: Any, theta: Tensor, state: Descent) -> Step[Descent]:
        """One update of every row, and the loss after it; a row whose loss is lost stays where it was."""
        moved = self._moved(theta, state)
        values, gradient, cost = self._evaluated(objective, moved, state.iteration + 1, state.total)
        loss, norm = to_host(values, norms(gradient)[0])
        evaluations, state.unpaid = state.unpaid + cost, np.zeros(len(theta))
        state.iteration = state.iteration + 1
        sound = np.isfinite(loss) & np.isfinite(norm) & np.isfinite(state.loss) & np.isfinite(state.gradient_norm)
        if sound.all():
            theta, state.gradient, state.loss, state.gradient_norm = moved, gradient, loss, norm
        else:
            keep = torch.as_tensor(sound, device=theta.device)[:, None]
            theta, state.gradient = torch.where(keep, moved, theta), torch.where(keep, gradient, state.gradient)
            state.loss = np.where(sound, loss, state.loss)
            state.gradient_norm = np.where(sound, norm, state.gradient_norm)
        status, reason = ENDS[np.where(sound, state.iteration >= state.total, 2)].T.tolist()
        return Step(theta, state, state.loss, state.gradient_norm, evaluations, status, reason)

    def _evaluated(
        self, objective: Any, theta: Tensor, iteration: Integers, total: Integers
    ) -> tuple[Tensor, Tensor, Floats]:
        """Loss (B,) and gradient (B, P) on what each row's step sees, and how much of its samples that is, (B,)."""
        cost = np.ones(len(theta))
        if not self.batch:
            return *objective.value_and_gradient(theta), cost
        steps = np.unique(iteration).tolist()  # rows of one step see the same points
        if len(steps) == 1:
            seen = self._seen(objective, steps[0], int(total[0]))
            return *seen.value_and_gradient(theta), cost * seen.share
        values, gradient = theta.new_empty(len(theta)), torch.empty_like(theta)
        for number in steps:
            rows = np.flatnonzero(iteration == number)
            at = torch.as_tensor(rows, device=theta.device)
            seen = self._seen(objective.rows(rows), number, int(total[rows[0]]))
            values[at], gradient[at] = seen.value_and_gradient(theta[at])
            cost[rows] = seen.share
        return values, gradient, cost

    def _seen(self, objective: Any, iteration: int, total: int) -> Any:
        """The objective on the batch of a step."""
        return objective.minibatch(iteration, self._grown(self.stages * iteration // total))

    def rates(self, state: Descent) -> Floats:
        """The learning rate of the next step, per row."""
        iteration = state.iteration
        if self.schedule == "constant":
            return np.full(len(iteration), self.rate)
        if self.schedule == "halved":
            return np.asarray(self.rate * 0.5 ** (5 * iteration // state.total))
        if self.schedule == "exponential":
            falling: Floats = self.rate * self.final ** (iteration / state.total)
            return falling
        rates: Floats = self.rate * 0.5 * (1 + np.cos(np.pi * iteration / state.total))
        return rates


def column(values: Floats | Tensor, like: Tensor) -> Tensor:
    """Numbers (B,) as (B, 1), in the precision and on the device of ``like``."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)[:, None]
