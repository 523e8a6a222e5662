"""The physics loss written the textbook way: nested reverse-mode differentiation of one network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sciml_backend.objectives.physics import Physics


class TextbookField:
    """One network's u and its derivatives at ``points`` (n, d), in the dtype of ``theta``."""

    def __init__(self, objective: Physics, theta: Tensor, points: Any):
        self.inputs = torch.as_tensor(points).to(theta.dtype).requires_grad_()
        self.coordinates = objective.problem.coordinates
        self.at: Mapping[str, Tensor] = dict(zip(self.coordinates, self.inputs.T, strict=True))
        h = self._features(objective.model) if objective.model.features else self.inputs
        blocks = objective.model.layout
        for i in range(0, len(blocks), 2):
            weight, bias = (theta[b.slice].reshape(b.shape) for b in blocks[i : i + 2])
            h = torch.nn.functional.linear(h if i == 0 else torch.tanh(h), weight, bias)
        self.value = h[:, 0][None]

    def _features(self, model: Any) -> Tensor:
        drawn = torch.randn(
            model.features, model.inputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        angle = 2 * torch.pi * model.frequency * self.inputs @ drawn.to(self.inputs).T
        return torch.cat([torch.cos(angle), torch.sin(angle)], 1)

    def apply(self, **operator: Any) -> Tensor:
        """The operator's value by one ``autograd.grad`` per letter."""
        total: Any = 0.0
        for name, factor in operator.items():
            u = self.value[0]
            for letter in name:
                (slopes,) = torch.autograd.grad(u.sum(), self.inputs, create_graph=True)
                u = slopes[:, self.coordinates.index(letter)]
            total = total + factor * u[None]
        return total


def textbook_residuals(objective: Physics, theta: Tensor, row: int = 0) -> dict[str, Tensor]:
    """Every term's residual (n,) of a row of ``objective`` at ``theta`` (P,), by name."""
    c = {k: torch.tensor([[v[row]]], dtype=theta.dtype) for k, v in objective.coefficients.items()}
    own = {name: points[row] if points.ndim == 3 else points for name, points in objective.points.items()}
    return {
        term.name: term.residual(*(TextbookField(objective, theta, own[where]) for where in term.at), c)[0]
        for term in objective.problem.terms()
    }


def textbook_loss(objective: Physics, theta: Tensor, row: int = 0) -> Tensor:
    """The loss of a row of ``objective`` at ``theta`` (P,), which may be differentiated twice more."""
    parts = [residual.square().mean() for residual in textbook_residuals(objective, theta, row).values()]
    return torch.stack(parts).sum()
