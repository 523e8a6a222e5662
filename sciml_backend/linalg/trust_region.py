"""The step to the lowest point of a quadratic within a ball; Moré & Sorensen (1983), Nocedal & Wright (2006), 4.3."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from sciml_backend.linalg.row_wise import Floats


def lowest_within(values: Floats, slope: Floats, radius: float) -> Floats:
    """The p (P,) with |p| <= radius at which slope.p + p.diag(values).p / 2 is lowest; ``values`` ascend.

    It solves (values + λ) p = -slope with the least λ >= 0 that makes all of values + λ positive and p short enough.
    """
    # Gaps to the least λ that is allowed: sums with values would lose a λ that is tiny beside them.
    gaps = values + max(0.0, -values[0])
    inner = _step(gaps, slope, 0.0)
    if np.linalg.norm(inner) > radius:
        return _step(gaps, slope, _shift(gaps, slope, radius))
    if values[0] < 0:
        # The hard case: the slope has no part along the lowest eigenvectors, and the border is reached along one.
        inner[0] += np.sqrt(radius**2 - inner @ inner)
    return inner


def _step(gaps: Floats, slope: Floats, shift: float) -> Floats:
    """-slope / (gaps + shift), zero where the slope is."""
    with np.errstate(divide="ignore", over="ignore"):
        return -np.divide(slope, gaps + shift, out=np.zeros_like(slope), where=slope != 0)


def _shift(gaps: Floats, slope: Floats, radius: float) -> float:
    """The shift >= 0 at which the step is as long as the radius."""

    def excess(shift: float) -> float:
        return float(radius / np.linalg.norm(_step(gaps, slope, shift)) - 1)

    below = max(0.0, float((np.abs(slope) / radius - gaps).max()))  # one component alone is as long
    above = float(np.linalg.norm(slope)) / radius  # all together are short enough
    if excess(below) >= 0:
        return below
    if excess(above) <= 0:
        return above
    return float(brentq(excess, below, above, xtol=np.finfo(float).tiny, rtol=1e-12, maxiter=1000))
