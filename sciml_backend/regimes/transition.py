"""How sharp a map's transition from low to high is.

On each line of cells, walked from its easy end to its hard one, the transition is the step between the two neighbours
between which a metric first rises above its threshold (as in ``regimes.shift``), as a share of the map's own range (p5
to p95 of its seed means, as the threshold rule has it). So 1 is a whole range within one cell. It is a gradient in cell
indices, since the axes are categorical and maps are drawn so; claim C02 of arXiv:2605.29153 is about this one. Because
families have axes of unlike spacing, the same step stands beside it per doubling of the axis value.

Every seed is a map of its own, judged by the threshold and range of the seed means. The map of the means has a smoother
transition than any of its seeds, since seeds do not rise at the same cell; only it compares with published maps, which
are means. A line on which nothing rises, or on which a missing cell may hide where, is counted and has no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np
import pandas as pd

from sciml_backend.regimes.cells import Floats, axes, complete, matrix
from sciml_backend.regimes.footing import FULL
from sciml_backend.regimes.seeds import seed_means
from sciml_backend.regimes.shift import Place, first_rise, on_shared_axes
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
    filled, _ = on_shared_axes(means, means)
    xs, ys = axes(filled)
    kept = runs[runs["x"].isin(xs) & runs["y"].isin(ys)]
    unit = high - low if high > low else np.nan
    maps = [(np.nan, filled), *((seed, complete(of_seed, xs, ys)) for seed, of_seed in _whole(kept))]
    rows = [
        {"seed": seed, "line": line, "place": place.name, **_sizes(step / unit, ends)}
        for seed, cells in maps
        for line, step, place, ends in _steps(cells, column, cut, along)
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


def _whole(runs: pd.DataFrame) -> list[tuple[float, pd.DataFrame]]:
    """The seeds that ran on all cells, or nearly: the steepest line may be missing from a part of a map."""
    seeds = [(float(seed), runs[runs["seed"] == seed]) for seed in np.unique(runs["seed"].dropna().to_numpy(float))]
    most = max((len(of_seed) for _, of_seed in seeds), default=0)
    return [(seed, of_seed) for seed, of_seed in seeds if len(of_seed) >= FULL * most]


def _steps(
    cells: pd.DataFrame, column: str, threshold: float, along: str
) -> list[tuple[float, float, Place, tuple[float, float]]]:
    """Each line's constant value, its step, its place, and the axis values before and after the step."""
    values, (xs, ys) = matrix(cells, column), axes(cells)
    lines, axis, constant = (values, xs, ys) if along == "x" else (values.T[:, ::-1], ys[::-1], xs)
    found = []
    for line, row in zip(constant, lines, strict=True):
        before, place = first_rise(row, threshold)
        inside = place is Place.INSIDE
        step, ends = (row[before + 1] - row[before], axis[before : before + 2]) if inside else (np.nan, (np.nan,) * 2)
        found.append((float(line), float(step), place, (float(ends[0]), float(ends[1]))))
    return found


def _sizes(step: float, ends: tuple[float, float]) -> dict[str, float]:
    doublings = abs(log2(ends[1] / ends[0])) if min(ends) > 0 else np.nan
    return {"cells": step, "doubling": step / doublings}


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else np.nan


def _standard_error(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
