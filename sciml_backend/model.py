"""Model: a parametrised function and its initial weights; B networks at once as rows of theta."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from sciml_backend.linalg.polynomial import Polynomial
from sciml_backend.linalg.taylor import Streams


@dataclass(frozen=True)
class Block:
    """One weight matrix or bias inside a row of theta: its name, where it lies and its shape, (out, in) or (out,).

    Where the outputs are not along the first axis of the shape, ``out`` is theirs.
    """

    name: str
    slice: slice
    shape: tuple[int, ...]
    out: int = 0


def laid_out(shapes: Mapping[str, tuple[int, ...]]) -> tuple[Block, ...]:
    """Blocks of these shapes, by name, one behind the other."""
    ends = list(accumulate(map(prod, shapes.values()), initial=0))
    return tuple(Block(name, slice(*ends[i : i + 2]), shape) for i, (name, shape) in enumerate(shapes.items()))


def affine(name: str, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a linear map and its bias, by block."""
    return {f"{name}_weight": (n_out, n_in), f"{name}_bias": (n_out,)}


class Model(ABC):
    """A network as a frozen record of its settings and of ``inputs``; the numbers live in theta (B, P).

    ``inputs`` and ``outputs`` count coordinates, components of a state, or channels: they follow from the problem and
    are no settings.
    """

    label: ClassVar[str]
    inputs: int
    outputs: int

    @property
    @abstractmethod
    def layout(self) -> tuple[Block, ...]:
        """The blocks of a row of theta, in order."""

    @property
    def parameters(self) -> int:
        """P, the length of a row of theta."""
        return int(self.layout[-1].slice.stop)

    @property
    def widths(self) -> tuple[int, ...] | None:
        """From input to output, of a plain tanh perceptron, which kernels know; None of any other network."""
        return None

    @abstractmethod
    def init(self, seed: int) -> Tensor:
        """Initial weights (P,) in float32, a function of the seed alone."""

    @abstractmethod
    def apply(self, theta: Tensor, inputs: Tensor) -> Tensor:
        """The network's values, by plain torch that can be differentiated twice, each row with its own weights.

        For a function of points: (n, inputs), or (B, n, inputs), to (B, n, outputs). For one of fields: (n, inputs, h,
        w), or (B, n, inputs, h, w), to (B, n, outputs, h, w).
        """


class FieldModel(Model):
    """A function of coordinates: its derivatives can be carried along with its value, as Taylor streams."""

    @abstractmethod
    def propagate(self, theta: Tensor, points: Tensor, streams: Streams) -> Tensor:
        """Value and derivative streams at points (n, d), or (B, n, d), as (B, streams, n), by plain torch."""

    def fused(
        self, points: Tensor, streams: Streams, residual: Polynomial, *, dtype: torch.dtype
    ) -> Callable[..., None] | None:
        """A hand-written kernel for one mean-square term on the CPU, or None where this model has none."""
        return None


class Share(Protocol):
    """What some samples' outputs (k, outputs, h, w) add to a row's loss."""

    def __call__(self, outputs: Tensor, /, *, row: int, samples: slice) -> Tensor: ...


class Stepper(Protocol):
    """A model of fields on one grid, ``samples`` at a time; ``bytes`` is what a step takes beside the data."""

    @property
    def samples(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def fused(self) -> object | None:
        """The kernel that computes it, or None."""
        ...

    def predict(self, theta: Tensor, fields: Tensor) -> Tensor:
        """The model's values without a graph to differentiate, as ``Model.apply`` gives them."""
        ...

    def value_and_gradient(self, theta: Tensor, fields: Tensor, loss: Share) -> tuple[Tensor, Tensor]:
        """Each row's loss (B,) in float64 and its gradient (B, P), of a loss that is a sum over samples."""
        ...


class OperatorModel(Model):
    """A function from fields to fields on a grid."""

    @abstractmethod
    def check(self, h: int, w: int) -> None:
        """Raise BadRequest when a grid of h x w nodes is too coarse."""

    @abstractmethod
    def on_grid(self, h: int, w: int, *, dtype: torch.dtype, device: torch.device, most: int) -> Stepper:
        """What evaluates and differentiates it fast on one grid, on ``most`` samples or fewer.

        Raises BadRequest when the grid is too coarse.
        """

    @abstractmethod
    def memory(self, samples: int, h: int, w: int, itemsize: int) -> int:
        """About how many bytes ``apply`` on so many samples and its gradient take beside the weights."""


Statistics = tuple[tuple[Tensor, Tensor], ...]
"""Mean and variance of each channel (c,), a pair for each layer that is normalised by them."""


class ImageModel(Model):
    """A function from images to a score for each class, whose layers are normalised by statistics of many images."""

    @abstractmethod
    def scores(self, theta: Tensor, images: Tensor, statistics: Statistics | None = None) -> Tensor:
        """Scores (n, outputs) of images (n, inputs, h, w) for one row of weights (P,).

        Normalised by these statistics, or by those of the images themselves. Differentiable twice.
        """

    @abstractmethod
    def statistics(self, theta: Tensor, images: Tensor) -> Statistics:
        """What the layers are normalised by for weights (P,): the images' own statistics, without a graph."""

    @abstractmethod
    def memory(self, images: int, side: int, itemsize: int) -> int:
        """About how many bytes the scores of so many images and their gradient take beside the weights."""
