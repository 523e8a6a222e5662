"""First-order start, second-order finish, with a switch; Kopaničáková & Riccietti (2026), arXiv:2601.10222.

A row goes on with the first strategy until its gradient's norm has settled: until the norm's moving average changes by
less than a threshold from one window of steps to the next. Then the second one takes over. Where that makes the loss
explode, the row goes back to where it switched and stays with the first for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, Integers, norms, to_host
from sciml_backend.run import Status, setting
from sciml_backend.strategy import Minimisable, State, Step, Strategy, part

FIRST, THEN, FALLEN_BACK = 0, 1, 2


@dataclass
class Group:
    """Some rows, in rising order, and a strategy's state for them; None when there are none."""

    rows: Integers
    state: Any = None

    def only(self, kept: Integers) -> Group:
        """Without the rows that are not among ``kept``; the rest keeps its names."""
        places = np.flatnonzero(np.isin(self.rows, kept))
        return Group(self.rows[places], self.state.rows(places) if len(places) else None)


@dataclass
class HybridState(State):
    """Each row's phase (B,), the groups of rows with each strategy, and what the switch is judged by.

    ``average`` (B,) is the moving average of the gradient's norm, ``window_ago`` (B,) what it was a window ago,
    ``steps`` (B,) the first strategy's; ``theta`` (B, P) and ``loss`` (B,) are where a row switched.
    """

    phase: Integers
    first: Group
    then: Group
    average: Floats
    window_ago: Floats
    steps: Integers
    theta: Tensor
    loss: Floats

    def rows(self, index: Integers) -> HybridState:
        index = np.asarray(index)
        return HybridState(
            self.phase[index], _renamed(self.first, index), _renamed(self.then, index), self.average[index],
            self.window_ago[index], self.steps[index], self.theta[torch.as_tensor(index, device=self.theta.device)],
            self.loss[index],
        )  # fmt: skip

    def put(self, index: Integers, other: HybridState) -> None:
        for name in ("phase", "average", "window_ago", "steps", "loss"):
            getattr(self, name)[index] = getattr(other, name)
        self.theta[torch.as_tensor(index, device=self.theta.device)] = other.theta
        stay = np.setdiff1d(np.arange(len(self.phase)), index)
        self.first, self.then = (
            _united(mine.only(stay), Group(index[theirs.rows], theirs.state))
            for mine, theirs in ((self.first, other.first), (self.then, other.then))
        )


def _united(one: Group, other: Group) -> Group:
    """The rows of two groups with the same strategy, each of which rise."""
    if not (len(one.rows) and len(other.rows)):
        return one if len(one.rows) else other
    together = np.sort(np.concatenate([one.rows, other.rows]))
    state = one.state.rows(np.zeros(len(together), dtype=np.int64))  # room for all
    for group in (one, other):
        state.put(np.searchsorted(together, group.rows), group.state)
    return Group(together, state)


def _renamed(group: Group, index: Integers) -> Group:
    """The group of those rows that ``index`` picks, by their place in it."""
    places = {int(row): place for place, row in enumerate(group.rows)}
    kept = [(new, places[int(old)]) for new, old in enumerate(index) if int(old) in places]
    if not kept:
        return Group(np.zeros(0, dtype=np.int64))
    return Group(np.array([new for new, _ in kept]), group.state.rows(np.array([place for _, place in kept])))


