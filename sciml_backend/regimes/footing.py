"""What the thresholds of a map rest on: its own values once it is full, published ones until then.

The percentiles of a map that is being filled move with every cell, so what was published of the same map stands in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

import pandas as pd

from sciml_backend.regimes.cells import axes
from sciml_backend.regimes.presets import paper_thresholds
from sciml_backend.regimes.thresholds import Thresholds
from sciml_backend.run import MapName

FULL = 0.95
"""The share of a map's cells that must have a value before its own percentiles decide what is low."""


@dataclass(frozen=True)
class Footing:
    """Thresholds to label a map with, the share in [0, 1] of its planned cells that have a value, and a note.

    The note is one sentence when the map is not full, else empty.
    """

    thresholds: Thresholds
    filled: float = 1.0
    note: str = ""


def footing(
    name: MapName,
    grid: pd.DataFrame,
    thresholds: Thresholds | None = None,
    *,
    xs: Iterable[float] = (),
    ys: Iterable[float] = (),
    published: pd.DataFrame | None = None,
) -> Footing:
    """What the rules in ``thresholds`` are to read on a computed map; the rule of a map in the paper by default.

    ``grid`` has columns x, y and n_seeds; ``xs`` and ``ys`` are the planned values, the grid's own where none are.
    ``published`` is the published map, if there is one. Where only its thresholds are known (Table 5 of
    arXiv:2605.29153), these stand in for the default rule.
    """
    thresholds = thresholds or Thresholds()
    n_filled, n_planned = _counted(grid, list(xs), list(ys))
    filled = n_filled / n_planned if n_planned else 0.0
    if filled >= FULL:
        return Footing(thresholds, filled)
    there = f"{n_filled} of {n_planned} cells are computed"
    table = paper_thresholds().get(MapName(name.family, name.problem, name.strategy))
    if thresholds.train.rule == thresholds.test.rule == "absolute":
        return Footing(thresholds, filled, f"{there}.")
    if published is not None and len(published):
        note = f"{there}; until the map is full, the rule reads the published map's values."
        return Footing(replace(thresholds, reference=published), filled, note)
    if table is not None and thresholds == Thresholds():
        return Footing(
            table, filled, f"{there}; until the map is full, the thresholds are the published ones (Table 5)."
        )
    return Footing(thresholds, filled, f"{there}; the thresholds rest on these and will move until the map is full.")


def _counted(grid: pd.DataFrame, xs: list[float], ys: list[float]) -> tuple[int, int]:
    """How many of the planned cells have a value, and how many are planned."""
    if not (xs and ys):
        xs, ys = (axis.tolist() for axis in axes(grid))
    planned = set(product(map(float, xs), map(float, ys)))
    valued = grid[grid["n_seeds"] > 0]
    return len(planned & set(zip(valued["x"], valued["y"], strict=True))), len(planned)
