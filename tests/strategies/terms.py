"""A loss of mean squares of named residuals, small enough to solve by other means; it can be posed anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend.strategy import Difficulty

Residual = Callable[[Tensor, float, Tensor], Tensor]
"""Residuals (n,) of one row's parameters (P,), coefficient and points (n, d)."""


@dataclass(frozen=True)
class Terms:
    """Rows with the same residuals by term, each with its own coefficient."""

    residual: Mapping[str, Residual]
    coefficient: np.ndarray
    points: Mapping[str, Any] = field(default_factory=lambda: {"interior": np.zeros((1, 1))})
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    multipliers: Mapping[str, Tensor] = field(default_factory=dict)
    share: float = 1.0

    @property
    def difficulty(self) -> Difficulty:
        return Difficulty("c", 7.0, self.coefficient)

    def rows(self, index: Any) -> Terms:
        at = np.asarray(index)
        chosen = {k: v[at] if v.ndim == 3 else v for k, v in self.points.items()}
        given = ({k: v[torch.as_tensor(at)] for k, v in part.items()} for part in (self.weights, self.multipliers))
        return Terms(self.residual, self.coefficient[at], chosen, *given)

    def given(self, **context: Any) -> Terms:
        coefficient = context.get("coefficients", {}).get("c", self.coefficient)
        merged = {
            name: {**getattr(self, name), **context.get(name, {})} for name in ("points", "weights", "multipliers")
        }
        return replace(self, coefficient=np.asarray(coefficient), **merged)

    def present(self, residuals: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: torch.ones_like(r, dtype=torch.bool) for name, r in residuals.items()}

    def minibatch(self, number: int, size: int) -> Terms:
        points = self.points["interior"]
        if size >= len(points):
            return self
        chosen = np.random.default_rng(number).choice(len(points), size, False)
        return replace(self.given(points={"interior": points[chosen]}), share=size / len(points))

    def one(self, theta: Tensor, row: int) -> dict[str, Tensor]:
        """A row's residuals."""
        points = self.points["interior"]
        own = torch.as_tensor(points[row] if points.ndim == 3 else points)
        return {name: f(theta, float(self.coefficient[row]), own) for name, f in self.residual.items()}

    def residuals(self, theta: Tensor) -> dict[str, Tensor]:
        rows = [self.one(own, row) for row, own in enumerate(theta)]
        return {name: torch.stack([row[name] for row in rows]) for name in self.residual}

    def loss(self, theta: Tensor, row: int) -> Tensor:
        """A row's loss, differentiable."""
        total = torch.zeros((), dtype=theta.dtype)
        for name, r in self.one(theta, row).items():
            weight = self.weights[name][row].to(theta.dtype) if name in self.weights else 1.0
            total = total + weight * r.square().mean()
            if name in self.multipliers:
                total = total + (self.multipliers[name][row] * r).mean()
        return total

    def value_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        losses, gradients = [], []
        for row, own in enumerate(theta):
            leaf = own.detach().clone().requires_grad_()
            loss = self.loss(leaf, row)
            losses.append(loss.detach())
            gradients.append(torch.autograd.grad(loss, leaf)[0])
        return torch.stack(losses), torch.stack(gradients)

    def hessian_times(self, theta: Tensor, v: Tensor) -> Tensor:
        rows = [
            torch.autograd.functional.hvp(lambda x, row=row: self.loss(x, row), own, v[row])[1]
            for row, own in enumerate(theta)
        ]
        return torch.stack(rows)

    def hessian(self, theta: Tensor) -> Tensor:
        rows = [
            torch.autograd.functional.hessian(lambda x, row=row: self.loss(x, row), own)
            for row, own in enumerate(theta)
        ]
        return torch.stack(rows)

    def gauss_newton(self, theta: Tensor) -> Tensor:
        """For plain losses."""
        matrices = []
        for row, own in enumerate(theta):
            of_terms = torch.func.jacrev(lambda x, row=row: self.one(x, row))(own)
            matrices.append(sum(2 / len(j) * j.T @ j for j in of_terms.values()))
        return torch.stack(matrices)

    def hessian_at(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        return partial(self.hessian_times, theta)


def least_squares() -> dict[str, Residual]:
    """12 linear residuals in 5 unknowns that cannot all vanish, and 2 constraints that can; harder with c."""
    generator = torch.Generator().manual_seed(4)
    a, b = (torch.randn(12, n, generator=generator, dtype=torch.float64) for n in (5, 1))
    c, d = (torch.randn(2, n, generator=generator, dtype=torch.float64) for n in (5, 1))
    return {
        "residual": lambda theta, hard, _: a.to(theta) @ theta * (1 + hard / 10) - b.to(theta)[:, 0],
        "boundary": lambda theta, _, __: c.to(theta) @ theta - d.to(theta)[:, 0],
    }


def rosenbrock() -> dict[str, Residual]:
    """Rosenbrock's function as mean squares of two residuals; its minimum is 0 at (1, 1)."""
    return {
        "residual": lambda theta, hard, _: (10.0 * (theta[1] - theta[0] ** 2))[None],
        "boundary": lambda theta, _, __: (1 - theta[0])[None],
    }
