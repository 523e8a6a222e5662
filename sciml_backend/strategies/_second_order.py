"""What strategies with a dense matrix of curvature share: one matrix a step, and trials along its eigenvectors."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, Integers, norms, to_host
from sciml_backend.linalg.symmetric import Eigen, eigen
from sciml_backend.run import Status, setting
from sciml_backend.strategy import State, Step, Strategy

PRODUCT = 2
"""Gradients that a product of the matrix with one vector is worth; a dense matrix is P products."""
TRIALS = 60
"""Proposals after which a row stays where it is: none lowered its loss."""
FLOOR = 1e-8
"""An eigenvalue this small beside the largest one is neither positive nor negative: the matrix is known so well."""

REASONS = {
    Status.RUNNING: "",
    Status.CONVERGED: "The gradient met its tolerance.",
    Status.STALLED: "The steps became too short to matter.",
    Status.BUDGET_SPENT: "All steps were taken.",
    Status.DIVERGED: "The loss, its gradient or its curvature became infinite or not a number.",
}


@dataclass
class DenseState(State):
    """Loss (B,), gradient (B, P) and its largest component (B,) at theta; ``size`` (B,) is what bounds a step.

    ``iteration`` counts the steps, (B,).
    """

    loss: Floats
    gradient: Tensor
    gradient_norm: Floats
    size: Floats
    iteration: Integers


@dataclass(frozen=True)
class Trial:
    """Proposals of some rows: their ``number`` (from 0), and, (B,) each, the loss before and after, by how much the
    gradient alone and the quadratic model let it fall, the length of the step and the ``size`` it was made with.
    """

    number: int
    before: Floats
    after: Floats
    linear: Floats
    quadratic: Floats
    length: Floats
    size: Floats

    @property
    def ratio(self) -> Floats:
        """The fall of the loss as a share of the quadratic model's; minus infinity where the loss is not finite."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (self.before - self.after) / self.quadratic
        return np.where(np.isfinite(self.after) & np.isfinite(found), found, -np.inf)


