"""Multilayer perceptron with tanh activations; Xavier-normal weights and zero biases, Glorot and Bengio (2010).

The start ``uniform`` draws weights and biases from U(-1, 1) / sqrt(inputs of the layer), as PyTorch does.

Its inputs may be random Fourier features of the coordinates, cos 2πBx and sin 2πBx with a fixed Gaussian B, which let
it learn high frequencies as fast as low ones; Tancik et al. (2020), arXiv:2006.10739.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf, prod

import torch
from torch import Tensor

from sciml_backend.kernels.taylor_mlp import FusedTerm, available
from sciml_backend.linalg.polynomial import Polynomial
from sciml_backend.linalg.taylor import JET, Streams
from sciml_backend.model import Block, FieldModel, laid_out
from sciml_backend.run import BadRequest, setting


@dataclass(frozen=True)
class MLP(FieldModel):
    """``depth`` hidden layers of ``width`` tanh units, an affine output; 2-50-50-50-1 by default (5,301 parameters)."""

    label = "Multilayer perceptron"
    width: int = setting(50, "units of every hidden layer")
    depth: int = setting(3, "hidden layers")
    features: int = setting(0, "pairs of random Fourier features that the coordinates are turned into (0: none)")
    frequency: float = setting(1.0, "standard deviation of the features' frequencies, in cycles per unit of length")
    start: str = setting("xavier", "initial weights: xavier (normal, zero biases) or uniform (biases too)")
    inputs: int = 2
    outputs: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.features <= 2048 or not 0 < self.frequency < inf:
            raise BadRequest(
                "Fourier features are 0 to 2048 pairs of a positive frequency, "
                f"got features={self.features}, frequency={self.frequency:g}."
            )
        if not self.features and self.frequency != type(self).frequency:
            raise BadRequest("There is no frequency without Fourier features; set features too.")
        if self.start not in ("xavier", "uniform"):
            raise BadRequest(f"The start of a perceptron is xavier or uniform, got {self.start!r}.")
        if not 1 <= self.width <= 2048 or not 1 <= self.depth <= 12:
            raise BadRequest(
                "A perceptron has 1 to 12 hidden layers of 1 to 2048 units, "
                f"got depth={self.depth}, width={self.width}."
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths from input to output."""
        return (2 * self.features or self.inputs, *[self.width] * self.depth, self.outputs)

    @property
    def widths(self) -> tuple[int, ...] | None:
        return None if self.features else self.sizes

    @cached_property
    def layout(self) -> tuple[Block, ...]:
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (n_in, n_out) in enumerate(pairwise(self.sizes)):
            shapes |= {f"weight_{i}": (n_out, n_in), f"bias_{i}": (n_out,)}
        return laid_out(shapes)

    def init(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        theta = torch.zeros(self.parameters)
        if self.start == "uniform":
            for weight, bias in zip(self.layout[::2], self.layout[1::2], strict=True):
                drawn = torch.rand(prod(weight.shape) + prod(bias.shape), generator=generator)
                theta[weight.slice.start : bias.slice.stop] = (2 * drawn - 1) / weight.shape[1] ** 0.5
            return theta
        for block in self.layout:
            if len(block.shape) == 2:
                std = (2.0 / sum(block.shape)) ** 0.5
                theta[block.slice] = torch.randn(prod(block.shape), generator=generator) * std
        return theta

    def _layers(self, theta: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for weight, bias in zip(self.layout[::2], self.layout[1::2], strict=True):
            yield theta[:, weight.slice].unflatten(1, weight.shape), theta[:, bias.slice]

    def apply(self, theta: Tensor, inputs: Tensor) -> Tensor:
        if theta.device.type == "cpu" and theta.shape[0] > 1:  # for the reason given in ``propagate``
            own = inputs if inputs.dim() == 3 else inputs.expand(theta.shape[0], -1, -1)
            rows = zip(theta.split(1), own.split(1), strict=True)
            return torch.cat([self._applied(t.clone(), x) for t, x in rows])
        return self._applied(theta, inputs if inputs.dim() == 3 else inputs[None])

    def _applied(self, theta: Tensor, inputs: Tensor) -> Tensor:
        z = inputs
        if self.features:
            z = self._featured(inputs, Streams.value_only(1, self.inputs)).squeeze(1)
        z = z.expand(theta.shape[0], -1, -1)
        for i, (weight, bias) in enumerate(self._layers(theta)):
            z = torch.baddbmm(bias[:, None, :], torch.tanh(z) if i else z, weight.mT)
        return z

    def propagate(self, theta: Tensor, points: Tensor, streams: Streams) -> Tensor:
        if theta.device.type == "cpu" and theta.shape[0] > 1:
            # Row by row: a batched product's last bits depend on the batch, a row's own product's do not. A fresh copy,
            # because they also depend on how a row is aligned.
            index = torch.arange(theta.shape[0])
            own = points if points.dim() == 3 else points.expand(theta.shape[0], -1, -1)
            rows = zip(theta.split(1), own.split(1), index.split(1), strict=True)
            return torch.cat([self._propagate(t.clone(), p, streams.rows(i)) for t, p, i in rows])
        return self._propagate(theta, points, streams)

    def _propagate(self, theta: Tensor, points: Tensor, s: Streams) -> Tensor:
        """Streams as (B, streams, n, width) between layers."""
        rows, n = theta.shape[0], points.shape[-2]
        if self.features:
            z, layers = self._featured(points, s).expand(rows, -1, -1, -1), list(self._layers(theta))
        else:
            z, layers = self._entered(theta, points, s), list(self._layers(theta))[1:]
        for i, (weight, bias) in enumerate(layers):
            if i:
                value, first, second, jets = z.split([1, *s.counts], dim=1)
                z = _tanh_streams(value, (first, second, _bend(first, second, s)))
                if s.jets.shape[1]:
                    z = torch.cat([z, _tanh_jets(z[:, :1], jets)], 1)
            z = torch.bmm(z.flatten(1, 2), weight.mT).unflatten(1, (s.count, n))
            z = torch.cat([z[:, :1] + bias[:, None, None, :], z[:, 1:]], dim=1)
        return z.squeeze(-1)

    def _entered(self, theta: Tensor, points: Tensor, s: Streams) -> Tensor:
        """Streams after the first layer and its tanh."""
        rows, n = theta.shape[0], points.shape[-2]
        weight, bias = next(self._layers(theta))
        value = (torch.bmm(points.expand(rows, n, -1), weight.mT) + bias[:, None, :]).unsqueeze(1)
        # The derivative streams of the first layer are the same at all points, and so would be their rounding, which
        # then does not average out; so they are worked out in double and carried in two parts.
        first, second = (torch.bmm(d.double(), weight.double().mT).unsqueeze(2) for d in (s.first, s.second_b))
        exact = first, second, _bend(first, second, s)
        parts = _in_parts(exact, theta.dtype)
        z = _tanh_streams(value, *parts)
        if s.jets.shape[1]:
            z = torch.cat([z, _first_jets(z[:, :1], torch.bmm(s.jets.double(), weight.double().mT).unsqueeze(2))], 1)
        return z

    def _featured(self, points: Tensor, s: Streams) -> Tensor:
        """Streams of the Fourier features, (1 or B, streams, n, 2 features); phases have first derivatives only."""
        generator = torch.Generator().manual_seed(0)  # the same features for every seed of the weights
        drawn = torch.randn(self.features, self.inputs, generator=generator, dtype=torch.float64)
        phases = (2 * torch.pi * self.frequency * drawn).to(points.device)
        angle = _turned(points if points.dim() == 3 else points[None], phases).unsqueeze(1)
        cos, sin = angle.cos(), angle.sin()
        waves = [torch.cat(pair, -1) for pair in ((cos, sin), (-sin, cos), (-cos, -sin), (sin, -cos))]
        first, second, jets = (
            _turned(d, phases).unsqueeze(2).repeat(1, 1, 1, 2) for d in (s.first, s.second_b, s.jets)
        )
        streams = [waves[0], waves[1] * first, waves[1] * second + waves[2] * _bend(first, second, s)]
        streams += [
            waves[order % 4] * jets[:, j : j + 1] ** order for j in range(jets.shape[1]) for order in range(1, JET + 1)
        ]
        rows = max(len(stream) for stream in streams)
        return torch.cat([stream.expand(rows, -1, -1, -1) for stream in streams], 1).to(points.dtype)

    def fused(self, points: Tensor, streams: Streams, residual: Polynomial, *, dtype: torch.dtype) -> FusedTerm | None:
        if not available() or streams.jets.shape[1] or self.features:  # it goes to second order, from coordinates on
            return None
        return FusedTerm(self.sizes, points, streams, residual, dtype=dtype)


def _tanh_streams(value: Tensor, *parts: tuple[Tensor, ...]) -> Tensor:
    """Streams of f = tanh with f' = 1 - f², f'' = -2 f f'; the derivatives (first, second, bend) are sums of parts."""
    f = torch.tanh(value)
    slope = 1 - f * f
    curve = -2 * f * slope
    derivatives = [torch.cat([slope * first, slope * second + curve * bend], 1) for first, second, bend in parts]
    return torch.cat([f, sum(derivatives[1:], derivatives[0])], dim=1)


def _turned(directions: Tensor, phases: Tensor) -> Tensor:
    """Phases (B, n, features) of points or directions (B, n, d), summed in one order whatever the batch."""
    parts = [directions[..., k : k + 1].double() * phases[:, k] for k in range(phases.shape[1])]
    return sum(parts[1:], parts[0])


def _in_parts(exact: tuple[Tensor, ...], dtype: torch.dtype) -> list[tuple[Tensor, ...]]:
    """Numbers in double as a sum of numbers of ``dtype``: what they round to, and what that cuts off."""
    rounded = tuple(t.to(dtype) for t in exact)
    if dtype == torch.float64:
        return [rounded]
    return [rounded, tuple((t - r).to(dtype) for t, r in zip(exact, rounded, strict=True))]


def _tanh_derivatives(f: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The first four derivatives of tanh where its value is f."""
    slope = 1 - f * f
    second = -2 * f * slope
    third = -2 * (slope * slope + f * second)
    return slope, second, third, -2 * (3 * slope * second + f * third)


def _first_jets(f: Tensor, slopes: Tensor) -> Tensor:
    """Jets (B, 4 J, n, width) of tanh = f of an affine map with ``slopes`` (B, J, 1, width) in double."""
    derivatives = _tanh_derivatives(f)
    parts = _in_parts(tuple(slopes**order for order in range(1, JET + 1)), f.dtype)
    sums = [torch.stack([d * power for d, power in zip(derivatives, part, strict=True)], 2) for part in parts]
    return sum(sums[1:], sums[0]).flatten(1, 2)


def _tanh_jets(f: Tensor, jets: Tensor) -> Tensor:
    """Jets of tanh of z, from those of z (B, 4 J, n, width), where tanh is f: Faà di Bruno's formula."""
    d1, d2, d3, d4 = _tanh_derivatives(f)
    z1, z2, z3, z4 = (jets[:, order::JET] for order in range(JET))
    square = z1 * z1
    orders = (
        d1 * z1,
        d1 * z2 + d2 * square,
        d1 * z3 + 3 * d2 * z1 * z2 + d3 * square * z1,
        d1 * z4 + d2 * (4 * z1 * z3 + 3 * z2 * z2) + 6 * d3 * square * z2 + d4 * square * square,
    )
    return torch.stack(orders, 2).flatten(1, 2)


def _bend(first: Tensor, second: Tensor, s: Streams) -> Tensor:
    """Σ c_ij z_i z_j of every second, shaped as they are."""
    if not s.pairs:
        return second
    products = torch.stack([first[:, i] * first[:, j] for i, j in s.pairs], dim=1)  # (B, pairs, n, width)
    return torch.einsum("bmp,bpnw->bmnw", s.second_c.to(first.dtype), products)
