"""How long training will take, from how long it took: seconds per run against the amount of data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import nnls

WIDE = 3.0
"""Amounts of data that lie this factor outside of those that were timed are told by a guess."""


@dataclass(frozen=True)
class Cost:
    """Seconds of one run, ``fixed + per_point * data``, the least and most data that were timed, and a sentence.

    The sentence says what this rests on.
    """

    fixed: float
    per_point: float
    basis: str
    timed: tuple[float, float] = (0.0, math.inf)

    def of(self, data: Sequence[float]) -> float:
        """Seconds of runs with these amounts of data, one after the other on one worker."""
        return float(sum(self.fixed + self.per_point * n for n in data))

    def doubt(self, data: Sequence[float]) -> str:
        """A sentence where some of these amounts of data are far from all that were timed, else nothing."""
        least, most = self.timed
        far = [n for n in data if n * WIDE < least or n > WIDE * most]
        return f"No run with about N = {max(far):g} was timed: for such runs it is a guess." if far else ""


def cost(stored: pd.DataFrame, recorded: Mapping[str, Any] | None) -> Cost | None:
    """From the stored runs of the map (columns y, seconds, iterations, device), else from the catalogue's record."""
    ended = stored[(stored["seconds"] > 0) & (stored["iterations"] > 0)] if len(stored) else stored
    least = float(recorded["seconds_per_point"]) if recorded else 0.0
    if len(ended):
        return _measured(ended, least)
    if recorded:
        basis = "It rests on the catalogue's cost model of this map, measured on one core."
        return Cost(float(recorded["seconds_fixed"]), least, basis)
    return None


def _measured(runs: pd.DataFrame, least: float) -> Cost:
    """Times of an iteration tell how cost grows with data: how many iterations a run takes is a matter of chance.

    A busy machine hides the growth; it is never less than that of the catalogue's model.
    """
    iterations = float(runs["iterations"].mean())
    each = (runs["seconds"] / runs["iterations"]).groupby(runs["y"]).median()
    data, seconds = each.index.to_numpy(float), each.to_numpy(float)
    (fixed, slope), _ = nnls(np.column_stack([1 / seconds, data / seconds]), np.ones(len(data)))  # relative errors
    if data.max() < WIDE * data.min():  # too alike for a line
        fixed, slope = 0.0, float(seconds.mean() / data.mean())
    fixed, slope = iterations * fixed, max(iterations * slope, least)
    where = ", ".join(sorted(set(runs["device"])))
    span = f"N = {data.min():g}" if data.min() == data.max() else f"N = {data.min():g} to {data.max():g}"
    miss = runs["seconds"] - fixed - slope * runs["y"]
    spread = float(np.sqrt(np.mean(miss**2)) / max(runs["seconds"].mean(), 1e-9))
    return Cost(
        fixed,
        slope,
        f"It rests on {len(runs)} stored runs of this map ({span}, {where}). Single runs differ from it by "
        f"{100 * spread:.0f} %, another machine or a busy one by more.",
        timed=(float(data.min()), float(data.max())),
    )


def duration(seconds: float) -> str:
    """A time in words with one or two figures."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"
