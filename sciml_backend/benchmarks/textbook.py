"""The textbook models, as the reference to be faster than.

The PINN is one network with nested ``autograd.grad`` and ``torch.optim.LBFGS``, the Fourier neural operator
``torch.fft`` and complex weights.
``python -m sciml_backend.benchmarks.textbook BETA N_F SEED`` trains one convection cell and prints its loss.
"""

from __future__ import annotations

import sys
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from sciml_backend.models.fno import FNO
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


class TextbookSpectral(nn.Module):
    """A spectral convolution by ``rfft2``, complex weights and ``irfft2``."""

    def __init__(self, width: int, modes: int, dtype: torch.dtype):
        super().__init__()
        self.modes = modes
        shape = (width, width, modes, modes)
        self.positive = nn.Parameter(torch.rand(shape, dtype=dtype.to_complex()) / width**2)
        self.negative = nn.Parameter(torch.rand(shape, dtype=dtype.to_complex()) / width**2)

    def forward(self, v: Tensor) -> Tensor:
        n, c, h, w = v.shape
        m, transformed = self.modes, torch.fft.rfft2(v)
        kept = torch.zeros(n, c, h, w // 2 + 1, dtype=transformed.dtype)
        kept[:, :, :m, :m] = torch.einsum("bixy,ioxy->boxy", transformed[:, :, :m, :m], self.positive)
        kept[:, :, -m:, :m] = torch.einsum("bixy,ioxy->boxy", transformed[:, :, -m:, :m], self.negative)
        out: Tensor = torch.fft.irfft2(kept, s=(h, w))
        return out


class TextbookFNO(nn.Module):
    """The Fourier neural operator as it is usually written, with the weights of a row of ``FNO``'s theta."""

    def __init__(self, model: FNO, theta: Tensor):
        super().__init__()
        self.model, width, dtype = model, model.width, theta.dtype
        self.lifting = nn.Linear(model.inputs, width, dtype=dtype)
        self.spectral = nn.ModuleList(TextbookSpectral(width, model.modes, dtype) for _ in range(model.layers))
        self.local = nn.ModuleList(nn.Conv2d(width, width, 1, dtype=dtype) for _ in range(model.layers))
        sizes = pairwise((width, *model.hidden, model.outputs))
        self.projection = nn.ModuleList(nn.Linear(i, o, dtype=dtype) for i, o in sizes)
        with torch.no_grad():
            for block, parameter in zip(model.layout, self._in_order(), strict=True):
                values = theta[block.slice].reshape(block.shape)
                for target, found in zip(parameter, _as_textbook(values), strict=True):
                    target.copy_(found.reshape(target.shape))

    def _in_order(self) -> list[tuple[Tensor, ...]]:
        """Parameters in the order of the model's layout."""
        out: list[tuple[Tensor, ...]] = [(p,) for p in self.lifting.parameters()]
        for spectral, local in zip(self.spectral, self.local, strict=True):
            out += [tuple(spectral.parameters()), *((p,) for p in local.parameters())]
        return out + [(p,) for p in self.projection.parameters()]

    def forward(self, fields: Tensor) -> Tensor:
        """Fields (n, inputs, h, w) to (n, outputs, h, w)."""
        v = self.lifting(fields.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        for i, (spectral, local) in enumerate(zip(self.spectral, self.local, strict=True)):
            v = spectral(v) + local(v)
            v = gelu(v) if i < len(self.local) - 1 else v
        v = v.permute(0, 2, 3, 1)
        for linear in self.projection[:-1]:
            v = gelu(linear(v))
        out: Tensor = self.projection[-1](v).permute(0, 3, 1, 2)
        return out

    def gradient(self) -> Tensor:
        """The parameters' ``grad`` as a row of theta."""
        parts = zip(self.model.layout, self._in_order(), strict=True)
        return torch.cat([_as_block(p, block.shape).flatten() for block, p in parts])


def _as_textbook(values: Tensor) -> tuple[Tensor, ...]:
    """A block of ``FNO`` as parameters: complex (in, out, modes, modes) for either sign of the rows' frequencies."""
    if values.dim() < 6:
        return (values,)
    return tuple(torch.complex(*half.permute(3, 2, 4, 0, 1)) for half in values)


def _as_block(parameters: tuple[Tensor, ...], shape: tuple[int, ...]) -> Tensor:
    """The other way round, for gradients."""
    grads = [p.grad for p in parameters if p.grad is not None]
    if len(shape) < 6:
        return grads[0].reshape(shape)
    return torch.stack([torch.view_as_real(g).permute(2, 3, 0, 4, 1) for g in grads])


if __name__ == "__main__":
    torch.set_num_threads(1)
    beta, data, seed = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    loss, iterations = TextbookConvection(beta=beta, data=data, seed=seed).train()
    print(f"loss {loss:.4g} after {iterations} iterations")
