"""A small objective with dense derivatives: two-layer tanh networks fitted to a sine, one network a row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sciml_backend.model import Block


class Regression:
    """mean((net(x) - sin 3x)^2), network 1-8-8-1 (97 parameters), at B rows of weights."""

    graph_bytes = 0
    shapes = (("w1", (8, 1)), ("b1", (8,)), ("w2", (8, 8)), ("b2", (8,)), ("w3", (1, 8)), ("b3", (1,)))

    def __init__(self) -> None:
        self.x = torch.linspace(-1, 1, 32, dtype=torch.float64).unsqueeze(1)
        self.layout: list[Block] = []
        end = 0
        for name, shape in self.shapes:
            begin, end = end, end + torch.Size(shape).numel()
            self.layout.append(Block(name, slice(begin, end), shape))
        self.size = end

    def loss(self, theta: Tensor) -> Tensor:
        w1, b1, w2, b2, w3, b3 = (theta[block.slice].reshape(block.shape) for block in self.layout)
        x = self.x.to(theta)
        hidden = torch.tanh(torch.tanh(x @ w1.T + b1) @ w2.T + b2)
        return (hidden @ w3.T + b3 - torch.sin(3 * x)).square().mean()

    def value(self, theta: Tensor) -> Tensor:
        return torch.func.vmap(self.loss)(theta)

    differentiable_value = value

    def value_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        gradient, value = torch.func.vmap(torch.func.grad_and_value(self.loss))(theta)
        return value, gradient

    def hessian_times(self, theta: Tensor, v: Tensor) -> Tensor:
        leaf = theta.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.value(leaf).sum(), leaf, create_graph=True)
        return torch.autograd.grad((slope * v).sum(), leaf)[0]

    def dense_hessian(self, theta: Tensor) -> Tensor:
        return torch.func.jacrev(torch.func.jacrev(self.loss))(theta)


@pytest.fixture(scope="session")
def objective() -> Regression:
    return Regression()


@pytest.fixture(scope="session")
def run(objective: Regression) -> dict[str, Tensor]:
    """The weights before and after 300 steps of Adam."""
    generator = torch.Generator().manual_seed(0)
    theta = 0.7 * torch.randn(1, objective.size, generator=generator, dtype=torch.float64)
    initial = theta[0].clone()
    theta.requires_grad_()
    optimiser = torch.optim.Adam([theta], lr=1e-2)
    for _ in range(300):
        _, theta.grad = objective.value_and_gradient(theta.detach())
        optimiser.step()
    return {"theta_initial": initial, "theta_final": theta.detach()[0]}
