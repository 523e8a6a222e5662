"""Power laws in data: exponent and lower end by maximum likelihood.

Clauset, Shalizi and Newman (2009), Power-law distributions in empirical data, SIAM Review 51, 661, arXiv:0706.1062.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 10
"""Values that a tail holds at least; fewer fit any law."""


@dataclass(frozen=True)
class PowerLaw:
    """A density that falls like x^-alpha from ``lowest`` on, fitted to the ``tail`` values there.

    ``error`` is alpha's standard error, ``distance`` the largest one between the tail's distribution and the law's.
    """

    alpha: float
    error: float
    lowest: float
    tail: int
    distance: float


def power_law(values: NDArray[np.float64]) -> PowerLaw | None:
    """The law that fits best, over all values that may be its lower end (eqs. 3.1, 3.2 and 3.9).

    None where no tail has ten values that are not all equal.
    """
    ordered = np.sort(values)
    _, starts = np.unique(ordered, return_index=True)
    fits = [_fitted(ordered[start:]) for start in starts if ordered[start] > 0 and len(ordered) - start >= LEAST]
    return min((fit for fit in fits if fit), key=lambda fit: fit.distance, default=None)


def _fitted(tail: NDArray[np.float64]) -> PowerLaw | None:
    """The law from the first of these ascending values on."""
    n, logs = len(tail), np.log(tail / tail[0])
    if not logs[-1] > 0:
        return None
    alpha = 1 + n / logs.sum()
    law = 1 - np.exp((1 - alpha) * logs)
    steps = np.arange(n + 1) / n
    distance = max(abs(law - steps[:-1]).max(), abs(law - steps[1:]).max())
    return PowerLaw(float(alpha), float((alpha - 1) / n**0.5), float(tail[0]), n, float(distance))
