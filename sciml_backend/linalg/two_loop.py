"""The two-loop recursion of limited-memory BFGS; Nocedal & Wright (2006), algorithm 7.4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml_backend.linalg.row_wise import address, kernel, real, size

LEAST_CURVATURE = 1e-10
"""A pair is kept where y.s exceeds this, as in torch.optim.LBFGS."""


@dataclass
class Pairs:
    """The last m steps s and gradient changes y of every row, in ring buffers: nothing is shifted.

    ``s``, ``y`` (B, m, P padded to whole cache lines), ``inverse`` (B, m) = 1 / y.s, zero where there is no pair yet;
    ``scale`` (B,) = y.s / y.y of the newest pair; ``newest``, ``count`` (B,): its slot, and how many there are.
    """

    s: Tensor
    y: Tensor
    inverse: Tensor
    scale: Tensor
    newest: Tensor
    count: Tensor

    @classmethod
    def empty(cls, like: Tensor, *, history: int) -> Self:
        """No pairs yet, for rows and parameters ``like`` (B, P)."""
        rows, parameters = like.shape
        line = 64 // like.element_size()
        buffer = (rows, history, -(-parameters // line) * line)
        return cls(
            s=like.new_zeros(buffer),
            y=like.new_zeros(buffer),
            inverse=like.new_zeros((rows, history), dtype=torch.float64),
            scale=like.new_ones(rows, dtype=torch.float64),
            newest=like.new_full((rows,), -1, dtype=torch.int64),
            count=like.new_zeros(rows, dtype=torch.int64),
        )

    def rows(self, index: NDArray[np.int64]) -> Pairs:
        """A copy for these rows only, in this order."""
        at = torch.as_tensor(index, device=self.s.device)
        return Pairs(*(part[at] for part in self._parts()))

    def _row(self, row: int) -> Pairs:
        return Pairs(*(part[row : row + 1] for part in self._parts()))

    def _parts(self) -> tuple[Tensor, ...]:
        return self.s, self.y, self.inverse, self.scale, self.newest, self.count

    def push(self, *, step: NDArray[np.float64], direction: Tensor, gradient: Tensor, previous: Tensor) -> None:
        """Keep s = step * direction and y = gradient - previous in the rows where y.s is large enough."""
        compiled = kernel("push", self.s)
        if compiled is not None:
            scratch, length = self._scratch(), torch.as_tensor(step, dtype=torch.float64).contiguous()
            vectors = [vector.contiguous() for vector in (direction, gradient, previous)]
            compiled(
                *self._sizes(gradient),
                *(address(array) for array in (*self._parts(), length, *vectors)),
                real(LEAST_CURVATURE),
                address(scratch),
            )
            return
        s = torch.as_tensor(step, dtype=direction.dtype, device=direction.device)[:, None] * direction
        y = gradient - previous
        if self.s.device.type != "cpu":
            self._push(s, y)
            return
        for i in range(len(s)):
            self._row(i)._push(s[i : i + 1].clone(), y[i : i + 1].clone())

    def direction(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """-H gradient (B, P), and its slope gradient.direction (B,) in float64."""
        gradient = gradient.contiguous()
        compiled = kernel("two_loop", self.s)
        if compiled is not None:
            out, slope = torch.empty_like(gradient), torch.empty(len(gradient), dtype=torch.float64)
            scratch = self._scratch()
            arrays = (*self._parts(), gradient, out, slope, scratch)
            compiled(*self._sizes(gradient), *(address(array) for array in arrays))
            return out, slope
        if self.s.device.type != "cpu":
            return self._direction(gradient)
        found = [self._row(i)._direction(gradient[i : i + 1].clone()) for i in range(len(gradient))]
        return torch.cat([d for d, _ in found]), torch.cat([slope for _, slope in found])

    def _sizes(self, gradient: Tensor) -> list[object]:
        return [size(n) for n in (*gradient.shape, self.s.shape[1], self.s.shape[2])]

    def _scratch(self) -> Tensor:
        return self.s.new_empty(2 * self.s.shape[2])

    def _push(self, s: Tensor, y: Tensor) -> None:
        curvature = torch.linalg.vecdot(y, s).to(torch.float64)
        keep = (curvature > LEAST_CURVATURE).nonzero()[:, 0]
        slot = (self.newest[keep] + 1) % self.s.shape[1]
        self.s[keep, slot, : s.shape[1]] = s[keep]
        self.y[keep, slot, : y.shape[1]] = y[keep]
        self.inverse[keep, slot] = 1.0 / curvature[keep]
        self.scale[keep] = curvature[keep] / torch.linalg.vecdot(y[keep], y[keep])
        self.newest[keep] = slot
        self.count[keep] = (self.count[keep] + 1).clamp(max=self.s.shape[1])

    def _direction(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        every, dtype, width = torch.arange(len(gradient), device=gradient.device), gradient.dtype, gradient.shape[1]
        ages = range(int(self.count.max()))
        slots = [(self.newest - age) % self.s.shape[1] for age in ages]
        q, alphas = -gradient, []
        for slot in slots:
            alpha = self.inverse[every, slot] * torch.linalg.vecdot(self.s[every, slot, :width], q)
            q = q - alpha.to(dtype)[:, None] * self.y[every, slot, :width]
            alphas.append(alpha)
        q = q * self.scale.to(dtype)[:, None]
        for slot, alpha in zip(reversed(slots), reversed(alphas), strict=True):
            beta = self.inverse[every, slot] * torch.linalg.vecdot(self.y[every, slot, :width], q)
            q = q + (alpha - beta).to(dtype)[:, None] * self.s[every, slot, :width]
        return q, torch.linalg.vecdot(gradient, q).to(torch.float64)
