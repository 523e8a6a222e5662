"""How long training will take, from how long it took: seconds per run against the amount of data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

WIDE = 3.0
"""Amounts of data must differ by this factor before a line through their times says anything about others."""


@dataclass(frozen=True)
class Cost:
    """Seconds of one run, ``fixed + per_point * data``, and the sentence that says what this rests on."""

    fixed: float
    per_point: float
    basis: str

    def of(self, data: Sequence[float]) -> float:
        """Seconds of runs with these amounts of data, one after the other on one worker."""
        return float(sum(self.fixed + self.per_point * n for n in data))


def cost(stored: pd.DataFrame, recorded: Mapping[str, Any] | None) -> Cost | None:
    """From the stored runs of the map (columns y, seconds, device), else from the catalogue's record, else None."""
    ended = stored[stored["seconds"] > 0] if len(stored) else stored
    if len(ended):
        return _measured(ended)
    if recorded:
        return Cost(
            float(recorded["seconds_fixed"]),
            float(recorded["seconds_per_point"]),
            "It rests on the catalogue's cost model of this map, measured on one core.",
        )
    return None


def _measured(runs: pd.DataFrame) -> Cost:
    data, seconds = runs["y"].to_numpy(float), runs["seconds"].to_numpy(float)
    fixed, slope = _line(data, seconds)
    where = ", ".join(sorted(set(runs["device"])))
    span = f"N = {data.min():g}" if data.min() == data.max() else f"N = {data.min():g} to {data.max():g}"
    guess = "; far from these amounts of data it is a guess" if data.max() < WIDE * data.min() else ""
    spread = float(np.sqrt(np.mean((seconds - fixed - slope * data) ** 2)) / max(seconds.mean(), 1e-9))
    return Cost(
        fixed,
        slope,
        f"It rests on {len(runs)} stored runs of this map ({span}, {where}){guess}. Single runs differ from it by "
        f"{100 * spread:.0f} %, another machine or a busy one by more.",
    )


def _line(data: np.ndarray[Any, Any], seconds: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Intercept and slope, neither negative; in proportion to the data when these are too alike for a line."""
    if data.max() < WIDE * data.min():
        return 0.0, float(seconds.mean() / data.mean())
    fitted, fixed = np.polyfit(data, seconds, 1)
    if fixed < 0:
        return 0.0, float((data * seconds).sum() / (data**2).sum())
    return (float(fixed), float(fitted)) if fitted > 0 else (float(seconds.mean()), 0.0)


def duration(seconds: float) -> str:
    """A time in words with one or two figures."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"
