"""Region-optimised PINN; Wu, Luo, Ma, Wang & Long (2024), arXiv:2405.14369.

The residual is taken at points drawn anew, in each epoch, from a small region around every collocation point. The
region's size adapts to how much the gradient varies from epoch to epoch (the trust region of the paper, section 3.3).
The network, the points and the test grid are those of every other strategy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Integers
from sciml_backend.run import BadRequest, setting
from sciml_backend.strategy import Outer, Posable, State, Strategy, part

LARGEST = 0.01
"""The widest region, in units of the coordinates."""
SET = "interior"
"""The points that move; those of the initial and boundary conditions stay."""


@dataclass
class Region(State):
    """Each row's region and what it is judged by.

    ``size`` (B,) is the width of the region; ``total`` (B, P) and ``calls`` (B,) the sum and number of gradients in the
    present epoch; ``past`` (B, window, P) the averages of the last epochs, of which ``epochs`` (B,) were made.
    """

    size: Tensor
    total: Tensor
    calls: Tensor
    past: Tensor
    epochs: Tensor


@dataclass(frozen=True, kw_only=True)
class RoPINN(Outer[Region]):
    """RoPINN (residuals at random points of an adaptive region), with another strategy within."""

    label = "RoPINN"
    moves_points = True
    inner: Strategy[Any] = part(
        "lbfgs", "the strategy of an epoch; what it remembers ends with the epoch", max_epochs=1
    )
    epochs: int = setting(1000, "epochs, each with its own draw of points")
    region: float = setting(1e-5, "width of the region at the start, in units of the coordinates")
    window: int = setting(5, "epochs over which the gradient's variation is judged")

    def __post_init__(self) -> None:
        self._require("epochs", "region", "window", above=0)
        for own in self.inner.within():
            if own.moves_points:
                raise BadRequest(f"RoPINN moves the points, and {own.label} within it moves them too; name another.")

    @property
    def expected_iterations(self) -> int:
        return self.epochs * 16  # of 20: line searches that try more than one step end an epoch early

    @property
    def vectors(self) -> int:
        return self.inner.vectors + self.window + 6

    def context(self, objective: Posable, theta: Tensor) -> Region:
        rows, zero = len(theta), torch.zeros_like(theta)
        return Region(
            size=torch.full((rows,), min(self.region, LARGEST), dtype=torch.float64),
            total=zero,
            calls=torch.zeros(rows, dtype=torch.float64),
            past=zero[:, None].repeat(1, self.window, 1),
            epochs=torch.zeros(rows, dtype=torch.int64),
        )

    def next(self, objective: Posable, theta: Tensor, context: Region) -> Region:
        past = context.past.clone()
        mean = context.total / context.calls.clamp(min=1).to(theta)[:, None]
        place = context.epochs % self.window
        past[torch.arange(len(past), device=past.device), place.to(past.device)] = mean
        epochs = context.epochs + 1
        size = torch.stack([self._size(own[: int(n)].clone()) for own, n in zip(past, epochs, strict=True)])
        return Region(size, torch.zeros_like(theta), torch.zeros_like(context.calls), past, epochs)

    def _size(self, past: Tensor) -> Tensor:
        """The region after gradients (epochs, P), in a copy of their own: wide where they vary little."""
        past = past.double()
        variation = (past.std(0, correction=0) / (past.abs().mean(0) + 1e-6)).mean()
        size = torch.where(variation > 0, self.region / variation, torch.as_tensor(self.region, dtype=variation.dtype))
        return size.clamp(0.0, LARGEST).cpu()

    def pose(self, objective: Posable, context: Region) -> Posable:
        centre = torch.as_tensor(objective.points[SET])
        moved = torch.stack(
            [centre + w * _draw(int(n), centre) for w, n in zip(context.size, context.epochs, strict=True)]
        )
        return objective.given(points={SET: moved.numpy()})

    def watched(self, objective: Posable, context: Region) -> Any:
        return _Averaged(objective, context, np.arange(len(context.size)))

    def stages(self, context: Region) -> Integers:
        return np.full(len(context.size), self.epochs)


def _draw(epoch: int, centre: Tensor) -> Tensor:
    """Where in its region each point lies, in [0, 1): alike for all rows in the same epoch."""
    generator = torch.Generator().manual_seed(epoch)
    return torch.rand(centre.shape, generator=generator, dtype=torch.float64)


@dataclass
class _Averaged:
    """An objective that adds up the gradients it gives, and is like the one within in all else."""

    objective: Any
    context: Region
    index: Integers

    def value_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        loss, gradient = self.objective.value_and_gradient(theta)
        sound = gradient.isfinite().all(1, keepdim=True)
        at = torch.as_tensor(self.index, device=theta.device)
        self.context.total.index_add_(0, at, torch.where(sound, gradient, 0.0))
        self.context.calls.index_add_(0, at.cpu(), sound[:, 0].double().cpu())
        return loss, gradient

    def rows(self, index: Integers) -> _Averaged:
        return _Averaged(self.objective.rows(index), self.context, self.index[index])

    def minibatch(self, number: int, size: int) -> _Averaged:
        return _Averaged(self.objective.minibatch(number, size), self.context, self.index)

    def given(self, **context: Any) -> _Averaged:
        return _Averaged(self.objective.given(**context), self.context, self.index)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objective, name)
