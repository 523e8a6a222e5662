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

from sciml_backend.loss import Loss
from sciml_backend.model import Block
from sciml_backend.run import RunSpec
from sciml_backend.strategy import Difficulty

Index = Sequence[int] | np.ndarray | Tensor
TOGETHER = 256
"""Columns of a Hessian that are computed at a time."""


class Objective(ABC):
    """A loss over (B, P), in one precision on one device."""

    label: ClassVar[str]
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

    @classmethod
    @abstractmethod
    def terms_of(cls, problem: Any) -> tuple[str, ...]:
        """The names of the terms that make the loss of a problem."""

    @classmethod
    @abstractmethod
    def sizes(cls, problem: Any, loss: Any) -> dict[str, int]:
        """What follows from the problem about a model: how many ``inputs`` it has, and ``outputs`` if not one."""

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

    def repeated(self, row: int, times: int) -> Self:
        """The same objective for a row of weights so many times; what was built for one run has only that one."""
        return self.rows([row if self.runs > 1 else 0] * times)

    @abstractmethod
    def given(self, **context: Any) -> Self:
        """The same objective with another context, such as other coefficients or points."""

    @abstractmethod
    def value_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Loss (B,) and gradient (B, P)."""

    @abstractmethod
    def value(self, theta: Tensor) -> Tensor:
        """Loss (B,), without a gradient."""

    @abstractmethod
    def differentiable_value(self, theta: Tensor) -> Tensor:
        """Loss (B,) by plain torch operations, which automatic differentiation may pass through any number of times."""

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


def symmetric(matrices: Tensor) -> Tensor:
    """The symmetric parts of matrices (B, P, P)."""
    return (matrices + matrices.mT) / 2
