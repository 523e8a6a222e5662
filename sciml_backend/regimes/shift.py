"""How far one map's boundaries lie from another's, row by row or column by column.

A boundary is located on each line of cells by walking from its easy end (the smallest coefficient, the most data) to
its hard end: it lies where the metric first rises from at or below its threshold to above it, between two neighbouring
cells, by linear interpolation; first in cell indices (the axes are categorical), from there in the axis's units. The
test boundary is located whatever the training loss is there, although maps draw it only where that is low.

A line on which the metric is high from the first cell on, or low up to the last, has its boundary outside the map, and
one where a missing value may hide the rise has an unknown one: such lines are counted and take no part in a median.

Two maps are compared on the columns and rows that both have: a finer grid would move a boundary by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

import numpy as np
import pandas as pd

from sciml_backend.regimes.boundaries import LEVELS, well_filled
from sciml_backend.regimes.cells import Floats, axes, complete, matrix
from sciml_backend.regimes.thresholds import Thresholds

_COLUMNS = ("base", "method", "base_value", "method_value", "base_place", "method_place", "cells", "units", "direction")


class Place(Enum):
    """Where a line of cells has its boundary; the values say it in words."""

    INSIDE = "on the map"
    BEFORE = "beyond the easy end"
    BEYOND = "beyond the hard end"
    UNKNOWN = "hidden by a missing or diverged cell"


def on_shared_axes(base: pd.DataFrame, method: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two maps on the columns and rows that both have filled, as ``complete`` gives them; both empty without any.

    Filled is what has at least half as many shared values as the fullest. ``base`` and ``method`` have one row per
    cell: x, y, train_loss and whatever else.
    """
    both = sorted(_valued(base) & _valued(method))
    xs, ys = (np.unique([cell[k] for cell in both]) for k in (0, 1))
    there = np.zeros((len(ys), len(xs)), dtype=bool)
    for x, y in both:
        there[np.searchsorted(ys, y), np.searchsorted(xs, x)] = True
    xs, ys = xs[well_filled(there.sum(axis=0))], ys[well_filled(there.sum(axis=1))]
    first, second = (complete(grid[grid["x"].isin(xs) & grid["y"].isin(ys)], xs, ys) for grid in (base, method))
    return first, second


def _valued(grid: pd.DataFrame) -> set[tuple[float, float]]:
    there = np.isfinite(grid["train_loss"].to_numpy(float, na_value=np.nan))
    return set(zip(grid["x"][there], grid["y"][there], strict=True))


def boundary_shift(
    base: pd.DataFrame,
    method: pd.DataFrame,
    thresholds: tuple[Thresholds, Thresholds],
    *,
    levels: Sequence[float] = LEVELS,
    along: str = "x",
) -> pd.DataFrame:
    """One row per metric, perturbation level and line: where both maps have their boundary, and its shift.

    ``base`` and ``method`` have the same cells, as ``on_shared_axes`` gives them; ValueError otherwise. ``thresholds``
    are the baseline's and the method's: equal ones (of one reference map) are a common yardstick. With ``along`` "x"
    the lines are rows of constant y, with "y" columns of constant x.

    Columns: metric (``train`` or ``test``), level, line (the constant value), base and method (position in indices of
    the axis), base_value and method_value (in its units), base_place and method_place (names of Place), cells and units
    (method − base), and direction: 1 to larger values of the axis, −1 to smaller ones, 0 not moved. What has no
    position is nan; a direction is known as well where one of the two boundaries lies on the map or beyond its other
    end.
    """
    (xs, ys), others = axes(base), axes(method)
    if not all(map(np.array_equal, (xs, ys), others)):
        raise ValueError("Boundaries are compared between maps of the same columns and rows.")
    axis, lines = (xs, ys) if along == "x" else (ys, xs)
    rows = [
        {"metric": metric, "level": level, "line": line, **_both(places, axis, along)}
        for metric in ("train", "test")
        for level in levels
        for line, *places in zip(
            lines,
            *(_places(grid, own, metric, level, along) for grid, own in zip((base, method), thresholds, strict=True)),
            strict=True,
        )
    ]
    return pd.DataFrame(rows, columns=["metric", "level", "line", *_COLUMNS])


