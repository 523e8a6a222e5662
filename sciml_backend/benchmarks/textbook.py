"""The textbook PINN, as the reference to be faster than: one network, nested ``autograd.grad``, ``torch.optim.LBFGS``.

``python -m sciml_backend.benchmarks.textbook BETA N_F SEED`` trains one convection cell and prints its loss.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from sciml_backend.models.mlp import MLP
from sciml_backend.problems.convection import Convection


class TextbookConvection:
    """Loss of one network on 1D convection; inputs require gradients and derivatives are nested reverse passes."""

    def __init__(self, *, beta: float, data: int, seed: int, dtype: torch.dtype = torch.float32):
        self.beta = beta
        self.network = nn.Sequential(
            nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 1)
        ).to(dtype)
        model = MLP()
        theta = model.init(seed).to(dtype)
        with torch.no_grad():
            for parameter, block in zip(self.network.parameters(), model.layout, strict=True):
                parameter.copy_(theta[block.slice].reshape(block.shape))
        points = Convection().points(data, data_seed=0)
        self.points = {name: torch.as_tensor(values, dtype=dtype) for name, values in points.items()}
        self.start = torch.sin(self.points["initial"][:, :1])

    def loss(self) -> Tensor:
        """mean(residual²) + mean(boundary²) + mean(initial²)."""
        x = self.points["interior"][:, :1].clone().requires_grad_()
        t = self.points["interior"][:, 1:].clone().requires_grad_()
        u = self.network(torch.cat([x, t], dim=1))
        ones = torch.ones_like(u)
        u_x = torch.autograd.grad(u, x, grad_outputs=ones, create_graph=True)[0]
        u_t = torch.autograd.grad(u, t, grad_outputs=ones, create_graph=True)[0]
        residual = torch.mean((u_t + self.beta * u_x) ** 2)
        boundary = torch.mean((self.network(self.points["upper"]) - self.network(self.points["lower"])) ** 2)
        initial = torch.mean((self.network(self.points["initial"]) - self.start) ** 2)
        return residual + boundary + initial

    def gradient(self) -> Tensor:
        """One loss with its gradient in the parameters' ``grad``; gives the loss back."""
        self.network.zero_grad()
        loss = self.loss()
        loss.backward()
        return loss

    def optimiser(self, *, max_iter: int = 20) -> torch.optim.LBFGS:
        """The published protocol's optimiser."""
        return torch.optim.LBFGS(
            self.network.parameters(),
            lr=1.0,
            max_iter=max_iter,
            history_size=100,
            tolerance_grad=1e-7,
            tolerance_change=1e-9,
            line_search_fn="strong_wolfe",
        )

    def train(self, *, epochs: int = 2000) -> tuple[float, int]:
        """Epochs of 20 iterations until three in a row leave the loss as it was; the loss, and the iterations taken."""
        optimiser = self.optimiser()
        idle, before = 0, float("nan")
        for _ in range(epochs):
            optimiser.step(self.gradient)
            with torch.enable_grad():
                loss = float(self.loss().detach())
            idle = idle + 1 if loss == before else 0
            before = loss
            if idle == 3:
                break
        return before, int(optimiser.state[optimiser._params[0]]["n_iter"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    beta, data, seed = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    loss, iterations = TextbookConvection(beta=beta, data=data, seed=seed).train()
    print(f"loss {loss:.4g} after {iterations} iterations")
