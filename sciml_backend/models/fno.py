"""Fourier neural operator on a periodic grid; Li et al. (2021), arXiv:2010.08895.

Every Fourier layer adds a global convolution, made of the lowest Fourier coefficients alone, to a linear map at each
point. As so few coefficients are kept, they are matrix products with sines and cosines rather than a fast transform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import pairwise
from math import pi, prod

import torch
from torch import Tensor
from torch.nn.functional import gelu

from sciml_backend.kernels.fourier_operator import FusedOperator, available
from sciml_backend.model import Block, OperatorModel, Share, affine, laid_out
from sciml_backend.run import BadRequest, setting

PIECE = {"cpu": 8, "cuda": 128}
"""Samples that are trained on at a time. On a CPU fewer read the weights too often and more fall out of the cache."""


@dataclass(frozen=True)
class FNO(OperatorModel):
    """Lifting, ``layers`` Fourier layers of ``width`` channels, a projection; 1,050,321 parameters for 4 inputs.

    ``inputs`` and ``outputs`` are channels of fields. A row of theta has for every Fourier layer a block ``spectral_i``
    (2, modes, modes, in, 2, out): frequencies 0 … modes-1 and -modes … -1 of the rows, 0 … modes-1 of the columns,
    channel in, real and imaginary part, channel out. All other blocks are matrices (out, in) and biases (out,).
    """

    label = "Fourier neural operator"
    modes: int = setting(16, "frequencies kept along each axis, of either sign along the first")
    width: int = setting(16, "channels of the Fourier layers")
    layers: int = setting(4, "Fourier layers")
    projection: int = setting(32, "units of the projection's first hidden layer")
    second_projection: int = setting(0, "units of the projection's second hidden layer (0: none)")
    inputs: int = 4
    outputs: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.modes <= 256 or not 1 <= self.width <= 512 or not 1 <= self.layers <= 12:
            raise BadRequest(
                "A Fourier neural operator has 1 to 12 layers of 1 to 512 channels and 1 to 256 modes, "
                f"got layers={self.layers}, width={self.width}, modes={self.modes}."
            )
        if not 1 <= self.projection <= 4096 or not 0 <= self.second_projection <= 4096:
            raise BadRequest(
                "A projection has 1 to 4096 units and its second layer 0 (none) to 4096, "
                f"got projection={self.projection}, second_projection={self.second_projection}."
            )

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of the projection's hidden layers."""
        return (self.projection, self.second_projection) if self.second_projection else (self.projection,)

    @cached_property
    def layout(self) -> tuple[Block, ...]:
        shapes = affine("lifting", self.inputs, self.width)
        for i in range(self.layers):
            shapes[f"spectral_{i}"] = (2, self.modes, self.modes, self.width, 2, self.width)
            shapes |= affine(f"local_{i}", self.width, self.width)
        for i, (n_in, n_out) in enumerate(pairwise((self.width, *self.hidden, self.outputs))):
            shapes |= affine(f"projection_{i}", n_in, n_out)
        spectral = {f"spectral_{i}" for i in range(self.layers)}
        return tuple(replace(block, out=5) if block.name in spectral else block for block in laid_out(shapes))

    def init(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        theta, bound = torch.empty(self.parameters), 0.0
        for block in self.layout:
            uniform = torch.rand(prod(block.shape), generator=generator)
            if block.name.startswith("spectral"):
                theta[block.slice] = uniform / self.width**2
                continue
            if len(block.shape) == 2:
                bound = block.shape[1] ** -0.5  # of the bias that follows, too
            theta[block.slice] = (2 * uniform - 1) * bound
        return theta

    def check(self, h: int, w: int) -> None:
        """Raises BadRequest when a grid of h x w points has not all the frequencies that the layers keep."""
        if min(h, w) < 2 * self.modes:
            raise BadRequest(
                f"A Fourier neural operator with {self.modes} modes needs at least {2 * self.modes} grid points "
                f"a side, got {h} x {w}; take a finer grid or fewer modes."
            )

    def apply(self, theta: Tensor, fields: Tensor) -> Tensor:
        """Outputs (B, n, outputs, h, w) of fields (n, inputs, h, w), or (B, n, inputs, h, w), for theta (B, P).

        By plain torch: it can be differentiated as often as one likes. On a CPU every row is worked out by itself, so
        that its bits do not depend on the others; elsewhere all are at once. Raises BadRequest when the grid is too
        small.
        """
        self.check(*fields.shape[-2:])
        own = fields if fields.dim() == 5 else fields.expand(len(theta), *fields.shape)
        if theta.device.type != "cpu":
            return self._together(theta, own)
        # A fresh copy, because last bits also depend on how a row is aligned.
        return torch.stack([self._row(row.clone(), f) for row, f in zip(theta, own, strict=True)])

    def _together(self, theta: Tensor, fields: Tensor) -> Tensor:
        out: Tensor = torch.vmap(self._row)(theta, fields)
        return out

    def on_grid(
        self,
        h: int,
        w: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
        most: int,
        samples: int | None = None,
    ) -> FNOStepper:
        """What trains fast on one grid, so many samples at a time; raises BadRequest when the grid is too small."""
        self.check(h, w)
        samples = samples or PIECE[device.type]
        weights = 3 * self.parameters * dtype.itemsize  # they themselves, a copy and the gradient
        if device.type != "cpu" or not available(self.width, self.hidden):
            return FNOStepper(self, samples, weights + self.memory(min(samples, most), h, w, dtype.itemsize), None)
        fused = FusedOperator(
            (self.width, *self.hidden, self.outputs),
            [block.slice.start for block in self.layout],
            (h, w),
            inputs=self.inputs,
            modes=self.modes,
            layers=self.layers,
            samples=samples,
            dtype=dtype,
        )
        return FNOStepper(self, samples, weights + fused.bytes, fused)

    def memory(self, samples: int, h: int, w: int, itemsize: int) -> int:
        """Bytes that ``apply`` and its gradient take beside the weights.

        A bound from measurements: 8 fields a layer and 4 for each hidden layer of the projection.
        """
        fields = 8 * self.layers * self.width + 4 * sum(self.hidden)
        return fields * samples * h * w * itemsize

    def _row(self, theta: Tensor, fields: Tensor) -> Tensor:
        part = {block.name: theta[block.slice].unflatten(0, block.shape) for block in self.layout}
        v = _pointwise(part, "lifting", fields)
        for i in range(self.layers):
            v = _convolution(part[f"spectral_{i}"], v) + _pointwise(part, f"local_{i}", v)
            v = gelu(v) if i < self.layers - 1 else v
        for i in range(len(self.hidden)):
            v = gelu(_pointwise(part, f"projection_{i}", v))
        return _pointwise(part, f"projection_{len(self.hidden)}", v)


@dataclass(frozen=True)
class FNOStepper:
    """A Fourier neural operator on one grid, ``samples`` at a time; ``bytes`` is all that a step takes beside the data.

    A step of one row: a GPU takes all rows at once, which fills it and shares the cost of starting its kernels. On a
    CPU it works in memory of its own, which later calls use again: an object for each thread.
    """

    model: FNO
    samples: int
    bytes: int
    fused: FusedOperator | None

    def predict(self, theta: Tensor, fields: Tensor) -> Tensor:
        """What ``FNO.apply`` gives, without a graph to differentiate."""
        with torch.no_grad():
            if self.fused is None:
                return torch.cat([self.model.apply(theta, f) for f in fields.split(self.samples, dim=-4)], 1)
            out = []
            for row, own in zip(theta, self._own(theta, fields), strict=True):
                self.fused.load(row)
                out.append(torch.cat([self.fused.predict(f) for f in own.split(self.samples)]))
            return torch.stack(out)

    def value_and_gradient(self, theta: Tensor, fields: Tensor, loss: Share) -> tuple[Tensor, Tensor]:
        """Each row's loss (B,) in float64 and its gradient (B, P), for a loss that is a sum over samples.

        ``loss(outputs, row, samples)`` is the scalar that a slice of the samples, whose outputs are (k, outputs, h, w),
        adds to the loss of a row.
        """
        if theta.device.type != "cpu":
            return self._together(theta, self._own(theta, fields), loss)
        values = torch.zeros(len(theta), dtype=torch.float64, device=theta.device)
        gradient = torch.zeros_like(theta, memory_format=torch.contiguous_format)
        step = self._plain if self.fused is None else self._fused
        for row, own in enumerate(self._own(theta, fields)):
            weights = theta[row].detach()
            if self.fused is not None:
                self.fused.load(weights)
            for at in range(0, len(own), self.samples):
                samples = slice(at, min(at + self.samples, len(own)))
                values[row] += step(weights, own[samples], partial(loss, row=row, samples=samples), gradient[row])
        return values, gradient

    def _own(self, theta: Tensor, fields: Tensor) -> Tensor:
        """Fields of every row, (B, n, inputs, h, w)."""
        fields = fields.to(theta.dtype).contiguous()
        return fields if fields.dim() == 5 else fields.expand(len(theta), *fields.shape)

    def _fused(self, theta: Tensor, fields: Tensor, loss: Callable[[Tensor], Tensor], gradient: Tensor) -> Tensor:
        assert self.fused is not None
        outputs = self.fused.forward(fields).requires_grad_()
        value = loss(outputs)
        (cotangent,) = torch.autograd.grad(value, outputs)
        self.fused.backward(fields, cotangent.contiguous(), gradient)
        return value.detach()

    def _together(self, theta: Tensor, fields: Tensor, loss: Share) -> tuple[Tensor, Tensor]:
        leaf = theta.detach().requires_grad_()
        values = torch.zeros(len(theta), dtype=torch.float64, device=theta.device)
        gradient = torch.zeros_like(theta)
        for at in range(0, fields.shape[1], self.samples):
            samples = slice(at, min(at + self.samples, fields.shape[1]))
            outputs = self.model.apply(leaf, fields[:, samples])
            value = torch.stack([loss(own, row=row, samples=samples) for row, own in enumerate(outputs)])
            gradient += torch.autograd.grad(value.sum(), leaf)[0]
            values += value.detach()
        return values, gradient

    def _plain(self, theta: Tensor, fields: Tensor, loss: Callable[[Tensor], Tensor], gradient: Tensor) -> Tensor:
        theta = theta.requires_grad_()
        value = loss(self.model.apply(theta[None], fields)[0])
        gradient += torch.autograd.grad(value, theta)[0]
        return value.detach()


def _pointwise(part: dict[str, Tensor], name: str, v: Tensor) -> Tensor:
    """The linear map of channels (n, in, h, w) to (n, out, h, w) at every point."""
    out: Tensor = part[f"{name}_weight"] @ v.flatten(2) + part[f"{name}_bias"][:, None]
    return out.reshape(v.shape[0], -1, *v.shape[2:])


@cache
def _waves(modes: int, h: int, w: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """e^{-ikx} of the rows (2 modes, h), complex, and cos kx and sin kx of the columns (w, modes)."""
    frequencies = torch.cat([torch.arange(modes), torch.arange(-modes, 0)])
    rows = _angles(frequencies, h)
    columns = _angles(torch.arange(modes), w).mT
    return (
        torch.complex(rows.cos().to(dtype), -rows.sin().to(dtype)).to(device),
        columns.cos().to(dtype).to(device),
        columns.sin().to(dtype).to(device),
    )


def _angles(frequencies: Tensor, n: int) -> Tensor:
    """2π k j / n in double, (frequencies, n), taken modulo whole turns first."""
    return (frequencies[:, None] * torch.arange(n) % n).double() * (2 * pi / n)


def _convolution(weight: Tensor, v: Tensor) -> Tensor:
    """The lowest Fourier coefficients of v (n, in, h, w), mixed by ``weight``, as a field (n, out, h, w)."""
    n, _, h, w = v.shape
    modes = weight.shape[1]
    rows, cos, sin = _waves(modes, h, w, v.dtype, v.device)
    spectrum = rows @ torch.complex(v @ cos, -(v @ sin))  # (n, in, 2 modes, modes)
    mixing = torch.complex(weight[..., 0, :], weight[..., 1, :]).flatten(0, 2)  # (modes, in, out)
    mixed = torch.bmm(spectrum.permute(2, 3, 0, 1).flatten(0, 1), mixing)
    mixed = mixed.unflatten(0, (2 * modes, modes)).permute(2, 3, 0, 1)
    lines = rows.mH @ mixed  # (n, out, h, modes)
    both = torch.full((modes,), 2.0 / (h * w), dtype=v.dtype, device=v.device)  # a real field: k and -k alike
    both[0] /= 2
    out: Tensor = lines.real @ (both * cos).mT - lines.imag @ (both * sin).mT
    return out
