"""Preconditioned conjugate gradients for many systems at once, each with its own end; Nocedal & Wright (2006), 5.3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, Integers, dots, moved, to_host

Product = Callable[[Integers, Tensor], Tensor]
"""A matrix of each of these rows times vectors (rows, P)."""


@dataclass(frozen=True)
class Solved:
    """The solutions (B, P), the norm of what is left of each right side (B,), and the products it took (B,)."""

    x: Tensor
    residual: Floats
    products: Integers


def conjugate_gradients(
    product: Product, right: Tensor, *, start: Tensor, precondition: Product, tolerance: float, limit: int
) -> Solved:
    """Solve A x = right (B, P) from ``start``, until the residual's norm meets the tolerance or after ``limit`` steps.

    ``precondition`` is the inverse of a matrix near A, of the rows named. A direction along which A does not curve
    upwards ends a row where it stands.
    """
    x, every = start.clone(), np.arange(len(right))
    residual = right - product(every, start)
    z = precondition(every, residual)
    direction, rz, norm = z, to_host(dots(residual, z))[0], np.sqrt(to_host(dots(residual, residual))[0])
    products = np.ones(len(right), dtype=np.int64)
    rows = np.flatnonzero((norm > tolerance) & np.isfinite(norm))
    residual, direction, rz = residual[rows], direction[rows], rz[rows]
    for _ in range(limit):
        if not len(rows):
            break
        image = product(rows, direction)
        products[rows] += 1
        curved = to_host(dots(direction, image))[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            step = rz / curved
        upward = (curved > 0) & np.isfinite(step)
        step = np.where(upward, step, 0.0)
        at = torch.as_tensor(rows, device=x.device)
        x[at] = moved(x[at], step, direction)
        residual = moved(residual, -step, image)
        norm[rows] = np.sqrt(to_host(dots(residual, residual))[0])
        on = np.flatnonzero(upward & (norm[rows] > tolerance))
        rows, residual, direction, rz = rows[on], residual[on], direction[on], rz[on]
        if len(rows):
            z = precondition(rows, residual)
            new = to_host(dots(residual, z))[0]
            direction = moved(z, new / rz, direction)
            rz = new
    return Solved(x, norm, products)
