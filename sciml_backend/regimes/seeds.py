"""What the seeds of a cell say together: means and medians of runs, and whether two sets of seeds differ.

Losses span decades, so strategies are compared by the mean of log10 over seeds, the geometric mean. A lost seed, one
that diverged or failed, counts as the worst value that any run of its cell has. Two strategies differ significantly by
Welch's t test on log10 (Welch 1947, doi:10.1093/biomet/34.1-2.28), which takes seeds as unpaired: training is chaotic,
so equal starts do not make equal runs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import stdtr

from sciml_backend.regimes.cells import Floats

LOST = ("diverged", "failed")
LEAST_SEEDS = 2
"""Fewer seeds decide nothing."""

_CELL = ["x", "y"]


def seed_means(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per cell (x, y) as maps have them: means of train_loss and test_error over finite runs, and counts.

    ``runs`` has one row per run: x, y, seed, status and the two metrics. ``n_seeds`` counts the finite runs, nan where
    the runs are published means, which have no seed.
    """
    lost = {f"n_{status}": (runs["status"] == status).astype(int) for status in LOST}
    counted = runs["train_loss"].notna().where(runs["seed"].notna())
    cells = runs.assign(n_seeds=counted.astype(float), **lost).groupby(_CELL, as_index=False)
    means = {name: (name, "mean") for name in ("train_loss", "test_error")}
    counts = {name: (name, "sum") for name in lost}
    found = cells.agg(**means, n_seeds=("n_seeds", lambda seeds: seeds.sum(min_count=1)), **counts)
    return found.astype({name: float for name in means})


def seed_medians(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row per cell (x, y): the median of a column over seeds; infinite where half of them or more have no value."""
    values = runs[column].astype(float).fillna(np.inf)
    return runs[_CELL].assign(**{column: values}).groupby(_CELL, as_index=False).median()


def scores(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per map and cell: map, x, y, mean and variance of log10 of the metric, n seeds, n_lost of them.

    Runs that are not lost and have no value are left out: nothing is known of them. The mean is infinite where all
    seeds are lost.
    """
    lost = runs["status"].isin(LOST)
    values = runs[metric].astype(float).where(~lost)
    values = values.where(np.isfinite(values)).clip(lower=np.finfo(float).tiny)
    logs = pd.Series(np.log10(values), index=runs.index)
    known = runs[["map", *_CELL]].assign(log=logs, lost=lost)[lost | logs.notna()]
    worst = known.groupby(_CELL)["log"].transform("max")
    known["log"] = known["log"].fillna(worst)
    found: pd.DataFrame = known.groupby(["map", *_CELL], as_index=False).agg(
        mean=("log", "mean"), variance=("log", "var"), n=("lost", "size"), n_lost=("lost", "sum")
    )
    return found.assign(mean=found["mean"].where(found["n_lost"] < found["n"], np.inf))


def welch(first: pd.DataFrame, second: pd.DataFrame) -> Floats:
    """Two-sided p of no difference, row by row of two tables of ``scores``; nan where either has one seed only.

    Where neither varies p is 1 for equal means, else 0. A strategy that lost all seeds is never compared by p.
    """
    a, b = (table["variance"].to_numpy(float) / table["n"].to_numpy(float) for table in (first, second))
    m, n = (table["n"].to_numpy(float) for table in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = first["mean"].to_numpy(float) - second["mean"].to_numpy(float)
        freedom = (a + b) ** 2 / (a**2 / (m - 1) + b**2 / (n - 1))
        t = np.where(apart == 0, 0.0, np.abs(apart) / np.sqrt(a + b))
        p = np.where(np.isinf(t), 0.0, 2 * stdtr(np.where(a + b > 0, freedom, 1.0), -t))
    decidable = np.isfinite(apart) & (np.minimum(m, n) >= LEAST_SEEDS)
    return np.asarray(np.where(decidable, p, np.nan))
