"""Products, norms and moves of the rows of (B, P) matrices, each row by itself.

On a CPU a row's bits do not depend on the rows beside it: the compiled kernel sums every row in the same order, and
without a compiler the torch operations see one row at a time. On other devices rows are computed together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml_backend.kernels import build
from sciml_backend.kernels.arguments import SUFFIX, address, size

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Kernel = Callable[..., None]


def kernel(name: str, like: Tensor, *, of: str = "two_loop") -> Kernel | None:
    """The compiled function of a library, for the precision of ``like``; None where torch has to do."""
    library = build.library(of) if like.device.type == "cpu" else None
    if library is None or like.dtype not in SUFFIX:
        return None
    function: Kernel = getattr(library, f"{name}_{SUFFIX[like.dtype]}")
    return function


def whole_lines(like: Tensor) -> int:
    """P of ``like`` (B, P) rounded up to whole lines of 64 bytes: so padded, all rows of a matrix are aligned alike."""
    line = 64 // like.element_size()
    return -(-like.shape[1] // line) * line


def to_host(*columns: Tensor) -> list[Floats]:
    """Columns (B,) as float64 numpy arrays, with one transfer."""
    if columns[0].device.type == "cpu":
        return [column.detach().to(torch.float64).numpy() for column in columns]
    return list(torch.stack([column.detach().to(torch.float64) for column in columns]).cpu().numpy())


def one_by_one(function: Callable[..., Tensor], *matrices: Tensor) -> Tensor:
    """Apply a function of (1, P) matrices to each row; fresh copies, as alignment may change how torch sums."""
    return torch.cat([function(*(m[i : i + 1].clone() for m in matrices)) for i in range(len(matrices[0]))])


def dots(x: Tensor, y: Tensor) -> Tensor:
    """x.y of every row, (B,) float64."""
    compiled = kernel("dots", x)
    if compiled is None:
        return _dots(x, y) if x.device.type != "cpu" else one_by_one(_dots, x, y)
    out = torch.empty(len(x), dtype=torch.float64)
    x, y = x.contiguous(), y.contiguous()
    compiled(size(len(x)), size(x.shape[1]), address(x), address(y), address(out))
    return out


def _dots(x: Tensor, y: Tensor) -> Tensor:
    products: Tensor = torch.linalg.vecdot(x, y)
    return products.to(torch.float64)


def norms(x: Tensor) -> tuple[Tensor, Tensor]:
    """Largest and summed absolute value of every row, (B,) float64 each; not a number where a component is."""
    compiled = kernel("norms", x)
    if compiled is None:
        both = _norms(x) if x.device.type != "cpu" else one_by_one(_norms, x)
        return both[:, 0], both[:, 1]
    largest, total = torch.empty(len(x), dtype=torch.float64), torch.empty(len(x), dtype=torch.float64)
    x = x.contiguous()
    compiled(size(len(x)), size(x.shape[1]), address(x), address(largest), address(total))
    return largest, total


def _norms(x: Tensor) -> Tensor:
    return torch.stack([x.abs().amax(1), x.abs().sum(1)], 1).to(torch.float64)


def moved(x: Tensor, step: Floats, direction: Tensor) -> Tensor:
    """x + step * direction, with one step length (B,) per row."""
    compiled = kernel("moved", x)
    if compiled is None:
        return x + torch.as_tensor(step, dtype=x.dtype, device=x.device)[:, None] * direction
    x, direction, length = x.contiguous(), direction.contiguous(), torch.as_tensor(step, dtype=torch.float64)
    out = torch.empty_like(x)
    compiled(size(len(x)), size(x.shape[1]), address(x), address(length), address(direction), address(out))
    return out
