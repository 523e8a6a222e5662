"""How sharp a map's transition from low to high is.

On each line of cells, walked from its easy end to its hard one, the transition is the step between the two neighbours
between which a metric first rises above its threshold (as in ``regimes.shift``), as a share of the range (p5 to p95)
that the threshold rule reads: of the map's own seed means, or until it is full of the published map. So 1 is a whole
range within one cell. It is a gradient in cell indices, since the axes are categorical and maps are drawn so; claim C02
of arXiv:2605.29153 is about this one. Because families have axes of unlike spacing, the same step stands beside it per
doubling of the axis value.

Every seed is a map of its own, judged by the threshold and range of the seed means. The map of the means has a smoother
transition than any of its seeds, since seeds do not rise at the same cell; only it compares with published maps, which
are means. A line on which nothing rises, or on which a missing cell may hide where, is counted and has no number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sciml_backend.regimes.boundaries import well_filled
from sciml_backend.regimes.cells import Floats, axes, matrix
from sciml_backend.regimes.footing import FULL
from sciml_backend.regimes.seeds import seed_means
from sciml_backend.regimes.shift import Place, first_rise
from sciml_backend.regimes.thresholds import Thresholds

METRICS = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """A map's transition in numbers, as shares of its range per cell (or per doubling).

    ``largest`` and ``median`` are taken over the lines that cross, in each seed, and averaged over the seeds; the
    errors are standard errors over seeds, nan with fewer than two. ``of_means`` and ``median_of_means`` are those of
    the map of the seed means. ``n_crossing`` of its ``n_lines`` lines cross, and on ``n_seeds`` of the seeds' maps some
    line does. What has no number is nan.
    """

    largest: float
    largest_error: float
    median: float
    median_error: float
    of_means: float
    median_of_means: float
    n_seeds: int
    n_crossing: int
    n_lines: int


def transitions(
    runs: pd.DataFrame, thresholds: Thresholds | None = None, *, metric: str = "test", along: str = "x"
) -> pd.DataFrame:
    """One row per line of cells, of the map of seed means and then of each seed: how far the metric rises.

    ``runs`` has one row per run: x, y, seed, status and both metrics. Columns: seed (nan for the means), line (its
    constant value), place (name of Place), cells (the step as a share of the range) and doubling (the same per doubling
    of the axis value, nan where that is not positive). With ``along`` "x" lines are rows, with "y" columns. Columns and
    rows with less than half the values of the fullest are left out, and seeds that lack cells which others have.
    """
    thresholds = thresholds or Thresholds()
    means = seed_means(runs)
    which = METRICS.index(metric)
    cut, (low, high) = thresholds.of(means)[which], thresholds.spans(means)[which]
    column = (thresholds.train_column, thresholds.test_column)[which]
    kept, xs, ys = _well_filled(means)
    maps = [(np.nan, matrix(means, column)[kept])]
    maps += _of_seeds(runs, column, xs, ys)
    lines, axis = (ys, xs) if along == "x" else (xs, ys[::-1])  # data are easy where there are many
    unit = high - low if high > low else np.nan
    rows = [
        {"seed": seed, "line": float(line), **_step(row, axis, cut, unit)}
        for seed, values in maps
        for line, row in zip(lines, values if along == "x" else values.T[:, ::-1], strict=True)
    ]
    return pd.DataFrame(rows, columns=["seed", "line", "place", "cells", "doubling"])


def sharpness(table: pd.DataFrame, *, per: str = "cells") -> Sharpness:
    """The sharpness of a map from its ``transitions``, per ``cells`` or per ``doubling``."""
    means = table[table["seed"].isna()]
    of_seed = table[table["seed"].notna()].groupby("seed")[per]
    largest, median = (found.dropna().to_numpy(float) for found in (of_seed.max(), of_seed.median()))
    return Sharpness(
        largest=_mean(largest),
        largest_error=_standard_error(largest),
        median=_mean(median),
        median_error=_standard_error(median),
        of_means=float(means[per].max()),
        median_of_means=float(means[per].median()),
        n_seeds=len(largest),
        n_crossing=int((means["place"] == Place.INSIDE.name).sum()),
        n_lines=len(means),
    )


def rises(values: Floats, threshold: float) -> Floats:
    """On each row of values (n_y, n_x) its first rise above the threshold, from one cell to the next; nan without."""
    found = ((row, *first_rise(row, threshold)) for row in values)
    return np.array([row[k + 1] - row[k] if place is Place.INSIDE else np.nan for row, k, place in found])


def _well_filled(means: pd.DataFrame) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], Floats, Floats]:
    """Where the well-filled rows and columns of a map lie in its matrix, and their values along x and y."""
    there = np.isfinite(matrix(means, "train_loss"))
    rows, columns = (well_filled(there.sum(axis=axis)) for axis in (1, 0))
    xs, ys = axes(means)
    return (rows[:, None], columns), xs[columns], ys[rows]


def _of_seeds(runs: pd.DataFrame, column: str, xs: Floats, ys: Floats) -> Iterator[tuple[float, Floats]]:
    """The maps (n_y, n_x) on these axes of the seeds that ran on all cells, or nearly: a part may lack the steepest."""
    there = runs[runs["seed"].notna() & runs["x"].isin(xs) & runs["y"].isin(ys)]
    seeds, which, counts = np.unique(there["seed"].to_numpy(float), return_inverse=True, return_counts=True)
    values = np.full((len(seeds), len(ys), len(xs)), np.nan)
    cell = np.searchsorted(ys, there["y"]), np.searchsorted(xs, there["x"])
    values[which, *cell] = there[column].to_numpy(float, na_value=np.nan)
    for seed, count, of_seed in zip(seeds, counts, values, strict=True):
        if count >= FULL * counts.max():
            yield float(seed), of_seed


def _step(row: Floats, axis: Floats, threshold: float, unit: float) -> dict[str, str | float]:
    """The place of a line's first rise above the threshold, and its size per cell and per doubling."""
    k, place = first_rise(row, threshold)
    if place is not Place.INSIDE:
        return {"place": place.name, "cells": np.nan, "doubling": np.nan}
    step, before, after = (row[k + 1] - row[k]) / unit, axis[k], axis[k + 1]
    doublings = abs(log2(after / before)) if min(before, after) > 0 else np.nan
    return {"place": place.name, "cells": step, "doubling": step / doublings}


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else np.nan


def _standard_error(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
