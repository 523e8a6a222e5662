"""The training loop; it knows no problem, model or strategy by name.

All rows of a batch step together, each with its own status. A row that ends is taken out of the batch at once, so it
costs nothing more and cannot touch its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

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


def due(iteration: int) -> bool:
    """Whether an iteration is logged: every 20th up to 200, every 50th up to 1000, then every 200th."""
    return iteration % (20 if iteration <= 200 else 50 if iteration <= 1000 else 200) == 0


@dataclass
class _Row:
    iterations: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    curve: Curve = field(default_factory=Curve)

    def log(self, loss: float, error: float) -> bool:
        """Add a point to the curve, unless its last one is of this iteration already."""
        curve = self.curve
        if curve.iteration and curve.iteration[-1] == self.iterations:
            return False
        curve.iteration.append(self.iterations)
        curve.evaluations.append(self.evaluations)
        curve.seconds.append(round(self.seconds, 4))
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
    rows = [_Row() for _ in range(len(theta))]
    active = np.arange(len(theta))
    _log(objective, rows, active, theta, on_log)
    for number, strategy in enumerate(schedule):
        last = number == len(schedule) - 1
        survivors: list[tuple[int, Tensor]] = []
        for outcome in _phase(objective, strategy, theta, rows, active, on_snapshot, on_log, should_stop):
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
    rows: list[_Row],
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
        for position, r in enumerate(rows[row] for row in active):
            r.iterations += 1
            r.evaluations += int(step.evaluations[position])
            r.seconds += (now - started) / len(active)
        started = now
        ended = np.array([s.finished for s in step.status])
        if ended.any() or due(iteration):
            logged = np.arange(len(active)) if due(iteration) else ended.nonzero()[0]
            _log(objective.rows(logged), rows, active[logged], theta[logged], on_log)
            if on_snapshot is not None:
                curves = [rows[a].curve for a in active]
                losses, errors = [c.train_loss[-1] for c in curves], [c.test_error[-1] for c in curves]
                on_snapshot(Snapshot([int(a) for a in active], iteration, losses, errors))
        if not ended.any():
            continue
        for place in np.flatnonzero(ended).tolist():
            yield _outcome(int(active[place]), rows[active[place]], step, place)
        left = (~ended).nonzero()[0]
        if len(left) == 0:
            return
        active, theta, state, objective = active[left], theta[left], state.rows(left), objective.rows(left)


def _log(
    objective: Objective,
    rows: Sequence[_Row],
    active: np.ndarray,
    theta: Tensor,
    on_log: Callable[[int, int, Tensor], None] | None,
) -> None:
    loss, errors = objective.training_error(theta), objective.errors(theta)["test_error"]
    for i, row in enumerate(active):
        new = rows[row].log(float(loss[i]), float(errors[i]))
        if new and on_log is not None:
            on_log(int(row), rows[row].iterations, theta[i].clone())


def _outcome(row: int, r: _Row, step: Step[Any], position: int) -> Outcome:
    return Outcome(
        row=row,
        status=step.status[position],
        reason=step.reason[position],
        theta=step.theta[position].clone(),
        objective_value=float(step.loss[position]),
        gradient_norm=float(step.gradient_norm[position]),
        iterations=r.iterations,
        evaluations=r.evaluations,
        seconds=r.seconds,
        curve=r.curve,
    )
