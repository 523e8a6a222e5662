"""Limited-memory BFGS with a strong-Wolfe line search; Liu & Nocedal (1989), doi:10.1007/BF01589116.

It decides as ``torch.optim.LBFGS`` does, called again and again with 20 iterations a call: such a call is an *epoch*.
A tolerance ends an epoch, not the run; the next epoch goes on with the same pairs. The run ends when the gradient
meets its tolerance, when three epochs in a row leave the loss as it was, or after ``max_epochs``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml_backend.linalg.compact_bfgs import CompactPairs
from sciml_backend.linalg.row_wise import Floats, Integers, dots, moved, norms, to_host
from sciml_backend.linalg.strong_wolfe import Found, strong_wolfe
from sciml_backend.linalg.two_loop import TwoLoopPairs
from sciml_backend.run import Status, setting
from sciml_backend.strategy import STAGE_ITERATIONS, Minimisable, State, Step, Strategy

LEAST_CURVATURE = 1e-10
"""A pair is kept where y.s exceeds this, as in torch."""

IDLE_EPOCHS = 3
"""A run has stalled when so many epochs in a row leave its loss as it was."""

REASONS = {
    Status.RUNNING: "",
    Status.CONVERGED: "The gradient met its tolerance.",
    Status.STALLED: f"{IDLE_EPOCHS} epochs in a row left the loss as it was.",
    Status.BUDGET_SPENT: "All epochs were used.",
    Status.DIVERGED: "The loss or its gradient became infinite or not a number.",
}


@dataclass
class LBFGSState(State):
    """Loss (B,), gradient (B, P) and its largest component (B,) at theta, the curvature pairs, and where each row is.

    ``iteration`` counts from the start, ``epoch_iteration`` and ``epoch_evaluations`` from the start of the epoch,
    ``epoch`` the epochs that ended, ``idle_epochs`` those in a row that left the loss at ``epoch_loss``; all (B,).
    """

    loss: Floats
    gradient: Tensor
    gradient_norm: Floats
    pairs: TwoLoopPairs | CompactPairs
    iteration: Integers
    epoch: Integers
    epoch_iteration: Integers
    epoch_evaluations: Integers
    epoch_loss: Floats
    idle_epochs: Integers


@dataclass(frozen=True, kw_only=True)
class LBFGS(Strategy[LBFGSState]):
    """L-BFGS (limited-memory quasi-Newton), strong-Wolfe line search, restarted tolerances every 20 iterations."""

    label = "L-BFGS"
    history: int = setting(100, "pairs of steps and gradient changes that are remembered")
    max_epochs: int = setting(2000, "epochs after which a run ends")
    epoch_iterations: int = setting(20, "iterations in an epoch, at most")
    epoch_evaluations: int = setting(25, "evaluations of loss and gradient in an epoch, at most")
    tolerance_grad: float = setting(1e-7, "largest gradient component at which a run has converged")
    tolerance_change: float = setting(1e-9, "change of the loss, or of every parameter, below which an epoch ends")

    def __post_init__(self) -> None:
        self._require("history", "max_epochs", "epoch_iterations", above=0)
        self._require("epoch_evaluations", above=1)

    @property
    def vectors(self) -> int:
        """All pairs, twice while rows are compacted, and the points and gradients that a line search tried."""
        return 4 * self.history + 2 * self.epoch_evaluations + 12

    @property
    def expected_iterations(self) -> int:
        """One long epoch is ended by a tolerance."""
        usual = STAGE_ITERATIONS if self.max_epochs == 1 else super().expected_iterations
        return min(usual, self.max_epochs * self.epoch_iterations)

    def init(self, objective: Minimisable, theta: Tensor) -> LBFGSState:
        """The state at theta (B, P); evaluates the objective once."""
        values, gradient = objective.value_and_gradient(theta)
        loss, norm = to_host(values, norms(gradient)[0])
        pairs = TwoLoopPairs if TwoLoopPairs.can_serve(theta) else CompactPairs
        zero = np.zeros(len(theta), dtype=np.int64)
        return LBFGSState(
            loss=loss,
            gradient=gradient.contiguous(),
            gradient_norm=norm,
            pairs=pairs.empty(theta, history=self.history),
            iteration=zero.copy(),
            epoch=zero.copy(),
            epoch_iteration=zero.copy(),
            epoch_evaluations=zero + 1,
            epoch_loss=loss.copy(),
            idle_epochs=zero.copy(),
        )

    def step(self, objective: Minimisable, theta: Tensor, state: LBFGSState) -> Step[LBFGSState]:
        """One direction and one line search of every row; a row that met its tolerance at the start stays there."""
        sound = np.isfinite(state.loss) & np.isfinite(state.gradient_norm)
        direction, descent = state.pairs.direction(state.gradient)
        slope, largest = to_host(descent, norms(direction)[0])
        search = sound & (state.gradient_norm > self.tolerance_grad) & (slope <= -self.tolerance_change)
        trials = Trials(objective, theta, direction)
        found = strong_wolfe(
            trials,
            search.nonzero()[0],
            first=self._first_step(state),
            loss=state.loss,
            slope=slope,
            largest=largest,
            limit=self.epoch_evaluations - state.epoch_evaluations,
            tolerance=self.tolerance_change,
        )
        theta, gradient = trials.chosen(found, theta, state.gradient)
        state.pairs.push(
            step=found.step, direction=direction, gradient=gradient, previous=state.gradient, least=LEAST_CURVATURE
        )
        with np.errstate(invalid="ignore"):  # infinite on both sides: a row that ends as diverged
            change = np.abs(found.loss - state.loss)
        state.loss, state.gradient, (state.gradient_norm,) = found.loss, gradient, to_host(norms(gradient)[0])
        evaluations = found.trials + (state.iteration == 0)
        self._count(state, found.trials)
        over = ~search | self._epoch_over(state, found.step * largest, change)
        self._next_epoch(state, over)
        sound &= ~found.diverged & np.isfinite(state.gradient_norm)
        status = self._status(state, over, sound)
        reason = [REASONS[s] for s in status]
        return Step(theta, state, state.loss, state.gradient_norm, evaluations, status, reason)

    def _first_step(self, state: LBFGSState) -> Floats:
        first = np.ones_like(state.loss)
        new = state.iteration == 0
        if new.any():
            with np.errstate(divide="ignore", invalid="ignore"):
                first[new] = np.minimum(1.0, 1.0 / to_host(norms(state.gradient)[1])[0])[new]
        return first

    def _count(self, state: LBFGSState, trials: Integers) -> None:
        state.iteration = state.iteration + 1
        state.epoch_iteration = state.epoch_iteration + 1
        state.epoch_evaluations = state.epoch_evaluations + trials

    def _epoch_over(self, state: LBFGSState, movement: Floats, change: Floats) -> NDArray[np.bool_]:
        return (
            (state.epoch_iteration >= self.epoch_iterations)
            | (state.epoch_evaluations >= self.epoch_evaluations)
            | (state.gradient_norm <= self.tolerance_grad)
            | (movement <= self.tolerance_change)
            | (change < self.tolerance_change)
        )

    def _next_epoch(self, state: LBFGSState, over: NDArray[np.bool_]) -> None:
        idle = np.where(state.loss == state.epoch_loss, state.idle_epochs + 1, 0)
        state.idle_epochs = np.where(over, idle, state.idle_epochs)
        state.epoch = state.epoch + over
        state.epoch_loss = np.where(over, state.loss, state.epoch_loss)
        state.epoch_iteration = np.where(over, 0, state.epoch_iteration)
        state.epoch_evaluations = np.where(over, 1, state.epoch_evaluations)  # torch evaluates anew and counts it

    def _status(self, state: LBFGSState, over: NDArray[np.bool_], sound: NDArray[np.bool_]) -> list[Status]:
        # A gradient within its tolerance ends every later epoch before its first iteration.
        status = np.full(len(over), Status.RUNNING, dtype=object)
        status[over & (state.epoch >= self.max_epochs)] = Status.BUDGET_SPENT
        status[over & (state.idle_epochs >= IDLE_EPOCHS)] = Status.STALLED
        status[over & (state.gradient_norm <= self.tolerance_grad)] = Status.CONVERGED
        status[~sound] = Status.DIVERGED
        return list(status)


@dataclass
class Trials:
    """The points a line search tried (rows, theta, gradient), one entry for each time it evaluated."""

    objective: Minimisable
    theta: Tensor
    direction: Tensor
    tried: list[tuple[Integers, Tensor, Tensor]] = field(default_factory=list)

    def __call__(self, rows: Integers, step: Floats) -> tuple[Floats, Floats]:
        """Loss and slope of these rows at these step lengths."""
        objective, theta, direction = self.objective, self.theta, self.direction
        if len(rows) < len(theta):
            at = torch.as_tensor(rows, device=theta.device)
            objective, theta, direction = objective.rows(rows), theta[at], direction[at]
        point = moved(theta, step, direction)
        values, gradient = objective.value_and_gradient(point)
        self.tried.append((rows, point, gradient))
        loss, slope = to_host(values, dots(gradient, direction))
        return loss, slope

    def chosen(self, found: Found, theta: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Theta and gradient where every row's search ended."""
        if self.tried and (found.trial == 0).all():
            _, theta, gradient = self.tried[0]
            return theta, gradient.contiguous()
        theta, gradient = theta.clone(), gradient.clone()
        for number, (rows, point, there) in enumerate(self.tried):
            here = (found.trial[rows] == number).nonzero()[0]
            source, target = (torch.as_tensor(i, device=theta.device) for i in (here, rows[here]))
            theta[target], gradient[target] = point[source], there[source]
        return theta, gradient
