"""A map as rows (one per cell), as axes and as matrices; the states of cells that have no value."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COUNTS = ("n_seeds", "n_diverged", "n_failed")


def axes(grid: pd.DataFrame) -> tuple[Floats, Floats]:
    """The values along x and along y, ascending; a cell's index is its position here."""
    return np.unique(grid["x"].to_numpy(float)), np.unique(grid["y"].to_numpy(float))


def matrix(grid: pd.DataFrame, column: str) -> Floats:
    """One column as (len(ys), len(xs)), lowest y first; nan where a cell has no finite value.

    Raises ValueError when two rows are the same cell: average the seeds first.
    """
    xs, ys = axes(grid)
    place = np.searchsorted(ys, grid["y"]) * len(xs) + np.searchsorted(xs, grid["x"])
    if len(np.unique(place)) < len(grid):
        raise ValueError("A map has one row per cell (x, y); average the seeds first.")
    out = np.full(len(ys) * len(xs), np.nan)
    values = grid[column].to_numpy(float, na_value=np.nan)
    out[place] = np.where(np.isfinite(values), values, np.nan)
    return out.reshape(len(ys), len(xs))


def complete(
    grid: pd.DataFrame,
    xs: Iterable[float] = (),
    ys: Iterable[float] = (),
    running: Collection[tuple[float, float]] = (),
) -> pd.DataFrame:
    """The full grid, row by row from the lowest y, with a column ``state``.

    The axes are ``xs`` and ``ys`` and whatever else the map has, so no cell is lost. ``running`` holds the (x, y) that
    are queued or being trained now. A cell is ``running``, else ``ok`` when some seed ended with a finite loss, else
    ``diverged`` or ``failed`` when all that ran did so, else ``missing``. A running cell keeps the value it has.
    """
    full = pd.MultiIndex.from_product(
        [_axis(ys, grid["y"], running, 1), _axis(xs, grid["x"], running, 0)], names=["y", "x"]
    )
    out = grid.set_index(["y", "x"]).reindex(full).reset_index()
    for name in COUNTS:
        out[name] = out[name].fillna(0).astype(int) if name in out else 0
    out["state"] = _states(out, set(running))
    return out


def _axis(planned: Iterable[float], found: pd.Series, running: Collection[tuple[float, float]], side: int) -> Floats:
    return np.unique(np.array([*planned, *found, *(cell[side] for cell in running)], dtype=float))


def _states(grid: pd.DataFrame, running: set[tuple[float, float]]) -> NDArray[np.str_]:
    claimed = [cell in running for cell in zip(grid["x"], grid["y"], strict=True)]
    has_value = np.isfinite(grid["train_loss"].to_numpy(float, na_value=np.nan))
    return np.select(
        [np.array(claimed, dtype=bool), has_value, grid["n_diverged"] > 0, grid["n_failed"] > 0],
        ["running", "ok", "diverged", "failed"],
        "missing",
    )
