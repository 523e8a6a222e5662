"""The two-loop recursion of limited-memory BFGS, compiled; Nocedal & Wright (2006), algorithm 7.4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from sciml_backend.kernels.arguments import address, real, size
from sciml_backend.linalg.row_wise import Floats, Integers, kernel, whole_lines


@dataclass
class TwoLoopPairs:
    """The last m steps s and gradient changes y of every row, in ring buffers: nothing is shifted.

    ``s``, ``y`` (B, m, P padded to whole cache lines), ``inverse`` (B, m) = 1 / y.s, ``scale`` (B,) = y.s / y.y of the
    newest pair; ``newest``, ``count`` (B,): its slot, and how many pairs there are.
    """

    s: Tensor
    y: Tensor
    inverse: Tensor
    scale: Tensor
    newest: Tensor
    count: Tensor

    @staticmethod
    def can_serve(like: Tensor) -> bool:
        """Whether the recursion is compiled for this device and precision."""
        return kernel("two_loop", like) is not None

    @classmethod
    def empty(cls, like: Tensor, *, history: int) -> Self:
        """No pairs yet, for rows and parameters ``like`` (B, P)."""
        rows = len(like)
        buffer = (rows, history, whole_lines(like))
        return cls(
            s=like.new_zeros(buffer),
            y=like.new_zeros(buffer),
            inverse=like.new_zeros((rows, history), dtype=torch.float64),
            scale=like.new_ones(rows, dtype=torch.float64),
            newest=like.new_full((rows,), -1, dtype=torch.int64),
            count=like.new_zeros(rows, dtype=torch.int64),
        )

    def rows(self, index: Integers) -> TwoLoopPairs:
        """A copy for these rows only, in this order."""
        at = torch.as_tensor(index)
        return TwoLoopPairs(*(part[at] for part in self._parts()))

    def _parts(self) -> tuple[Tensor, ...]:
        return self.s, self.y, self.inverse, self.scale, self.newest, self.count

    def push(self, *, step: Floats, direction: Tensor, gradient: Tensor, previous: Tensor, least: float) -> None:
        """Keep s = step * direction and y = gradient - previous in the rows where y.s exceeds ``least``."""
        scratch, length = self._scratch(2), torch.as_tensor(step, dtype=torch.float64).contiguous()
        vectors = [vector.contiguous() for vector in (direction, gradient, previous)]
        arrays = (*self._parts(), length, *vectors)
        self._call("push", gradient, *(address(array) for array in arrays), real(least), address(scratch))

    def direction(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """-H gradient (B, P), and its slope gradient.direction (B,) in float64."""
        scratch, gradient = self._scratch(1), gradient.contiguous()
        out, slope = torch.empty_like(gradient), torch.empty(len(gradient), dtype=torch.float64)
        arrays = (*self._parts(), gradient, out, slope, scratch)
        self._call("two_loop", gradient, *(address(array) for array in arrays))
        return out, slope

    def _call(self, name: str, gradient: Tensor, *arguments: object) -> None:
        compiled = kernel(name, self.s)
        assert compiled is not None, "made only where can_serve() says so"
        compiled(*(size(n) for n in (*gradient.shape, *self.s.shape[1:])), *arguments)

    def _scratch(self, vectors: int) -> Tensor:
        return self.s.new_empty(vectors * self.s.shape[2])
