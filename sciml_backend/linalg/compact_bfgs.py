"""The compact form of the L-BFGS inverse Hessian; Byrd, Nocedal & Schnabel (1994), doi:10.1007/BF01582063, theorem 2.2.

It equals the two-loop recursion in exact arithmetic, but needs a handful of batched products where the recursion
needs two hundred in a row: the form for devices that are fast only at much work at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, Integers, whole_lines


@dataclass
class CompactPairs:
    """The last m steps s and gradient changes y of every row in ring buffers, with their products.

    ``s``, ``y`` (B, m, P and zeros up to a multiple of 64 bytes, since where a row lies in memory may change how torch
    sums); ``sy``, ``yy`` (B, m, m) float64: s_i.y_j where s_i is not newer than y_j, and y_i.y_j;
    ``scale`` (B,) = y.s / y.y of the newest pair; ``newest``, ``count`` (B,): its slot, and how many there are.
    """

    s: Tensor
    y: Tensor
    sy: Tensor
    yy: Tensor
    scale: Tensor
    newest: Tensor
    count: Tensor

    @classmethod
    def empty(cls, like: Tensor, *, history: int) -> Self:
        """No pairs yet, for rows and parameters ``like`` (B, P)."""
        rows = len(like)
        buffer = (rows, history, whole_lines(like))
        return cls(
            s=like.new_zeros(buffer),
            y=like.new_zeros(buffer),
            sy=like.new_zeros((rows, history, history), dtype=torch.float64),
            yy=like.new_zeros((rows, history, history), dtype=torch.float64),
            scale=like.new_ones(rows, dtype=torch.float64),
            newest=like.new_full((rows,), -1, dtype=torch.int64),
            count=like.new_zeros(rows, dtype=torch.int64),
        )

    def rows(self, index: Integers) -> CompactPairs:
        """A copy for these rows only, in this order."""
        at = torch.as_tensor(index, device=self.s.device)
        return CompactPairs(*(part[at] for part in self._parts()))

    def _parts(self) -> tuple[Tensor, ...]:
        return self.s, self.y, self.sy, self.yy, self.scale, self.newest, self.count

    def _row(self, row: int) -> CompactPairs:
        return CompactPairs(*(part[row : row + 1] for part in self._parts()))

    def push(self, *, step: Floats, direction: Tensor, gradient: Tensor, previous: Tensor, least: float) -> None:
        """Keep s = step * direction and y = gradient - previous in the rows where y.s exceeds ``least``."""
        s = torch.as_tensor(step, dtype=direction.dtype, device=direction.device)[:, None] * direction
        y = gradient - previous
        if s.device.type != "cpu":
            self._push(s, y, least)
            return
        for i in range(len(s)):  # alone, so that a row's bits do not depend on its neighbours
            self._row(i)._push(s[i : i + 1].clone(), y[i : i + 1].clone(), least)

    def direction(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """-H gradient (B, P), and its slope gradient.direction (B,) in float64."""
        if gradient.device.type != "cpu":
            return self._direction(gradient)
        found = [self._row(i)._direction(gradient[i : i + 1].clone()) for i in range(len(gradient))]
        return torch.cat([direction for direction, _ in found]), torch.cat([slope for _, slope in found])

    def _filled(self, vectors: Tensor) -> Tensor:
        return torch.nn.functional.pad(vectors, (0, self.s.shape[2] - vectors.shape[1]))

    def _push(self, s: Tensor, y: Tensor, least: float) -> None:
        s, y = self._filled(s), self._filled(y)
        curvature = torch.linalg.vecdot(y, s).to(torch.float64)
        keep = curvature > least
        every, history = torch.arange(len(s), device=s.device), self.s.shape[1]
        slot = torch.where(keep, (self.newest + 1) % history, 0)

        def put(buffer: Tensor, at: tuple[Tensor | slice, ...], value: Tensor) -> None:
            buffer[at] = torch.where(keep[:, None], value.to(buffer.dtype), buffer[at])

        put(self.s, (every, slot), s)
        put(self.y, (every, slot), y)
        put(self.sy, (every, slice(None), slot), _times(self.s, y))
        with_y = _times(self.y, y)
        put(self.yy, (every, slice(None), slot), with_y)
        put(self.yy, (every, slot), with_y)
        self.scale.copy_(torch.where(keep, curvature / torch.linalg.vecdot(y, y), self.scale))
        self.newest.copy_(torch.where(keep, slot, self.newest))
        self.count.copy_(torch.where(keep, (self.count + 1).clamp(max=history), self.count))

    def _direction(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        parameters, gradient = gradient.shape[1], self._filled(gradient)
        history = self.s.shape[1]
        ages = torch.arange(history, device=gradient.device)
        order = (self.newest[:, None] + 1 + ages) % history  # from the oldest pair to the newest
        every = torch.arange(len(gradient), device=gradient.device)[:, None]
        square = (every[:, :, None], order[:, :, None], order[:, None, :])
        unused = (ages < history - self.count[:, None]).to(torch.float64)
        scale = self.scale[:, None]
        upper = self.sy[square].triu()
        curvature = upper.diagonal(dim1=1, dim2=2)
        upper = upper + torch.diag_embed(unused)  # rows without a pair must not make the matrix singular
        s_part = _solve(upper, _times(self.s, gradient)[every, order])
        y_part = _times(self.y, gradient)[every, order]
        middle = curvature * s_part + scale * (_times(self.yy[square], s_part) - y_part)
        along_s = torch.empty_like(middle).scatter_(1, order, _solve(upper.mT, middle, upper=False))
        along_y = torch.empty_like(middle).scatter_(1, order, -scale * s_part)
        product = scale.to(gradient.dtype) * gradient + _combine(along_s, self.s) + _combine(along_y, self.y)
        return -product[:, :parameters], -torch.linalg.vecdot(gradient, product).to(torch.float64)


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors[:, :, None])[:, :, 0].to(torch.float64)


def _solve(triangular: Tensor, right: Tensor, *, upper: bool = True) -> Tensor:
    solution: Tensor = torch.linalg.solve_triangular(triangular, right[:, :, None], upper=upper)
    return solution[:, :, 0]


def _combine(weights: Tensor, vectors: Tensor) -> Tensor:
    return (weights.to(vectors.dtype)[:, None, :] @ vectors)[:, 0, :]