@dataclass(frozen=True, kw_only=True)
class SecondOrder(Strategy[DenseState]):
    """A strategy that decomposes a dense matrix at every step; for networks of at most 1,000 parameters.

    A run whose gradient meets the tolerance looks at the matrix there once more, so the report is of its very end.
    """

    variants = ("float64,depth=2,width=10", "depth=2,width=10")
    steps: int = setting(200, "steps after which a run ends")
    tolerance_grad: float = setting(1e-7, "largest gradient component at which a run has converged")
    tolerance_change: float = setting(1e-9, "length of a step at which a run ends")

    def __post_init__(self) -> None:
        self._require("steps", above=0)

    @property
    def most_parameters(self) -> int:
        return 1000

    @property
    def expected_iterations(self) -> int:
        return self.steps // 2

    @property
    def vectors(self) -> int:
        """The matrix, its eigenvectors and the points it is differenced from, in double."""
        return 10 * self.most_parameters

    @property
    def first_size(self) -> float:
        """The size before the first step."""
        return 1.0

    @abstractmethod
    def matrix(self, objective: Any, theta: Tensor) -> Tensor:
        """The matrix (B, P, P) whose quadratic model of the loss the steps follow."""

    def begun(self, size: Floats, values: Floats) -> Floats:
        """The size (B,) that a step begins with, from the last one's and the eigenvalues (B, P)."""
        return size

    @abstractmethod
    def proposed(self, values: Floats, slope: Floats, size: Floats) -> Floats:
        """The step (B, P) in the eigenvectors' basis, from eigenvalues (B, P), the gradient (B, P) there and size."""

    @abstractmethod
    def judged(self, trial: Trial) -> tuple[np.ndarray, Floats]:
        """Which proposals are taken (B,), and the size (B,) for the next ones."""

    def told(self, values: Floats) -> str:
        """What the eigenvalues (P,) at the end say, as the end of a reason."""
        floor = FLOOR * np.abs(values).max()
        below, above = int((values < -floor).sum()), int((values > floor).sum())
        near = len(values) - below - above
        return f" The Hessian had {below} negative, {near} vanishing and {above} positive eigenvalues."

    def init(self, objective: Any, theta: Tensor) -> DenseState:
        """The state at theta (B, P); evaluates the objective once."""
        values, gradient = objective.value_and_gradient(theta)
        loss, norm = to_host(values, norms(gradient)[0])
        size = np.full(len(theta), self.first_size)
        return DenseState(loss, gradient, norm, size, np.zeros(len(theta), dtype=np.int64))

    def step(self, objective: Any, theta: Tensor, state: DenseState) -> Step[DenseState]:
        """One step of every row; a row whose gradient meets the tolerance stays where it is."""
        spectrum = eigen(self.matrix(objective, theta))
        values = spectrum.values.cpu().numpy()
        evaluations = (state.iteration == 0) + PRODUCT * theta.shape[1] * np.ones(len(theta), dtype=np.int64)
        done = state.gradient_norm <= self.tolerance_grad
        state.size = self.begun(state.size, values)
        sound = np.isfinite(state.loss) & np.isfinite(state.gradient_norm) & np.isfinite(values).all(1)
        theta, length, trials = self._tried(objective, theta, state, spectrum, np.flatnonzero(sound & ~done))
        state.iteration = state.iteration + 1
        sound &= np.isfinite(state.loss) & np.isfinite(state.gradient_norm)
        status = np.full(len(theta), Status.RUNNING, dtype=object)
        status[state.iteration >= self.steps] = Status.BUDGET_SPENT
        status[length <= self.tolerance_change] = Status.STALLED
        status[done] = Status.CONVERGED
        status[~sound] = Status.DIVERGED
        reason = [self._reason(s, row) for s, row in zip(status, values, strict=True)]
        return Step(theta, state, state.loss, state.gradient_norm, evaluations + trials, list(status), reason)

    def _reason(self, status: Status, values: Floats) -> str:
        at_end = status in (Status.CONVERGED, Status.STALLED)  # elsewhere the row has moved on since
        return REASONS[status] + (self.told(values) if at_end else "")

    def _tried(
        self, objective: Any, theta: Tensor, state: DenseState, spectrum: Eigen, rows: Integers
    ) -> tuple[Tensor, Floats, Integers]:
        """Propose until a proposal is taken: theta, how far each row went (B,), and how many proposals it had (B,)."""
        theta, start = theta.clone(), theta.clone()
        trials, gone = np.zeros(len(theta), dtype=np.int64), np.zeros(len(theta))
        slope, values = spectrum.components(state.gradient).cpu().numpy(), spectrum.values.cpu().numpy()
        for number in range(TRIALS):
            if not len(rows):
                break
            at = torch.as_tensor(rows, device=theta.device)
            step = self.proposed(values[rows], slope[rows], state.size[rows])
            way = spectrum.rows(at).combined(torch.as_tensor(step, device=theta.device))
            point = start[at] + way.to(theta.dtype)
            loss, gradient = objective.rows(rows).value_and_gradient(point)
            after, norm = to_host(loss, norms(gradient)[0])
            linear = -(step * slope[rows]).sum(1)
            with np.errstate(over="ignore", invalid="ignore"):
                quadratic = linear - 0.5 * (values[rows] * step**2).sum(1)
                length = np.sqrt((step**2).sum(1))
            trial = Trial(number, state.loss[rows], after, linear, quadratic, length, state.size[rows])
            taken, state.size[rows] = self.judged(trial)
            trials[rows] += 1
            state.loss[rows[taken]], state.gradient_norm[rows[taken]] = after[taken], norm[taken]
            kept = taken & np.isfinite(after)  # a diverged row keeps its last finite weights
            good, gone[rows[kept]] = torch.as_tensor(np.flatnonzero(kept), device=theta.device), length[kept]
            theta[at[good]], state.gradient[at[good]] = point[good], gradient[good]
            rows = rows[~taken]
        return theta, gone, trials
