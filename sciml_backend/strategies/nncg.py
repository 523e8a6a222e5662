"""Nyström-preconditioned Newton-CG; Rathore, Lei, Frangella, Lu & Udell (2024), arXiv:2402.01868, section 7.

A step solves (H + μ) d = g by conjugate gradients, preconditioned by a randomised approximation of H of low rank that
is made anew every so many steps, and goes along -d as far as Armijo's rule allows. It comes after Adam and L-BFGS,
where what is left to gain lies along directions of little curvature. A d that leads upwards has the preconditioner made
anew, and the step goes along the gradient instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.conjugate_gradient import Solved, conjugate_gradients
from sciml_backend.linalg.nystrom import Nystrom, nystrom
from sciml_backend.linalg.row_wise import Floats, Integers, dots, moved, norms, to_host
from sciml_backend.run import Status, setting
from sciml_backend.strategy import Curved, Part, State, Step, Strategy

SUFFICIENT = 0.1
"""Armijo's constant: the share of the predicted decrease that a step must bring."""
SHORTEST = 2.0**-30
"""A row whose loss does not fall even by so short a step has stalled."""
PRODUCT = 2
"""Gradients that a Hessian product is worth."""

REASONS = {
    Status.RUNNING: "",
    Status.CONVERGED: "The gradient met its tolerance.",
    Status.STALLED: "No step along the Newton direction lowered the loss.",
    Status.BUDGET_SPENT: "All steps were taken.",
    Status.DIVERGED: "The loss or its gradient became infinite or not a number.",
}


@dataclass
class NewtonState(State):
    """Loss (B,), gradient (B, P) and its largest component (B,) at theta, the last direction d, the preconditioner.

    ``iteration`` counts the steps, ``fallbacks`` those that went along the gradient because d led upwards; (B,) each.
    """

    loss: Floats
    gradient: Tensor
    gradient_norm: Floats
    direction: Tensor
    vectors: Tensor
    values: Tensor
    iteration: Integers
    fallbacks: Integers


