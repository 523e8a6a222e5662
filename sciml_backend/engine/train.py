"""The training loop; it knows no problem, model or strategy by name.

All rows of a batch step together, each with its own status. A row that ends is taken out of the batch at once, so it
costs nothing more and cannot touch its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, Integers
from sciml_backend.objective import Objective
from sciml_backend.run import Curve, Status
from sciml_backend.strategy import Step, Strategy


@dataclass(frozen=True)
class Outcome:
    """How one row ended: its weights, its numbers and its curve. ``row`` counts from 0 in the batch as it was given.

    ``objective_value`` and ``gradient_norm`` are of what the strategy minimised last, which need not be the objective.
    """

    row: int
    status: Status
    reason: str
    theta: Tensor
    objective_value: float
    gradient_norm: float
    iterations: int
    evaluations: int
    seconds: float
    curve: Curve


@dataclass(frozen=True)
class Snapshot:
    """A glance at a batch in training: which rows, at which iteration, with which loss and test error."""

    rows: list[int]
    iteration: int
    train_loss: list[float]
    test_error: list[float]


COSTLY = 400
GROWN = 1.2
"""A curve has a point, too, wherever a row took so many evaluations since its last one, and so many times as many."""


def due(iteration: int) -> bool:
    """Whether an iteration is logged: every 20th up to 200, every 50th up to 1000, then every 200th."""
    return iteration % (20 if iteration <= 200 else 50 if iteration <= 1000 else 200) == 0


@dataclass
class _Progress:
    """What every row of the batch as it was given has taken so far, (B,) each, and its curve, in whole evaluations.

    ``told`` are the evaluations at the last point of the curve.
    """

    iterations: Integers
    evaluations: Floats
    seconds: Floats
    told: Floats
    curves: list[Curve]

    @classmethod
    def none(cls, rows: int) -> _Progress:
        evaluations, seconds, told = np.zeros((3, rows))
        return cls(np.zeros(rows, int), evaluations, seconds, told, [Curve() for _ in range(rows)])

    def far(self, rows: Integers) -> np.ndarray:
        """Which of these rows spent so much since the last point of their curve that it has one more, (rows,).

        A Newton step costs hundreds of evaluations: its curve would say nothing of most budgets.
        """
        spent, told = self.evaluations[rows], self.told[rows]
        return np.asarray((spent - told >= COSTLY) & (spent >= GROWN * told))

    def log(self, row: int, loss: float, error: float) -> bool:
        """Add a point to a row's curve, unless its last one is of this iteration already."""
        curve, iteration = self.curves[row], int(self.iterations[row])
        if curve.iteration and curve.iteration[-1] == iteration:
            return False
        curve.iteration.append(iteration)
        curve.evaluations.append(round(float(self.evaluations[row])))
        self.told[row] = self.evaluations[row]
        curve.seconds.append(round(float(self.seconds[row]), 4))
        curve.train_loss.append(loss)
        curve.test_error.append(error)
        return True


def train(
    objective: Objective,
    schedule: Sequence[Strategy[Any]],
    theta: Tensor,
    *,
    on_snapshot: Callable[[Snapshot], None] | None = None,
    on_log: Callable[[int, int, Tensor], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Train theta (B, P) through the phases of ``schedule``; yields each row as it ends, in no fixed order.

    A row goes on to the next phase unless it diverged. Rows still training when ``should_stop`` says so are dropped.
    ``on_log`` is given a row, its iteration and its weights (P,) wherever the curve has a point.
    """
    progress = _Progress.none(len(theta))
    active = np.arange(len(theta))
    _log(objective, progress, active, theta, on_log)
    for number, strategy in enumerate(schedule):
        last = number == len(schedule) - 1
        survivors: list[tuple[int, Tensor]] = []
        for outcome in _phase(objective, strategy, theta, progress, active, on_snapshot, on_log, should_stop):
            if last or outcome.status is Status.DIVERGED:
                yield outcome
            else:
                survivors.append((outcome.row, outcome.theta))
        if last or not survivors:
            return
        survivors.sort(key=lambda s: s[0])
        position = {int(row): i for i, row in enumerate(active)}
        objective = objective.rows([position[row] for row, _ in survivors])
        active = np.array([row for row, _ in survivors])
        theta = torch.stack([t for _, t in survivors])


def _phase(
    objective: Objective,
    strategy: Strategy[Any],
    theta: Tensor,
    progress: _Progress,
    active: np.ndarray,
    on_snapshot: Callable[[Snapshot], None] | None,
    on_log: Callable[[int, int, Tensor], None] | None,
    should_stop: Callable[[], bool],
) -> Iterator[Outcome]:
    started = time.perf_counter()
    state = strategy.init(objective, theta)
    iteration = 0
    while len(active) and not should_stop():
        step = strategy.step(objective, theta, state)
        theta, state = step.theta, step.state
        iteration += 1
        now = time.perf_counter()
        progress.iterations[active] += 1
        progress.evaluations[active] += step.evaluations
        progress.seconds[active] += (now - started) / len(active)
        started = now
        ended = np.array([status is not Status.RUNNING for status in step.status])
        told = np.ones(len(active), bool) if due(iteration) else ended | progress.far(active)
        if told.any():
            logged = told.nonzero()[0]
            _log(objective.rows(logged), progress, active[logged], theta[logged], on_log)
            if on_snapshot is not None:
                curves = [progress.curves[a] for a in active]
                losses, errors = [c.train_loss[-1] for c in curves], [c.test_error[-1] for c in curves]
                on_snapshot(Snapshot([int(a) for a in active], iteration, losses, errors))
        if not ended.any():
            continue
        for place in np.flatnonzero(ended).tolist():
            yield _outcome(int(active[place]), progress, step, place)
        started = time.perf_counter()  # what was done with them is not the others' training
        left = (~ended).nonzero()[0]
        if len(left) == 0:
            return
        active, theta, state, objective = active[left], theta[left], state.rows(left), objective.rows(left)


def _log(
    objective: Objective,
    progress: _Progress,
    active: np.ndarray,
    theta: Tensor,
    on_log: Callable[[int, int, Tensor], None] | None,
) -> None:
    loss, errors = objective.training_error(theta), objective.errors(theta)["test_error"]
    for i, row in enumerate(active.tolist()):
        new = progress.log(row, float(loss[i]), float(errors[i]))
        if new and on_log is not None:
            on_log(row, int(progress.iterations[row]), theta[i].clone())


def _outcome(row: int, progress: _Progress, step: Step[Any], position: int) -> Outcome:
    return Outcome(
        row=row,
        status=step.status[position],
        reason=step.reason[position],
        theta=step.theta[position].clone(),
        objective_value=float(step.loss[position]),
        gradient_norm=float(step.gradient_norm[position]),
        iterations=int(progress.iterations[row]),
        evaluations=round(float(progress.evaluations[row])),
        seconds=float(progress.seconds[row]),
        curve=progress.curves[row],
    )
