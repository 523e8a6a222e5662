"""Functions to minimise, one per row, that cost next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class RowByRow:
    """An objective with a function of its own for every row, evaluated one at a time."""

    functions: tuple[Function, ...]
    starts: tuple[Tensor, ...]

    def value_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Loss (B,) and gradient (B, P)."""
        assert len(theta) == len(self.functions)
        both = [self.one(f, row) for f, row in zip(self.functions, theta, strict=True)]
        return torch.stack([loss for loss, _ in both]), torch.stack([gradient for _, gradient in both])

    @staticmethod
    def one(function: Function, row: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and gradient of one row."""
        x = row.detach().clone().requires_grad_()
        loss = function(x)
        (gradient,) = torch.autograd.grad(loss, x)
        return loss.detach(), gradient

    def rows(self, index: np.ndarray) -> RowByRow:
        """These rows only."""
        chosen = np.asarray(index).tolist()
        return RowByRow(tuple(self.functions[i] for i in chosen), tuple(self.starts[i] for i in chosen))

    def start(self) -> Tensor:
        """Where every row starts, (B, P)."""
        return torch.stack(self.starts)


def quadratics(rows: int, dtype: torch.dtype) -> RowByRow:
    """x.Ax / 2 with eigenvalues from 1e-2 to 10^row, never far from its minimum at (1, ..., 1)."""
    generator = torch.Generator().manual_seed(1)

    def function(x: Tensor, matrix: Tensor) -> Tensor:
        return 0.5 * (x - 1) @ matrix @ (x - 1)

    functions, starts = [], []
    for row in range(rows):
        basis = torch.linalg.qr(torch.randn(37, 37, generator=generator, dtype=torch.float64))[0]
        matrix = (basis * torch.logspace(-2, 1 + row % 3, 37, dtype=torch.float64)) @ basis.T
        functions.append(partial(function, matrix=matrix.to(dtype)))
        starts.append(torch.randn(37, generator=generator, dtype=torch.float64).to(dtype))
    return RowByRow(tuple(functions), tuple(starts))


def rosenbrocks(rows: int, dtype: torch.dtype) -> RowByRow:
    """Chained Rosenbrock functions, steeper from row to row."""
    generator = torch.Generator().manual_seed(2)

    def function(x: Tensor, steep: float) -> Tensor:
        return (steep * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    functions = tuple(partial(function, steep=10.0 * 2.0**k) for k in range(rows))
    starts = [-1.2 + 0.3 * torch.randn(10, generator=generator, dtype=torch.float64) for _ in range(rows)]
    return RowByRow(functions, tuple(start.to(dtype) for start in starts))


def networks(rows: int, dtype: torch.dtype) -> RowByRow:
    """Mean square error of a network with one hidden layer of 16 tanh units on sin(k x)."""
    generator = torch.Generator().manual_seed(3)
    x = torch.linspace(-1, 1, 25, dtype=dtype)[:, None]

    def function(theta: Tensor, target: Tensor) -> Tensor:
        hidden = torch.tanh(x * theta[:16] + theta[16:32])
        return ((hidden @ theta[32:48] + theta[48] - target) ** 2).mean()

    functions = tuple(partial(function, target=torch.sin((k + 1) * x[:, 0])) for k in range(rows))
    starts = [torch.randn(49, generator=generator, dtype=torch.float64).to(dtype) for _ in range(rows)]
    return RowByRow(functions, tuple(starts))


KINDS = {"quadratics": quadratics, "rosenbrocks": rosenbrocks, "networks": networks}


@pytest.fixture(params=KINDS)
def make_rows(request: pytest.FixtureRequest) -> Callable[[int, torch.dtype], RowByRow]:
    """Builds an objective of so many different rows in a precision, once for each kind."""
    return KINDS[request.param]


@pytest.fixture
def make_networks() -> Callable[[int, torch.dtype], RowByRow]:
    """Builds small regressions."""
    return networks


@pytest.fixture
def make_objective() -> Callable[..., RowByRow]:
    """Builds an objective from functions and starts."""

    def build(functions: list[Function], starts: list[list[float]]) -> RowByRow:
        return RowByRow(tuple(functions), tuple(torch.tensor(s, dtype=torch.float64) for s in starts))

    return build


@pytest.fixture(params=["kernel", "torch"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the compiled kernel and without."""
    if request.param == "torch":
        monkeypatch.setattr("sciml_backend.kernels.build.library", lambda name: None)
    return request.param
