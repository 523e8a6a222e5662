"""Residual network of 18 layers; He, Zhang, Ren and Sun (2016), arXiv:1512.03385, as it is used for small images.

The first convolution is 3 x 3 with stride 1 and no pooling follows it. Layers are normalised over a batch (Ioffe and
Szegedy 2015, arXiv:1502.03167). Their statistics are no part of theta: they are those of the images at hand, or are
given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear, relu

from sciml_backend.model import Block, ImageModel, Statistics, affine, laid_out
from sciml_backend.run import BadRequest, setting

STAGES = 4
BLOCKS = 2
EPSILON = 1e-5
"""Added to variances."""
LEAST_SIDE = 2
"""Pixels a side that a stage leaves at least: fewer and most of a 3 x 3 window would never see an image."""
TOGETHER = 256
"""Images whose statistics are taken at a time."""

Normalise = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A layer's values (n, c, h, w), scale (c,) and shift (c,) to its normalised values."""


@dataclass(frozen=True)
class ResNet(ImageModel):
    """ResNet-18: a convolution, four stages of two residual blocks, a linear layer; 11,173,962 parameters.

    ``width`` channels in the first stage, twice as many in each further one, which halves the images' sides too while
    at least 2 x 2 pixels remain (32-16-8-4 of CIFAR-10; 8-4-2-2 of the digits). Blocks of theta are kernels (out, in,
    k, k), scales and shifts (c,) of normalised layers, and the linear layer's matrix (out, in) and bias.
    """

    label = "ResNet-18"
    width: int = setting(64, "channels of the first stage; each of the three others has twice those before it")
    inputs: int = 3
    outputs: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 512:
            raise BadRequest(f"A residual network has a width from 1 to 512, got {self.width}.")

    @cached_property
    def layout(self) -> tuple[Block, ...]:
        shapes: dict[str, tuple[int, ...]] = {}

        def layer(name: str, n_in: int, n_out: int, k: int) -> None:
            shapes.update({f"{name}_kernel": (n_out, n_in, k, k), f"{name}_scale": (n_out,), f"{name}_shift": (n_out,)})

        layer("stem", self.inputs, self.width, 3)
        channels = self.width
        for stage in range(STAGES):
            wide = self.width * 2**stage
            for block in range(BLOCKS):
                name = f"stage_{stage}_block_{block}"
                layer(f"{name}_first", channels, wide, 3)
                layer(f"{name}_second", wide, wide, 3)
                if channels != wide:
                    layer(f"{name}_shortcut", channels, wide, 1)
                channels = wide
        return laid_out(shapes | affine("classes", channels, self.outputs))

    def init(self, seed: int) -> Tensor:
        """Kernels normal with the variance 2 over their fan-out (He et al. 2015), as in torchvision's network."""
        generator = torch.Generator().manual_seed(seed)
        theta = torch.zeros(self.parameters)
        bound = (self.width * 2 ** (STAGES - 1)) ** -0.5
        for block in self.layout:
            size = prod(block.shape)
            if block.name.startswith("classes"):
                theta[block.slice] = (2 * torch.rand(size, generator=generator) - 1) * bound
            elif block.name.endswith("kernel"):
                fan_out = block.shape[0] * prod(block.shape[2:])
                theta[block.slice] = torch.randn(size, generator=generator) * (2 / fan_out) ** 0.5
            elif block.name.endswith("scale"):
                theta[block.slice] = 1.0
        return theta

    def apply(self, theta: Tensor, inputs: Tensor) -> Tensor:
        """Scores (B, n, classes) of images (n, channels, h, w), normalised over these images."""
        return torch.stack([self.scores(row, inputs) for row in theta])

    def scores(self, theta: Tensor, images: Tensor, statistics: Statistics | None = None) -> Tensor:
        if statistics is None:
            return self._scores(theta, images, _by_batch)
        given = iter(statistics)
        return self._scores(theta, images, lambda v, scale, shift: _normalised(v, *next(given), scale, shift))

    def statistics(self, theta: Tensor, images: Tensor) -> Statistics:
        """Averages over pieces of the images, each of which went through layers normalised by its own."""
        pieces = images.split(TOGETHER)
        with torch.no_grad():
            found = [self._moments(theta, piece) for piece in pieces]
        shares = [len(piece) / len(images) for piece in pieces]
        layers = []
        for layer in zip(*found, strict=True):
            mean = sum(share * own for share, (own, _) in zip(shares, layer, strict=True))
            square = sum(share * (var + own**2) for share, (own, var) in zip(shares, layer, strict=True))
            layers.append((mean, square - mean**2))
        return tuple(layers)

    def memory(self, images: int, side: int, itemsize: int) -> int:
        """Twice what is kept for the gradient, which is two fields for each normalised layer (measured)."""
        fields = 0
        for stage, own in enumerate(_sides(side)):
            fields += (2 * BLOCKS + 1) * self.width * 2**stage * own**2
        return 4 * fields * images * itemsize

    def _moments(self, theta: Tensor, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        met: list[tuple[Tensor, Tensor]] = []

        def normalise(v: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
            var, mean = torch.var_mean(v, dim=(0, 2, 3), correction=0)
            met.append((mean, var))
            return _normalised(v, mean, var, scale, shift)

        self._scores(theta, images, normalise)
        return met

    def _scores(self, theta: Tensor, images: Tensor, normalise: Normalise) -> Tensor:
        parts = theta.split(
            [prod(block.shape) for block in self.layout]
        )  # one gradient for all, where slices have many
        weights = iter(part.reshape(block.shape) for part, block in zip(parts, self.layout, strict=True))
        v = relu(_layer(images, weights, normalise))
        channels, sides = self.width, _sides(images.shape[-1])
        for stage in range(STAGES):
            wide = self.width * 2**stage
            for _ in range(BLOCKS):
                stride = 2 if v.shape[-1] > sides[stage] else 1
                inner = relu(_layer(v, weights, normalise, stride=stride))
                inner = _layer(inner, weights, normalise)
                along = v if channels == wide else _layer(v, weights, normalise, stride=stride)
                v, channels = relu(inner + along), wide
        return linear(v.mean((2, 3)), next(weights), next(weights))


def _sides(side: int) -> list[int]:
    """Pixels along a side in each stage, for images of so many."""
    sides = [side]
    for _ in range(STAGES - 1):
        half = (sides[-1] + 1) // 2
        sides.append(half if half >= LEAST_SIDE else sides[-1])
    return sides


def _layer(v: Tensor, weights: Iterator[Tensor], normalise: Normalise, *, stride: int = 1) -> Tensor:
    """A convolution without bias, normalised."""
    kernel = next(weights)
    v = conv2d(v, kernel, stride=stride, padding=kernel.shape[-1] // 2)
    return normalise(v, next(weights), next(weights))


def _by_batch(v: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.nn.functional.batch_norm(v, None, None, scale, shift, training=True, eps=EPSILON)


def _normalised(v: Tensor, mean: Tensor, var: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    factor = scale / (var + EPSILON).sqrt()
    return v * factor[:, None, None] + (shift - mean * factor)[:, None, None]
