"""What the thresholds of a map rest on: its own values once it is full, published ones until then.

The percentiles of a map that is being filled move with every cell, so what was published of the same map stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from sciml_backend.regimes.cells import axes
from sciml_backend.regimes.thresholds import Thresholds

FULL = 0.95
"""The share of a map's cells that must have a value before its own percentiles decide what is low."""

AS_BAD_AS_ZERO = 0.9
"""A relative test error above this leaves more than four fifths of the solution's square; zero leaves all of it."""
_TRIVIAL = (
    "No cell has a test error clearly below 1, that of predicting zero: the labels compare cells with each other only."
)
_LENIENT = (
    "The test threshold lies above 1, the error of predicting zero: a low test error is low beside the others only."
)


@dataclass(frozen=True)
class Footing:
    """Thresholds to label a map with, the share in [0, 1] of its planned cells that have a value, and a note.

    The note says when the map is not full, and when nothing was learned anywhere on it or errors above 1 count as low;
    else it is empty.
    """

    thresholds: Thresholds
    filled: float = 1.0
    note: str = ""


def footing(
    grid: pd.DataFrame,
    thresholds: Thresholds | None = None,
    *,
    xs: Iterable[float] = (),
    ys: Iterable[float] = (),
    published: pd.DataFrame | None = None,
) -> Footing:
    """What the rules in ``thresholds`` (by default f = 0.30) are to read on a computed map.

    ``grid`` has columns x, y and train_loss; ``xs`` and ``ys`` are the planned values, the grid's own where none are.
    ``published`` is the published map, if there is one: then the rule reads its values.
    """
    found = _footing(grid, thresholds or Thresholds(), list(xs), list(ys), published)
    more = _TRIVIAL if nothing_learned(grid) else _LENIENT if _lenient(grid, found.thresholds) else ""
    return replace(found, note=f"{found.note} {more}".strip())


def _lenient(grid: pd.DataFrame, thresholds: Thresholds) -> bool:
    """Whether a test error counts as low that is worse than that of predicting zero."""
    return "test_error" in grid and thresholds.of(grid)[1] > 1


def nothing_learned(grid: pd.DataFrame) -> bool:
    """Whether no cell has a test error clearly below 1, that of predicting zero."""
    errors = grid["test_error"].to_numpy(float, na_value=np.nan) if "test_error" in grid else np.empty(0)
    return bool(np.isfinite(errors).any() and np.nanmin(errors) > AS_BAD_AS_ZERO)


def _footing(
    grid: pd.DataFrame, thresholds: Thresholds, xs: list[float], ys: list[float], published: pd.DataFrame | None
) -> Footing:
    n_filled, n_planned = counted(grid, xs, ys)
    filled = n_filled / n_planned if n_planned else 0.0
    if filled >= FULL:
        return Footing(thresholds, filled)
    there = f"{n_filled} of {n_planned} cells are computed"
    if thresholds.train.rule == thresholds.test.rule == "absolute":
        return Footing(thresholds, filled, f"{there}.")
    if published is not None and len(published):
        note = f"{there}; until the map is full, the rule reads the published map's values."
        return Footing(replace(thresholds, reference=published), filled, note)
    return Footing(thresholds, filled, f"{there}; the thresholds rest on these and will move until the map is full.")


def counted(grid: pd.DataFrame, xs: Sequence[float], ys: Sequence[float]) -> tuple[int, int]:
    """How many of the planned cells have a value, and how many are planned; without a plan it is the grid itself."""
    if not (len(xs) and len(ys)):
        xs, ys = (axis.tolist() for axis in axes(grid))
    planned = set(product(map(float, xs), map(float, ys)))
    valued = grid[np.isfinite(grid["train_loss"].to_numpy(float, na_value=np.nan))]
    return len(planned & set(zip(valued["x"], valued["y"], strict=True))), len(planned)
