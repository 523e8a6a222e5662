"""2D advection and diffusion; Subramanian et al. (2023), arXiv:2306.00258.

How much there is of each is told by the ratio Ψ = ‖λ v · grad u‖ / ‖0.01 (1 - λ) div(K grad u)‖ of a solution. It
depends on source, K and v as well, so it is set in the mean: Ψ is drawn evenly from its range, and λ is that at which
the mean ratio over sources, K and v is Ψ. ``MEAN_RATIO`` was measured for that on 32,768 samples in four equal quarters
(32 nodes a side; 2,048 samples with 128 agree within their standard error of 0.6 %). The original takes the nearest of
a table of 59 such pairs, which is not at hand; here they are interpolated between, in logarithms, off by at most 0.5 %.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sciml_backend.solution_operator import Array, PeriodicOperator, ranges
from sciml_backend.solvers.periodic_square import tensor

BOUNDS = {0.2: 0.4, 0.4: 0.6, 0.6: 0.8, 0.8: 1.0, 1.0: 1.3, 1.3: 1.7, 1.7: 2.0, 2.0: 2.5}
SCALE = 0.01

MEAN_RATIO = {
    0.04: 0.1652,
    0.05: 0.2037,
    0.07: 0.2759,
    0.10: 0.3733,
    0.15: 0.5161,
    0.20: 0.6455,
    0.25: 0.7696,
    0.30: 0.8933,
    0.35: 1.0203,
    0.40: 1.1539,
    0.45: 1.2976,
    0.50: 1.4554,
    0.60: 1.8358,
    0.65: 2.0758,
    0.70: 2.3685,
    0.75: 2.7409,
}
"""λ to the mean ratio."""


class AdvectionDiffusion(PeriodicOperator):
    """-0.01 (1 - λ) div(K grad u) + λ v · grad u = f on the periodic unit square; |v| = 1, K's eigenvalues 1 and e.

    From f, 0.01 (1 - λ) K and λ v to u. e is drawn evenly from 1 to 5, λ so that advection over diffusion is in the
    range Ψ in the mean.
    """

    label = "2D advection-diffusion"
    equation = "−0.01 (1 − λ) ∇·(K ∇u) + λ v·∇u = f,  K = Rᵀ diag(1, e) R,  |v| = 1,  u periodic on [0, 1)²"
    channels = 6
    coefficients = (ranges("Psi", "Ψ", BOUNDS),)

    def drawn(self, others: Array, c: Mapping[str, float]) -> tuple[Array, Array]:
        low = c["Psi"]
        mix = mixing(low + (BOUNDS[low] - low) * others[:, 3])[:, None]
        direction = 2 * np.pi * others[:, 2]
        diffusion = SCALE * (1 - mix) * tensor(1 + 4 * others[:, 0], 2 * np.pi * others[:, 1])
        return diffusion, mix * np.stack([np.cos(direction), np.sin(direction)], axis=1)


def mixing(ratio: Array) -> Array:
    """λ at which advection over diffusion is ``ratio`` in the mean, 0.17 to 2.7."""
    known = np.log(list(MEAN_RATIO.values())), np.log(list(MEAN_RATIO))
    return np.exp(np.interp(np.log(ratio), *known))
