"""Objective: the one function that is trained, logged and differentiated, for B runs at once.

Every strategy and every diagnostic uses these verbs and nothing else. ``theta`` is (B, P); a row never depends on
another. An objective built for one run takes any number of rows of weights; one built for B runs takes B.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, dots
from sciml_backend.loss import Loss
from sciml_backend.model import Block
from sciml_backend.run import BadRequest, RunSpec
from sciml_backend.strategy import Difficulty

Index = Sequence[int] | np.ndarray | Tensor
GRAPH = 2.2
"""Times the memory of a network's gradient that one takes which is to be differentiated again (FNO, 64 samples)."""
TOGETHER = 256
"""Columns of a Hessian that are computed at a time."""


class Objective(ABC):
    """A loss over (B, P), in one precision on one device."""

    label: ClassVar[str]
    mean_squares: ClassVar[bool] = True
    """Whether the loss is the sum of its terms' mean squares."""
    kernel_name: ClassVar[str] = ""
    """The hand-written kernel that computes it on a CPU where it can, as ``kernels`` names it."""
    loss: ClassVar[type[Loss]] = Loss
    """What can be chosen about it."""
    dtype: torch.dtype
    device: torch.device
    runs: int
    """For how many runs it was built."""
    kernel: str
    """Which arithmetic computes ``value_and_gradient`` (for the record)."""
    chunk: int
    """Points per chunk of that arithmetic, 0 when it does not chunk."""
    share: float | Floats = 1.0
    """How much of all samples it sees, or (B,): what one evaluation costs, in evaluations of the whole."""

    @classmethod
    @abstractmethod
    def terms_of(cls, problem: Any) -> tuple[str, ...]:
        """The names of the terms that make the loss of a problem."""

    @classmethod
    @abstractmethod
    def sizes(cls, problem: Any, loss: Any) -> dict[str, int]:
        """What follows from the problem about a model: how many ``inputs`` it has, and ``outputs`` if not one."""

    @classmethod
    def check(cls, problem: Any, model: Any, loss: Any) -> None:
        """Raise BadRequest when this model cannot be trained on this problem."""
        return None

    @classmethod
    @abstractmethod
    def build(
        cls, problem: Any, model: Any, runs: Sequence[RunSpec], *, loss: Any, dtype: torch.dtype, device: str
    ) -> Self:
        """The objective of runs that train together."""

    @property
    @abstractmethod
    def layout(self) -> tuple[Block, ...]:
        """The blocks of a row of theta: weight matrices (out, in) and biases (out,)."""

    @property
    def parameters(self) -> int:
        """P."""
        return int(self.layout[-1].slice.stop)

    @property
    @abstractmethod
    def difficulty(self) -> Difficulty:
        """The coefficient that makes the problem hard, for these runs."""

    @abstractmethod
    def rows(self, index: Index) -> Self:
        """The same objective for these runs only, in this order."""

    def _for(self, theta: Tensor) -> Self:
        """The same objective for as many rows as theta has."""
        if len(theta) == self.runs:
            return self
        if self.runs != 1:
            raise ValueError(f"This objective is for {self.runs} runs, got theta with {len(theta)} rows.")
        return self.rows([0] * len(theta))

    def repeated(self, row: int, times: int) -> Self:
        """The same objective for a row of weights so many times; what was built for one run has only that one."""
        return self.rows([row if self.runs > 1 else 0] * times)

    def minibatch(self, number: int, size: int) -> Self:
        """The same objective on a batch of ``size`` samples, or all where there are fewer: a strategy's ``number``-th.

        Raises BadRequest where its samples cannot be told apart.
        """
        raise BadRequest(f"{self.label} sees all its data at once; ask for all of them (0).")

    def subset(self, samples: int) -> Self:
        """The same objective on so many of its training samples, always the same ones; all where there are fewer.

        For measurements, where a batch is for training. Raises BadRequest where samples cannot be told apart.
        """
        return self.minibatch(0, samples)

    def published_steps(self, batch: int) -> int:
        """How many steps of a first-order strategy with such batches were published for this amount of data.

        Raises BadRequest where nothing says so.
        """
        raise BadRequest(f"Nothing says how many steps to take on {self.label}; set steps.")

    @abstractmethod
    def given(self, **context: Any) -> Self:
        """The same objective with another context, such as other coefficients or points."""

    @abstractmethod
    def value_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Loss (B,) and gradient (B, P)."""

    @abstractmethod
    def value(self, theta: Tensor) -> Tensor:
        """Loss (B,), without a gradient."""

    def training_error(self, theta: Tensor) -> Tensor:
        """What a map shows of the training (B,): the plain loss, unless the published maps show something else."""
        return self.value(theta)

    @property
    def published_scale(self) -> float:
        """How many times the loss, and so its curvature, was larger in the publication."""
        return 1.0

    def floor(self) -> Tensor | None:
        """The training error of the true solution (B,), where that is not zero; None where it is."""
        return None

    @abstractmethod
    def differentiable_value(self, theta: Tensor) -> Tensor:
        """Loss (B,) by plain torch operations, which automatic differentiation may pass through any number of times."""

    @property
    def graph_bytes(self) -> int:
        """About what a gradient of ``differentiable_value`` holds to be differentiated again; 0 where it is little."""
        return 0

    @abstractmethod
    def hessian_times(self, theta: Tensor, v: Tensor) -> Tensor:
        """The Hessian of each row's loss times that row of v, (B, P)."""

    def hessian_at(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        """v (B, P) to the Hessian at theta times v, as exact as the precision needs: for many products in one place."""
        return partial(self.hessian_times, theta)

    def hessian(self, theta: Tensor) -> Tensor:
        """The Hessian of each row's loss, (B, P, P) in float64; for networks with few parameters."""
        pieces = torch.eye(theta.shape[1], dtype=theta.dtype, device=theta.device).split(TOGETHER)
        every = [
            torch.cat([self.repeated(row, len(v)).hessian_times(own.expand_as(v), v) for v in pieces])
            for row, own in enumerate(theta)
        ]
        return symmetric(torch.stack(every).double())

    @abstractmethod
    def gauss_newton(self, theta: Tensor) -> Tensor:
        """The part of each row's Hessian that the residuals' first derivatives make, (B, P, P) in float64."""

    @abstractmethod
    def residuals(self, theta: Tensor) -> dict[str, Tensor]:
        """Every term's residuals by name, each (B, n)."""

    def present(self, residuals: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Which entries of the residuals (B, n) are there, by term, where shorter rows are padded: all, unless told."""
        return {name: torch.ones_like(r, dtype=torch.bool) for name, r in residuals.items()}

    @abstractmethod
    def residual_jvp(self, theta: Tensor, v: Tensor) -> dict[str, Tensor]:
        """Directional derivatives of the residuals along v (B, P), each (B, n)."""

    @abstractmethod
    def residual_vjp(self, theta: Tensor, w: Mapping[str, Tensor]) -> Tensor:
        """Gradient (B, P) of sum over terms of <w, residual>, w by name, each (B, n); zero for a term left out."""

    @abstractmethod
    def errors(self, theta: Tensor, *, heldout: bool = False) -> dict[str, Tensor]:
        """Errors against the reference by name, each (B,): ``test_error`` always, the rest when ``heldout``."""

    @abstractmethod
    def solution(self, theta: Tensor) -> dict[str, np.ndarray]:
        """What each row learned on the test grid: ``solution`` and ``reference`` (B, …), and the grid's coordinates."""

    @abstractmethod
    def memory(self, runs: int) -> int:
        """Predicted bytes of working memory for a batch of ``runs`` runs."""


DIFFERENCE = 3e-8
"""Distance between the two points of ``product_by_gradients``."""
CENTRAL = 1e-5
"""Distance of the two points of a central difference from the one between them."""


def product_by_gradients(exact: Objective, theta: Tensor) -> Callable[[Tensor], Tensor]:
    """v (B, P) to the Hessian at theta times v, as a difference of two of the gradients of ``exact``, in float64.

    Its error, about 1e-7 of the product, is no larger than that of a product by differentiation in float32, and where
    gradients have a kernel it costs two and a half of them in place of forty (measured at new and trained networks).
    """
    there = theta.detach().double()
    base = exact.value_and_gradient(there)[1]

    def product(v: Tensor) -> Tensor:
        direction, step = _toward(v, DIFFERENCE)
        ahead = exact.value_and_gradient(there + step * direction)[1]
        return ((ahead - base) / step).to(theta.dtype)

    return product


def product_by_central_gradients(exact: Objective, theta: Tensor) -> Callable[[Tensor], Tensor]:
    """The same by a central difference: two gradients a product, and an error below 1e-7 for neural operators too.

    Of their weights few say much, so a product may be far smaller than the gradients whose difference it is: then
    ``product_by_gradients`` has an error of up to 1e-4, a product by differentiation in float32 one of 2e-7 to 8e-7
    (measured at new and trained networks).
    """
    there = theta.detach().double()

    def product(v: Tensor) -> Tensor:
        direction, step = _toward(v, CENTRAL)
        ahead, behind = (exact.value_and_gradient(there + sign * step * direction)[1] for sign in (1, -1))
        return ((ahead - behind) / (2 * step)).to(theta.dtype)

    return product


def _toward(v: Tensor, distance: float) -> tuple[Tensor, Tensor]:
    """v (B, P) in float64, and how much of it (B, 1) is so far."""
    direction = v.double()
    size = dots(direction, direction).sqrt()[:, None].to(direction)
    return direction, distance / torch.where(size > 0, size, 1.0)


def dense_hessian(exact: Objective, theta: Tensor) -> Tensor:
    """Hessians (B, P, P) by central differences of the gradients of ``exact``, in float64.

    The error is 1e-10 to 5e-9 of the largest eigenvalue, and up to 1e-5 of it where weights or frequencies are large.
    """
    pieces = (CENTRAL * torch.eye(theta.shape[1], dtype=torch.float64)).split(TOGETHER)
    rows = []
    for row, there in enumerate(theta.detach().double()):
        halves = []
        for steps in pieces:
            own = exact.repeated(row, len(steps))
            ahead, behind = (own.value_and_gradient(there + sign * steps)[1] for sign in (1, -1))
            halves.append((ahead - behind) / (2 * CENTRAL))
        rows.append(torch.cat(halves))
    return symmetric(torch.stack(rows))


def symmetric(matrices: Tensor) -> Tensor:
    """The symmetric parts of matrices (B, P, P)."""
    return (matrices + matrices.mT) / 2
