"""Random vectors with mean zero and identity covariance, for trace and density estimates and for Lanczos starts."""

from __future__ import annotations

import torch
from torch import Tensor


def rademacher(rows: int, like: Tensor, *, generator: torch.Generator) -> Tensor:
    """Independent signs +1 and -1, (rows, P), of the dtype and on the device of ``like`` (..., P).

    They are drawn on the CPU, so that a seed means the same numbers on every device.
    """
    bits = torch.randint(0, 2, (rows, like.shape[-1]), generator=generator)
    return (2 * bits - 1).to(like)


def gaussian(rows: int, like: Tensor, *, generator: torch.Generator) -> Tensor:
    """Independent standard normal numbers, (rows, P), of the dtype and on the device of ``like`` (..., P)."""
    return torch.randn(rows, like.shape[-1], generator=generator, dtype=torch.float64).to(like)
