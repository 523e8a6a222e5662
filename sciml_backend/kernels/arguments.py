"""What is handed to compiled functions: addresses, counts and numbers, and the end of their names by precision."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

INT = ctypes.c_int64
SUFFIX = {torch.float32: "float32", torch.float64: "float64"}


def address(values: Tensor | None) -> ctypes.c_void_p:
    """Where a tensor's numbers start, nowhere for None; the caller keeps the tensor alive."""
    return ctypes.c_void_p(None if values is None else values.data_ptr())


def size(number: int) -> ctypes.c_int64:
    """A count."""
    return INT(number)


def real(number: float) -> ctypes.c_double:
    """A number in double."""
    return ctypes.c_double(number)