@dataclass(frozen=True, kw_only=True)
class NNCG(Strategy[NewtonState]):
    """NysNewton-CG (Newton's method by preconditioned conjugate gradients), after Adam and L-BFGS."""

    label = "NNCG"
    before = (
        Part("adam", {"steps": 2000, "schedule": "constant"}),
        Part("lbfgs", {"max_epochs": 1000}),
    )
    steps: int = setting(2000, "Newton steps after which a run ends")
    rank: int = setting(50, "rank of the preconditioner")
    refresh: int = setting(20, "steps after which the preconditioner is made anew")
    damping: float = setting(1e-2, "mu, added to the Hessian")
    products: int = setting(100, "conjugate-gradient steps for one Newton step, at most")
    tolerance_cg: float = setting(1e-5, "norm of the system's residual at which conjugate gradients end")
    tolerance_grad: float = setting(1e-7, "largest gradient component at which a run has converged")

    def __post_init__(self) -> None:
        self._require("steps", "rank", "refresh", "damping", "products", above=0)

    @property
    def expected_iterations(self) -> int:
        return self.steps

    @property
    def vectors(self) -> int:
        """The preconditioner while it is made, twice in double, and the vectors of conjugate gradients."""
        return 6 * self.rank + 16

    def init(self, objective: Any, theta: Tensor) -> NewtonState:
        """The state at theta (B, P); evaluates the objective once."""
        values, gradient = objective.value_and_gradient(theta)
        loss, norm = to_host(values, norms(gradient)[0])
        rows, parameters = theta.shape
        rank, zero = min(self.rank, parameters), np.zeros(rows, dtype=np.int64)
        return NewtonState(
            loss=loss,
            gradient=gradient,
            gradient_norm=norm,
            direction=torch.zeros_like(theta),
            vectors=theta.new_zeros(rows, parameters, rank),
            values=theta.new_zeros(rows, rank),
            iteration=zero,
            fallbacks=zero.copy(),
        )

    def step(self, objective: Any, theta: Tensor, state: NewtonState) -> Step[NewtonState]:
        """One Newton step of every row."""
        evaluations = (state.iteration == 0).astype(np.int64)
        stale = np.flatnonzero(state.iteration % self.refresh == 0)
        evaluations[stale] += self._precondition(objective, theta, state, stale)
        solved = self._solved(objective, theta, state)
        evaluations += PRODUCT * solved.products
        direction, slope = solved.x, to_host(dots(state.gradient, solved.x))[0]
        upward = np.flatnonzero(~(slope > 0) & np.isfinite(state.loss))
        if len(upward):
            evaluations[upward] += self._precondition(objective, theta, state, upward)
            direction[torch.as_tensor(upward, device=theta.device)] = state.gradient[upward]
            state.fallbacks[upward] += 1
            slope = to_host(dots(state.gradient, direction))[0]
        theta, found, gradient, stuck, trials = self._descended(objective, theta, state, direction, slope)
        evaluations += trials
        (norm,) = to_host(norms(gradient)[0])
        sound = np.isfinite(found) & np.isfinite(norm) & np.isfinite(slope)
        state.loss, state.gradient, state.gradient_norm, state.direction = found, gradient, norm, direction
        state.iteration = state.iteration + 1
        status = np.full(len(theta), Status.RUNNING, dtype=object)
        status[state.iteration >= self.steps] = Status.BUDGET_SPENT
        status[stuck] = Status.STALLED
        status[norm <= self.tolerance_grad] = Status.CONVERGED
        status[~sound] = Status.DIVERGED
        reason = [_reason(s, int(n)) for s, n in zip(status, state.fallbacks, strict=True)]
        return Step(theta, state, found, norm, evaluations, list(status), reason)

    def _precondition(self, objective: Curved, theta: Tensor, state: NewtonState, rows: Integers) -> int:
        """Approximate the Hessian of these rows; what one row's approximation costs, in gradients."""
        if not len(rows):
            return 0
        rank = state.values.shape[1]
        for row in rows.tolist():  # alone: a row's test matrix is that of its own step
            own = theta[row : row + 1]
            product = objective.rows(np.array([row])).hessian_at(own)
            made = nystrom(product, own, rank=rank, seed=int(state.iteration[row]))
            state.vectors[row], state.values[row] = made.vectors[0], made.values[0]
        return PRODUCT * rank

    def _solved(self, objective: Curved, theta: Tensor, state: NewtonState) -> Solved:
        """(H + μ) d = g for every row, from the last step's d."""
        known: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {}

        def product(rows: Integers, v: Tensor) -> Tensor:
            key = tuple(rows.tolist())
            if key not in known:
                known.clear()  # rows only ever leave
                known[key] = objective.rows(rows).hessian_at(theta[torch.as_tensor(rows, device=theta.device)])
            return known[key](v) + self.damping * v

        def precondition(rows: Integers, v: Tensor) -> Tensor:
            return Nystrom(state.vectors[rows], state.values[rows]).solve(v, self.damping)

        return conjugate_gradients(
            product,
            state.gradient,
            start=state.direction,
            precondition=precondition,
            tolerance=self.tolerance_cg,
            limit=self.products,
        )

    def _descended(
        self, objective: Curved, theta: Tensor, state: NewtonState, direction: Tensor, slope: Floats
    ) -> tuple[Tensor, Floats, Tensor, Integers, Integers]:
        """Where Armijo's rule leads each row: theta, loss and gradient there; which rows are stuck; and trials."""
        theta, gradient, loss = theta.clone(), state.gradient.clone(), state.loss.copy()
        trials = np.zeros(len(theta), dtype=np.int64)
        rows, length = np.flatnonzero(np.isfinite(loss) & np.isfinite(slope)), 1.0
        start = theta.clone()
        while len(rows) and length >= SHORTEST:
            at = torch.as_tensor(rows, device=theta.device)
            point = moved(start[at], np.full(len(rows), -length), direction[at])
            values, there = objective.rows(rows).value_and_gradient(point)
            (tried,) = to_host(values)
            trials[rows] += 1
            enough = tried <= state.loss[rows] - SUFFICIENT * length * slope[rows]
            good = torch.as_tensor(np.flatnonzero(enough), device=theta.device)
            theta[at[good]], gradient[at[good]], loss[rows[enough]] = point[good], there[good], tried[enough]
            rows, length = rows[~enough], length / 2
        return theta, loss, gradient, rows, trials


def _reason(status: Status, fallbacks: int) -> str:
    told = f" {fallbacks} steps went along the gradient, as the Newton direction led upwards."
    return REASONS[status] + (told if fallbacks and status.finished else "")
