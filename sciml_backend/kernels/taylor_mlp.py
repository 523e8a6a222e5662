"""The fused term: a tanh network's mean-square residual and its gradient in one C call for all rows."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml_backend.kernels import build
from sciml_backend.kernels.arguments import INT, SUFFIX, address
from sciml_backend.linalg.polynomial import Polynomial
from sciml_backend.linalg.taylor import Streams

NAME = "taylor_mlp"
SITE_MULTIPLE = 16
"""Sites are padded to whole vectors with points of weight zero."""
MAX_FACTORS = 4
COLUMNS = 1024
"""Columns (sites x groups x streams) of a chunk: it stays in a 2 MiB cache and is long enough to pay for itself."""


class _Term(ctypes.Structure):
    _fields_ = [
        ("layers", INT),
        ("sizes", ctypes.c_void_p),
        ("groups", INT),
        ("sites", INT),
        ("firsts", INT),
        ("seconds", INT),
        ("pairs", INT),
        ("pair", ctypes.c_void_p),
        ("monomials", INT),
        ("factor", ctypes.c_void_p),
        ("chunk", INT),
    ]


def available() -> bool:
    """Whether the kernel could be compiled and loaded here."""
    return build.library(NAME) is not None


class FusedTerm:
    """The mean over sites of weight · residual² + multiplier · residual; the residual is a polynomial in slots.

    ``points`` (groups, n, d) or (rows, groups, n, d) in float64, ``streams`` for all rows, ``residual`` with the
    streams' slots numbered group * streams + stream. Raises ValueError when the polynomial's degree exceeds four.
    """

    def __init__(
        self, sizes: Sequence[int], points: Tensor, streams: Streams, residual: Polynomial, *, dtype: torch.dtype
    ):
        if residual.degree > MAX_FACTORS:
            raise ValueError(f"A fused residual has degree four at most, got {residual.degree}.")
        library = build.library(NAME)
        if library is None:
            raise RuntimeError("The kernel needs a C compiler; use the differentiable path instead.")
        groups, self.n, _ = points.shape[-3:]
        self.sites = -(-self.n // SITE_MULTIPLE) * SITE_MULTIPLE
        self.groups, self.dtype = groups, dtype
        self.streams = streams.to(dtype, torch.device("cpu"))
        self.rows_built = self.streams.first.shape[0]
        points = points if points.dim() == 4 else points[None]
        self.points = _padded(points.mT, self.sites, self.n).to(dtype).contiguous()  # (rows or 1, groups, d, sites)
        self.weight = torch.zeros(self.sites, dtype=dtype)
        self.weight[: self.n] = 1.0 / self.n
        self._set_residual(residual)
        self._sizes = torch.tensor(list(sizes), dtype=torch.int64)
        self._pair = torch.tensor(streams.pairs or [(0, 0)], dtype=torch.int64)
        columns = groups * self.streams.count
        self.chunk = max(SITE_MULTIPLE, min(COLUMNS // columns // SITE_MULTIPLE * SITE_MULTIPLE, self.sites))
        self._term = _Term(
            layers=len(sizes) - 1,
            sizes=self._sizes.data_ptr(),
            groups=groups,
            sites=self.sites,
            firsts=self.streams.first.shape[1],
            seconds=self.streams.second_b.shape[1],
            pairs=len(streams.pairs),
            pair=self._pair.data_ptr(),
            monomials=len(self._factor),
            factor=self._factor.data_ptr(),
            chunk=self.chunk,
        )
        suffix = SUFFIX[dtype]
        size = getattr(library, f"taylor_mlp_scratch_{suffix}")
        size.restype = INT
        self._scratch = torch.zeros(size(ctypes.byref(self._term)) + SITE_MULTIPLE, dtype=dtype)
        self._call = getattr(library, f"taylor_mlp_{suffix}")
        self._call.restype = None

    def _set_residual(self, residual: Polynomial) -> None:
        monomials = sorted(residual.terms) or [()]
        factor = [list(m) + [-1] * (MAX_FACTORS - len(m)) for m in monomials]
        self._factor = torch.tensor(factor, dtype=torch.int64)
        terms = [residual.terms.get(m, torch.zeros(())) for m in monomials]
        values = [c.reshape((1,) * (2 - c.dim()) + tuple(c.shape)) for c in terms]
        per_site = any(v.shape[1] > 1 for v in values)
        rows = self.rows_built if any(v.shape[0] > 1 for v in values) else 1
        if per_site:
            values = [_padded(v.expand(rows, self.n), self.sites, self.n) for v in values]
        else:
            values = [v.expand(rows, 1) for v in values]
        self.coefficient = torch.stack(values, 1).to(self.dtype).contiguous()  # (rows or 1, monomials, sites or 1)
        self.per_site = int(per_site)

    def __call__(
        self,
        theta: Tensor,
        loss: Tensor,
        *,
        rows: Tensor | None = None,
        gradient: Tensor | None = None,
        weight: Tensor | None = None,
        linear: Tensor | None = None,
        residual: Tensor | None = None,
        slot: Tensor | None = None,
        cotangent: Tensor | None = None,
    ) -> None:
        """Add each row's term to ``loss`` (B,) float64 and its gradient to ``gradient`` (B, P).

        ``rows`` picks the rows of the points, streams and coefficients that ``theta`` belongs to (all when None).
        ``weight`` (B,) is 1 when left out; ``linear`` (B, sites), as ``spread`` gives it, is 0. ``residual``
        (B, sites) and ``slot`` (B, groups * streams, sites) are filled when given; ``cotangent`` (B, sites) replaces
        d loss / d residual. All contiguous.
        """
        streams = self.streams if rows is None else self.streams.rows(rows)
        coefficient, points = (_of_rows(shared, rows) for shared in (self.coefficient, self.points))
        weights = self.weight if weight is None else weight.to(self.dtype)[:, None] * self.weight
        b, p = theta.shape
        linear = None if linear is None else linear.expand(b, -1).contiguous()
        self._call(
            ctypes.byref(self._term),
            INT(b),
            INT(p),
            address(theta),
            address(points),
            INT(_stride(points)),
            address(streams.first),
            address(streams.second_b),
            address(streams.second_c),
            address(coefficient),
            INT(_stride(coefficient)),
            INT(coefficient.shape[2]),
            INT(self.per_site),
            address(weights),
            INT(_stride(weights) if weight is not None else 0),
            address(linear),
            address(cotangent),
            address(loss),
            address(gradient),
            address(residual),
            address(slot),
            address(self._scratch),
        )

    def zeros(self, theta: Tensor) -> Tensor:
        """An empty residual, (B, sites)."""
        return torch.zeros(theta.shape[0], self.sites, dtype=self.dtype)

    def spread(self, multiplier: Tensor) -> Tensor:
        """What the mean of multiplier (B, n) times residual adds to d loss / d residual: (B, sites)."""
        linear = torch.zeros(len(multiplier), self.sites, dtype=self.dtype)
        linear[:, : self.n] = multiplier / self.n
        return linear


def _of_rows(shared: Tensor, rows: Tensor | None) -> Tensor:
    """Some rows of what is one for each row; all of what is one for all."""
    return shared if rows is None or len(shared) == 1 else shared[rows]


def _stride(shared: Tensor) -> int:
    return shared.stride(0) if len(shared) > 1 else 0


def _padded(values: Tensor, sites: int, n: int) -> Tensor:
    """The last axis lengthened from n to ``sites`` by repeating its first entry: pads stay harmless numbers."""
    if sites == n:
        return values
    pad: Any = values[..., :1].expand(*values.shape[:-1], sites - n)
    return torch.cat([values, pad], -1)
