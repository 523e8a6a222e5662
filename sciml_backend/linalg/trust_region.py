"""The step to the lowest point of a quadratic within a ball; Moré & Sorensen (1983), Nocedal & Wright (2006), 4.3."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from sciml_backend.linalg.row_wise import Floats


def lowest_within(values: Floats, slope: Floats, radius: float) -> Floats:
    """The p (P,) with |p| <= radius at which slope.p + p.diag(values).p / 2 is lowest; ``values`` ascend.

    It solves (values + λ) p = -slope with the least λ >= 0 that makes all of values + λ positive and p short enough.
    """
    lowest = max(0.0, -values[0])
    if values[0] > 0 and np.linalg.norm(slope / values) <= radius:
        return -slope / values
    inner = _step(values, slope, lowest)
    if np.linalg.norm(inner) <= radius:
        # The hard case: the slope has no part along the lowest eigenvectors, and the border is reached along one.
        inner[0] += np.sqrt(radius**2 - inner @ inner)
        return inner
    return _step(values, slope, _shift(values, slope, radius, lowest=lowest))


def _step(values: Floats, slope: Floats, shift: float) -> Floats:
    """-slope / (values + shift), zero where the slope is."""
    with np.errstate(divide="ignore", over="ignore"):
        return -np.divide(slope, values + shift, out=np.zeros_like(slope), where=slope != 0)


def _shift(values: Floats, slope: Floats, radius: float, *, lowest: float) -> float:
    """The λ above ``lowest`` at which the step is as long as the radius."""

    def excess(shift: float) -> float:
        return float(1 / np.linalg.norm(_step(values, slope, shift)) - 1 / radius)

    below = max(lowest, float((np.abs(slope) / radius - values).max()))  # one component alone is as long
    above = lowest + float(np.linalg.norm(slope)) / radius  # all together are short enough
    if excess(below) >= 0:
        return below
    return float(above if excess(above) <= 0 else brentq(excess, below, above, rtol=1e-12))
