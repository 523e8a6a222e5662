"""Five-point finite differences for -div(a grad u) = f on the unit square, u = 0 on its border.

Each face of a node's cell has the arithmetic mean of the two nodes' a. Solved by conjugate gradients with the Laplacian
as preconditioner, which sine transforms invert: its condition is that of a itself, whatever the grid. Concus and Golub
(1973), Use of fast direct methods for the efficient numerical solution of nonseparable elliptic equations, SIAM J.
Numer. Anal. 10(6).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dstn, idstn

Array = NDArray[np.float64]


def solve(a: Array, source: Array | float = 1.0, *, tolerance: float = 1e-10) -> Array:
    """u at all nodes, (s, s), border included, from a > 0 (s, s) and ``source`` at the nodes inside (s - 2, s - 2).

    Ends when the preconditioned residual has fallen by ``tolerance``; raises ArithmeticError when that takes more than
    1,000 iterations, as it may where a varies by many decades from node to node.
    """
    inside, faces = len(a) - 2, conductances(a)
    laplacian = _eigenvalues(inside)
    u = np.zeros((inside, inside))
    residual = np.full_like(u, source)
    correction = direction = idstn(dstn(residual, 1) / laplacian, 1)
    size = first = np.vdot(residual, correction)
    for _ in range(1000):
        if size <= tolerance**2 * first:
            return np.pad(u, 1)
        image = outflow(faces, np.pad(direction, 1))
        step = size / np.vdot(direction, image)
        u += step * direction
        residual -= step * image
        correction = idstn(dstn(residual, 1) / laplacian, 1)
        size, before = np.vdot(residual, correction), size
        direction = correction + size / before * direction
    raise ArithmeticError("Conjugate gradients did not settle in 1,000 iterations; a spans too many decades.")


Faces = tuple[Array, Array]
"""a over the square of the spacing between nodes one below the other (s - 1, s), and side by side (s, s - 1)."""


def conductances(a: Array) -> Faces:
    """What flows through the faces for a difference of 1, per cell: of a at all nodes, (s, s)."""
    squares = (len(a) - 1) ** 2
    return (a[1:] + a[:-1]) * (squares / 2), (a[:, 1:] + a[:, :-1]) * (squares / 2)


def outflow(faces: Faces, u: Array) -> Array:
    """-div(a grad u) at the nodes inside, (s - 2, s - 2), of u at all nodes, (s, s)."""
    below, beside = faces
    fall = below[:, 1:-1] * np.diff(u[:, 1:-1], axis=0)
    run = beside[1:-1] * np.diff(u[1:-1], axis=1)
    return -np.diff(fall, axis=0) - np.diff(run, axis=1)


def _eigenvalues(inside: int) -> Array:
    along = (2 * (inside + 1) * np.sin(np.pi * np.arange(1, inside + 1) / (2 * (inside + 1)))) ** 2
    return np.asarray(along[:, None] + along)
