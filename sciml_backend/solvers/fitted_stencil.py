"""Nine-point stencils on a coarse grid that know a rough coefficient of a fine one.

Sampled on a coarse grid, a coefficient that jumps has lost where it jumps, and no difference formula of it holds there.
So each coarse node's stencil is fitted to what solutions of the fine equation do around it: on a patch of ``reach``
fine cells each way it is solved for f = 1 with the border at 0, and for f = 0 with the real and imaginary parts of z^k,
k = 0 … 4, on the border. Of all stencils that give 1 on the first, the one chosen is nearest to 0 on the others, lower
powers counting more. Wherever the domain's own border is, u = 0. It is a small sample of the oversampled local problems
of multiscale methods: Hou and Wu (1997), A multiscale finite element method for elliptic problems in composite
materials and porous media, J. Comput. Phys. 134(1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from sciml_backend.solvers.finite_difference import conductances

Array = NDArray[np.float64]

DEGREE = 4
WEIGHT = 0.3
"""A power's weight over that of the power before."""
NOISE = 1e-5
"""Boundary values that move the nine nodes by less than this, relative to the one that moves them most, are let go."""


def fitted_stencils(a: Array, *, step: int, reach: int | None = None) -> Array:
    """Weights (9, m, m) with sum_k weights[k] u_k = 1 where -div(a grad u) = 1, u = 0 on the border, a (s, s).

    Coarse nodes are every ``step``-th fine one, m those inside along a side; k runs over the 3 x 3 of them around a
    node, row by row. A longer ``reach`` (default 2 step + 2) is more exact, by about a third for each further fine
    cell, but far beyond it stencils say ever less of a node's own surroundings; cost grows with its fourth power.
    """
    reach = reach or 2 * step + 2
    patches = _Patches(a, step=step, reach=reach)
    inside = range(step, len(a) - step, step)
    solved = np.array([[patches.solutions(i, j) for j in inside] for i in inside])
    return np.moveaxis(_fit(solved[..., 0], solved[..., 1:]), -1, 0)


def _fit(wanted: Array, others: Array) -> Array:
    """The s (…, 9) with s · wanted = 1 and the least |s · others|; ``wanted`` (…, 9), ``others`` (…, 9, k)."""
    directions, sizes, _ = np.linalg.svd(others)
    sizes = sizes**2 + (NOISE * sizes[..., :1]) ** 2  # and where a node is on the border, u and its weight are 0
    along = np.einsum("...ij,...i->...j", directions, wanted)
    found = np.einsum("...ij,...j->...i", directions, along / sizes)
    return np.asarray(found / np.einsum("...i,...i->...", found, wanted)[..., None])


class _Patches:
    """The fine equation on patches that are all alike, since what is on the border or beyond it is pinned to 0."""

    def __init__(self, a: Array, *, step: int, reach: int) -> None:
        self.reach, self.side = reach, 2 * reach - 1
        middle = reach - 1
        places = middle + step * np.arange(-1, 2)
        self.nodes = (places[:, None] * self.side + places).ravel()
        self.free = np.pad(np.pad(np.ones_like(a[1:-1, 1:-1], dtype=bool), 1), reach)
        down, right = conductances(np.pad(a, reach, mode="edge"))
        scale = ((len(a) - 1) / (len(a) - 1 + 2 * reach)) ** 2  # the padded grid has the spacing of a's
        down, right = down * scale, right * scale
        centre = np.zeros(self.free.shape)
        centre[1:] += down
        centre[:-1] += down
        centre[:, 1:] += right
        centre[:, :-1] += right
        self.centre = np.where(self.free, centre, 1.0)
        self.down = np.where(self.free[1:] & self.free[:-1], down, 0.0)
        self.right = np.where(self.free[:, 1:] & self.free[:, :-1], right, 0.0)
        self.border = _powers(reach)

    def solutions(self, row: int, column: int) -> Array:
        """At the nine nodes around a fine one: the solution for f = 1, then those for f = 0, (9, 2 DEGREE + 2)."""
        top, left = row + 1, column + 1  # of the patch, padded: the node itself is at row + reach
        rows, columns = slice(top, top + self.side), slice(left, left + self.side)
        matrix = np.zeros((self.side + 1, self.side**2))
        matrix[0] = self.centre[rows, columns].ravel()
        right = self.right[rows, left : left + self.side].copy()
        right[:, -1] = 0
        matrix[1] = -right.ravel()
        matrix[-1] = -self.down[rows, columns].ravel()
        free = self.free[rows, columns]
        known = np.zeros((self.side, self.side, 1 + self.border.shape[2]))
        known[..., 0] = free
        known[0, :, 1:] += self.down[top - 1, columns, None] * self.border[0]
        known[-1, :, 1:] += self.down[top + self.side - 1, columns, None] * self.border[1]
        known[:, 0, 1:] += self.right[rows, left - 1, None] * self.border[2]
        known[:, -1, 1:] += self.right[rows, left + self.side - 1, None] * self.border[3]
        known = known.reshape(self.side**2, -1)
        return np.asarray(solveh_banded(matrix, known, True, True, lower=True, check_finite=False)[self.nodes])


def _powers(reach: int) -> Array:
    """Harmonic polynomials on a patch's sides, top, bottom, left, right: (4, 2 reach - 1, 2 DEGREE + 1)."""
    along = np.arange(1 - reach, reach) / reach
    z = np.stack([along - 1j, along + 1j, -1 + 1j * along, 1 + 1j * along])
    parts = [np.ones_like(z.real)]
    for k in range(1, DEGREE + 1):
        power = WEIGHT**k * z**k
        parts += [power.real, power.imag]
    return np.stack(parts, axis=-1)
