"""Model: a parametrised function, its initial weights and its Taylor streams; B networks at once as rows of theta."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sciml_backend.linalg.polynomial import Polynomial
from sciml_backend.linalg.taylor import Streams


@dataclass(frozen=True)
class Block:
    """One weight matrix or bias inside a row of theta: its name, where it lies and its shape, (out, in) or (out,)."""

    name: str
    slice: slice
    shape: tuple[int, ...]


class Model(ABC):
    """A network as a frozen record of its settings and of ``inputs``; the numbers live in theta (B, P).

    ``inputs`` is how many coordinates the problem has: it follows from the problem and is no setting.
    """

    label: ClassVar[str]
    inputs: int

    @property
    @abstractmethod
    def layout(self) -> tuple[Block, ...]:
        """The blocks of a row of theta, in order."""

    @property
    def parameters(self) -> int:
        """P, the length of a row of theta."""
        return int(self.layout[-1].slice.stop)

    @abstractmethod
    def init(self, seed: int) -> Tensor:
        """Initial weights (P,) in float32, a function of the seed alone."""

    def propagate(self, theta: Tensor, points: Tensor, streams: Streams) -> Tensor:
        """Value and derivative streams at points (n, d), or (B, n, d), as (B, streams, n), by plain torch."""
        raise NotImplementedError(f"{type(self).__name__} is not a function of single points.")

    def fused(
        self, points: Tensor, streams: Streams, residual: Polynomial, *, dtype: torch.dtype
    ) -> Callable[..., None] | None:
        """A hand-written kernel for one mean-square term on the CPU, or None where this model has none."""
        return None
