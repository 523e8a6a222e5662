"""The fused Fourier neural operator: outputs and gradient of a few samples at a time, in one C call each way."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor

from sciml_backend.kernels import build
from sciml_backend.kernels.arguments import INT, SUFFIX, address

NAME = "fourier_operator"
CHANNELS_MULTIPLE = 16
"""Channels and hidden units fill whole vectors."""
MAX_HIDDEN = 2


class _Operator(ctypes.Structure):
    _fields_ = [
        ("inputs", INT),
        ("outputs", INT),
        ("width", INT),
        ("modes", INT),
        ("layers", INT),
        ("dense", INT),
        ("units", INT * (MAX_HIDDEN + 2)),
        ("height", INT),
        ("breadth", INT),
        ("at", ctypes.c_void_p),
    ]


def available(width: int, hidden: Sequence[int]) -> bool:
    """Whether the kernel could be compiled here and can do a network of this width and these hidden units."""
    whole = all(n % CHANNELS_MULTIPLE == 0 for n in (width, *hidden))
    return whole and 1 <= len(hidden) <= MAX_HIDDEN and build.library(NAME) is not None


class FusedOperator:
    """A Fourier neural operator on one grid (h, w), for up to ``samples`` samples of one network at a time.

    ``units`` are the width, the projection's hidden units and the outputs; ``at`` is where each block of theta begins,
    in the order of ``FNO.layout``. It owns the memory that it works in, which also holds what ``backward`` needs of
    the latest ``forward``; ``bytes`` of it.
    """

    def __init__(
        self,
        units: Sequence[int],
        at: Sequence[int],
        grid: tuple[int, int],
        *,
        inputs: int,
        modes: int,
        layers: int,
        samples: int,
        dtype: torch.dtype,
    ):
        library = build.library(NAME)
        if library is None:
            raise RuntimeError("The kernel needs a C compiler; use the differentiable path instead.")
        self.grid, self.samples, self.dtype = grid, samples, dtype
        self.outputs, self._parameters = units[-1], at[-1] + units[-1]  # the last block is the outputs' bias
        self._at = torch.tensor(list(at), dtype=torch.int64)
        self._operator = _Operator(
            inputs=inputs,
            outputs=units[-1],
            width=units[0],
            modes=modes,
            layers=layers,
            dense=len(units) - 1,
            units=(INT * (MAX_HIDDEN + 2))(*units),
            height=grid[0],
            breadth=grid[1],
            at=self._at.data_ptr(),
        )
        self._tables = _tables(*grid, modes).to(dtype)
        suffix = SUFFIX[dtype]
        size = getattr(library, f"{NAME}_size_{suffix}")
        size.restype = INT
        self._forward, self._backward, self._transpose = (
            getattr(library, f"{NAME}{what}_{suffix}") for what in ("", "_back", "_transposed")
        )
        self._forward.restype = self._backward.restype = self._transpose.restype = None
        self._work = torch.empty(size(ctypes.byref(self._operator), INT(samples), INT(1)), dtype=dtype)
        self._spectral = torch.empty(layers * 4 * modes**2 * units[0] ** 2, dtype=dtype)

    @property
    def bytes(self) -> int:
        """What it holds in memory."""
        return self._work.nbytes + self._spectral.nbytes + self._tables.nbytes

    def load(self, theta: Tensor) -> None:
        """The weights (P,) of the calls that follow."""
        self._require(theta)
        self._theta = theta.contiguous()
        self._transposed = False

    def forward(self, fields: Tensor) -> Tensor:
        """Outputs (n, outputs, h, w) of contiguous fields (n, inputs, h, w), n ≤ ``samples``."""
        return self._outputs(fields, keep=True)

    def predict(self, fields: Tensor) -> Tensor:
        """The same, where no ``backward`` is to follow."""
        return self._outputs(fields, keep=False)

    def _outputs(self, fields: Tensor, *, keep: bool) -> Tensor:
        self._require(fields, len(fields), self._operator.inputs)
        if len(fields) > self.samples:
            raise ValueError(f"There is room for {self.samples} samples, got {len(fields)}.")
        out = torch.empty(len(fields), self.outputs, *self.grid, dtype=self.dtype)
        self._forward(
            ctypes.byref(self._operator),
            INT(len(fields)),
            INT(keep),
            *(address(t) for t in (self._tables, self._theta, fields, out, self._work)),
        )
        return out

    def backward(self, fields: Tensor, cotangent: Tensor, gradient: Tensor) -> None:
        """Add to ``gradient`` (P,) that of Σ cotangent · outputs, right after ``forward`` of the same fields."""
        self._require(fields, len(fields), self._operator.inputs)
        self._require(cotangent, len(fields), self.outputs)
        self._require(gradient)
        if not self._transposed:
            self._transpose(ctypes.byref(self._operator), address(self._theta), address(self._spectral))
            self._transposed = True
        tensors = (self._tables, self._theta, self._spectral, fields, cotangent, gradient, self._work)
        self._backward(ctypes.byref(self._operator), INT(len(fields)), *(address(t) for t in tensors))

    def _require(self, tensor: Tensor, *channels: int) -> None:
        """The C code believes what it is told: a row of theta, or fields (n, channels, h, w)."""
        shape = (*channels, *self.grid) if channels else (self._parameters,)
        if tensor.dtype != self.dtype or tuple(tensor.shape) != shape or not tensor.is_contiguous():
            raise ValueError(
                f"The kernel takes a contiguous tensor {shape} of {self.dtype}, "
                f"got {tuple(tensor.shape)} of {tensor.dtype}."
            )


def _angles(positions: range, frequencies: range, n: int) -> Tensor:
    """2πjk/n, whole turns taken off first, frequency fastest."""
    turns = torch.tensor(positions)[:, None] * torch.tensor(frequencies) % n
    return turns.double().flatten() * (2 * pi / n)


def _tables(h: int, w: int, modes: int) -> Tensor:
    """Cosines and sines of the first axis, then of the second: of half the points, as the others mirror them."""
    parts = [
        _angles(range(h // 2 + 1), range(modes + 1), h).cos(),
        _angles(range(1, (h + 1) // 2), range(1, modes + 1), h).sin(),
        _angles(range(w // 2 + 1), range(modes), w).cos(),
        _angles(range(1, (w + 1) // 2), range(modes), w).sin(),
    ]
    return torch.cat(parts)