@dataclass(frozen=True, kw_only=True)
class Hybrid(Strategy[HybridState]):
    """Hybrid (Adam until its gradient settles, then L-BFGS; back to Adam where that explodes)."""

    label = "Hybrid"
    first: Strategy[Any] = part("adam", "the strategy of the start", schedule="constant")
    then: Strategy[Any] = part("lbfgs", "the strategy after the switch")
    window: int = setting(100, "steps over which the gradient's norm is averaged, and between two looks at it")
    threshold: float = setting(0.05, "relative change of the average from window to window that counts as settled")
    explosion: float = setting(10.0, "a loss this many times that at the switch is an explosion")

    def __post_init__(self) -> None:
        self._require("window", "threshold", above=0)
        self._require("explosion", above=1)

    @property
    def vectors(self) -> int:
        return self.first.vectors + self.then.vectors + 2

    @property
    def largest_batch(self) -> int:
        return max(self.first.largest_batch, self.then.largest_batch)

    @property
    def expected_iterations(self) -> int:
        return 2000 + self.then.expected_iterations

    def init(self, objective: Minimisable, theta: Tensor) -> HybridState:
        """The first strategy's state at theta (B, P)."""
        rows = np.arange(len(theta))
        zero = np.zeros(len(theta))
        first = Group(rows, self.first.init(objective, theta))
        return HybridState(
            np.full(len(theta), FIRST), first, Group(rows[:0]), zero + np.nan, zero + np.nan,
            rows * 0, theta.clone(), zero + np.inf,
        )  # fmt: skip

    def step(self, objective: Minimisable, theta: Tensor, state: HybridState) -> Step[HybridState]:
        """One step of every row with its own strategy."""
        theta = theta.clone()
        loss, norm = np.zeros(len(theta)), np.zeros(len(theta))
        evaluations = np.zeros(len(theta))
        status, reason = [Status.RUNNING] * len(theta), [""] * len(theta)
        for strategy, group in ((self.first, state.first), (self.then, state.then)):
            if not len(group.rows):
                continue
            at = torch.as_tensor(group.rows, device=theta.device)
            step = strategy.step(objective.rows(group.rows), theta[at], group.state)
            theta[at], group.state = step.theta, step.state
            loss[group.rows], norm[group.rows] = step.loss, step.gradient_norm
            evaluations[group.rows] = step.evaluations
            for place, row in enumerate(group.rows.tolist()):
                status[row], reason[row] = step.status[place], step.reason[place]
        self._fall_back(objective, theta, state, loss, norm, evaluations, status, reason)
        self._switch(objective, theta, state, loss, norm, status)
        return Step(theta, state, loss, norm, evaluations, status, reason)

    def _fall_back(
        self, objective: Minimisable, theta: Tensor, state: HybridState, loss: Floats, norm: Floats,
        evaluations: Floats, status: list[Status], reason: list[str],
    ) -> None:  # fmt: skip
        """Take rows whose loss exploded after the switch back to where they switched."""
        lost = np.array([s is Status.DIVERGED for s in status]) | ~(loss <= self.explosion * state.loss)
        rows = np.flatnonzero((state.phase == THEN) & lost)
        if not len(rows):
            return
        at = torch.as_tensor(rows, device=theta.device)
        theta[at] = state.theta[at]
        values, gradient = objective.rows(rows).value_and_gradient(theta[at])
        loss[rows], norm[rows] = to_host(values, norms(gradient)[0])
        evaluations[rows] += 1
        for row in rows.tolist():
            status[row], reason[row] = Status.RUNNING, ""
        state.phase[rows] = FALLEN_BACK
        state.then = state.then.only(np.flatnonzero(state.phase == THEN))
        state.first = self._joined(self.first, state.first, rows, objective, theta)

    def _switch(
        self, objective: Minimisable, theta: Tensor, state: HybridState, loss: Floats, norm: Floats,
        status: list[Status],
    ) -> None:  # fmt: skip
        """Hand the rows whose gradient has settled to the second strategy."""
        going = (state.phase == FIRST) & np.array([not s.finished for s in status])
        state.steps += going
        new = going & np.isnan(state.average)
        state.average = np.where(new, norm, np.where(going, state.average + (norm - state.average) / self.window,
                                                     state.average))  # fmt: skip
        look = going & (state.steps % self.window == 0)
        with np.errstate(invalid="ignore"):
            change = np.abs(state.average - state.window_ago) / state.window_ago
        state.window_ago = np.where(look, state.average, state.window_ago)
        rows = np.flatnonzero(look & (change < self.threshold))
        if not len(rows):
            return
        at = torch.as_tensor(rows, device=theta.device)
        state.theta[at], state.loss[rows], state.phase[rows] = theta[at], loss[rows], THEN
        state.first = state.first.only(np.flatnonzero(state.phase != THEN))
        state.then = self._joined(self.then, state.then, rows, objective, theta)

    def _joined(
        self, strategy: Strategy[Any], group: Group, rows: Integers, objective: Minimisable, theta: Tensor
    ) -> Group:
        """The group with these rows added, which begin at theta; the others go on as they were."""
        together = np.sort(np.concatenate([group.rows, rows]))
        made = strategy.init(objective.rows(together), theta[torch.as_tensor(together, device=theta.device)])
        if len(group.rows):
            made.put(np.searchsorted(together, group.rows), group.state)
        return Group(together, made)