def shift_summary(shift: pd.DataFrame) -> pd.DataFrame:
    """One row per metric and level of ``boundary_shift``: medians of cells and units, and counts of lines.

    Columns: metric, level, cells, units, n_both (the lines with both boundaries on the map, on which the medians rest),
    n_base_only, n_method_only, n_neither; n_larger and n_smaller, the lines on which the direction is known.
    """
    inside = {name: shift[f"{name}_place"] == Place.INSIDE.name for name in ("base", "method")}
    counted = shift.assign(
        n_both=inside["base"] & inside["method"],
        n_base_only=inside["base"] & ~inside["method"],
        n_method_only=~inside["base"] & inside["method"],
        n_neither=~inside["base"] & ~inside["method"],
        n_larger=shift["direction"] > 0,
        n_smaller=shift["direction"] < 0,
    )
    counts = ["n_both", "n_base_only", "n_method_only", "n_neither", "n_larger", "n_smaller"]
    grouped = counted.groupby(["metric", "level"], sort=False)
    medians = grouped[["cells", "units"]].median()
    return medians.join(grouped[counts].sum()).reset_index()


def crossing(values: Floats, threshold: float) -> tuple[float, Place]:
    """Where values (n,), from the easy end to the hard one, first rise above the threshold.

    The position is in [0, n − 1], nan unless the place is INSIDE.
    """
    before, place = first_rise(values, threshold)
    if place is not Place.INSIDE:
        return np.nan, place
    share = (threshold - values[before]) / (values[before + 1] - values[before])
    return float(before + share), place


def first_rise(values: Floats, threshold: float) -> tuple[int, Place]:
    """The last cell before values (n,) first rise above the threshold to their next cell; −1 unless INSIDE."""
    if not (values.size and np.isfinite(threshold)):
        return -1, Place.UNKNOWN
    known, low = np.isfinite(values), values <= threshold
    may_rise = np.flatnonzero((low | ~known)[:-1] & ~low[1:])  # what is missing may be low or high
    if may_rise.size:
        before = int(may_rise[0])
        return (before, Place.INSIDE) if known[before : before + 2].all() else (-1, Place.UNKNOWN)
    if not known[-1]:
        return -1, Place.UNKNOWN
    return -1, Place.BEYOND if low[-1] else Place.BEFORE


def _places(
    grid: pd.DataFrame, thresholds: Thresholds, metric: str, level: float, along: str
) -> Iterator[tuple[float, Place]]:
    """Position and place of the boundary on each line, in indices of the axis along it."""
    column = thresholds.train_column if metric == "train" else thresholds.test_column
    cut = thresholds.of(grid, 1 + level)[metric == "test"]
    values = matrix(grid, column)
    for line in values if along == "x" else values.T[:, ::-1]:  # data are easy where there are many
        position, place = crossing(line, cut)
        yield (position if along == "x" else len(line) - 1 - position), place


def _both(places: Sequence[tuple[float, Place]], axis: Floats, along: str) -> dict[str, float | str]:
    (base, base_place), (method, method_place) = places
    at = [float(np.interp(position, np.arange(len(axis)), axis)) for position in (base, method)]
    hard = 1 if along == "x" else -1
    # Beyond an end is further than anything on the map; how much further nobody knows.
    ends = {Place.BEFORE: -hard * np.inf, Place.BEYOND: hard * np.inf}
    moved = ends.get(method_place, method) - ends.get(base_place, base)
    return {
        "base": base,
        "method": method,
        "base_value": at[0],
        "method_value": at[1],
        "base_place": base_place.name,
        "method_place": method_place.name,
        "cells": method - base,
        "units": at[1] - at[0],
        "direction": float(np.sign(moved)),
    }
