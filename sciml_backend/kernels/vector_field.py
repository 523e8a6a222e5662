"""The fused vector field: linear residuals of small tanh networks, and their gradient, in one C call for all rows."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from sciml_backend.kernels import build
from sciml_backend.kernels.arguments import INT, SUFFIX, address

NAME = "vector_field"
MULTIPLE = 16
"""Samples are padded to whole vectors, with weight zero."""

_REAL = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}


class _Field(ctypes.Structure):
    _fields_ = [
        ("layers", INT),
        ("sizes", ctypes.c_void_p),
        ("samples", INT),
        ("terms", INT),
        ("scale", ctypes.c_void_p),
    ]


def available() -> bool:
    """Whether the kernel could be compiled and loaded here."""
    return build.library(NAME) is not None


class FusedField:
    """A tanh network of these widths, with residuals ``scale_k f(x) - target_k``; ``scale`` has one for each term."""

    def __init__(self, sizes: Sequence[int], scale: Sequence[float], *, dtype: torch.dtype):
        library = build.library(NAME)
        if library is None:
            raise RuntimeError("The kernel needs a C compiler; use the differentiable path instead.")
        self._sizes = torch.tensor(list(sizes), dtype=torch.int64)
        self._scale = torch.tensor(list(scale), dtype=torch.float64)
        self._field = _Field(
            layers=len(sizes) - 1,
            sizes=self._sizes.data_ptr(),
            samples=0,
            terms=len(scale),
            scale=self._scale.data_ptr(),
        )
        self._real, suffix = _REAL[dtype], SUFFIX[dtype]
        size, self._rollout_size = (getattr(library, f"{NAME}{of}_scratch_{suffix}") for of in ("", "_rollout"))
        size.restype = self._rollout_size.restype = INT
        self._scratch = torch.zeros(size(ctypes.byref(self._field)) + MULTIPLE, dtype=dtype)
        self._call, self._rollout = getattr(library, f"{NAME}_{suffix}"), getattr(library, f"{NAME}_rollout_{suffix}")
        self._call.restype = self._rollout.restype = None

    def __call__(
        self,
        theta: Tensor,
        x: Tensor,
        target: Tensor,
        weight: Tensor,
        loss: Tensor,
        *,
        linear: Tensor | None = None,
        gradient: Tensor | None = None,
        residual: Tensor | None = None,
        cotangent: Tensor | None = None,
    ) -> None:
        """Add to ``loss`` (B,) float64 each row's sum of weight · residual² + linear · residual.

        ``x`` (B, d, S) and ``weight`` (B, terms, S), S a multiple of 16; ``target`` and ``linear`` (B, terms, m, S).
        The gradient is added to ``gradient`` (B, P); ``residual`` (B, terms, m, S) is filled when given; ``cotangent``
        of its shape replaces d loss / d residual. All contiguous.
        """
        b, p = theta.shape
        self._field.samples = x.shape[2]
        given = map(address, (theta, x, target, weight, linear, cotangent, loss, gradient, residual, self._scratch))
        self._call(ctypes.byref(self._field), INT(b), INT(p), *given)

    def rollout(self, theta: Tensor, start: Tensor, *, step: float, steps: int) -> Tensor:
        """States (B, d, steps) of Euler's method from ``start`` (B, d), which is left out."""
        states = start.new_empty(*start.shape, steps)
        b, p = theta.shape
        scratch = start.new_empty(self._rollout_size(ctypes.byref(self._field), INT(p)))
        self._rollout(
            ctypes.byref(self._field),
            INT(b),
            INT(p),
            address(theta),
            address(start),
            self._real(step),
            INT(steps),
            address(states),
            address(scratch),
        )
        return states
