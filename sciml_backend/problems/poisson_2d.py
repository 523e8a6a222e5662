"""2D Poisson's equation with an anisotropic conductivity; Subramanian et al. (2023), arXiv:2306.00258."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sciml_backend.solution_operator import Array, PeriodicOperator, ranges
from sciml_backend.solvers.periodic_square import tensor

BOUNDS = {1.0: 2.5, 2.5: 5.0, 5.0: 10.0, 10.0: 20.0, 20.0: 30.0, 30.0: 50.0, 50.0: 100.0, 100.0: 200.0}
SCALE = 0.01


class Poisson2D(PeriodicOperator):
    """-0.01 div(K grad u) = f on the periodic unit square; K has the eigenvalues 1 and e, turned by any angle.

    From f, K11, K22 and K12 to u. e is drawn evenly from the range K.
    """

    label = "2D Poisson"
    equation = "−0.01 ∇·(K ∇u) = f,  K = Rᵀ diag(1, e) R,  u periodic on [0, 1)²"
    channels = 4
    coefficients = (ranges("K", "K", BOUNDS),)

    def drawn(self, others: Array, c: Mapping[str, float]) -> tuple[Array, None]:
        low = c["K"]
        return SCALE * tensor(low + (BOUNDS[low] - low) * others[:, 0], 2 * np.pi * others[:, 1]), None
