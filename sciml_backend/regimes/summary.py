"""One map's regimes as plain JSON: what ``python -m sciml_backend regimes MAP --json`` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from sciml_backend.regimes.boundaries import LEVELS, Boundary, boundaries
from sciml_backend.regimes.cells import axes
from sciml_backend.regimes.labels import labelled, shares
from sciml_backend.regimes.thresholds import Thresholds


def summary(
    grid: pd.DataFrame, thresholds: Thresholds | None = None, *, levels: Sequence[float] = LEVELS
) -> dict[str, Any]:
    """Thresholds, rules, axes, cells, each regime's share, and boundaries; None stands where a number is missing.

    ``grid`` has one row per cell: x, y, the two metrics, and n_seeds when it is known. Boundaries are polylines
    [[x, y], …] in cell indices, 0 being the first value of ``axes``.
    """
    thresholds = thresholds or Thresholds()
    cells = labelled(grid, thresholds)
    train, test = thresholds.of(grid)
    xs, ys = axes(grid)
    return {
        "thresholds": {"train": _number(train), "test": _number(test)},
        "rules": {"train": asdict(thresholds.train), "test": asdict(thresholds.test)},
        "axes": {"x": xs.tolist(), "y": ys.tolist()},
        "shares": {numeral: _number(share) for numeral, share in shares(cells["label"]).items()},
        "cells": _cells(cells, thresholds),
        "boundaries": [_boundary(found) for found in boundaries(grid, thresholds, levels=levels)],
    }


def _cells(cells: pd.DataFrame, thresholds: Thresholds) -> list[dict[str, Any]]:
    seeds = cells["n_seeds"] if "n_seeds" in cells else pd.Series(float("nan"), index=cells.index)
    columns = (cells["x"], cells["y"], cells[thresholds.train_column], cells[thresholds.test_column], seeds)
    return [
        {
            "x": float(x),
            "y": float(y),
            "train": _number(train),
            "test": _number(test),
            "seeds": None if _number(count) is None else int(count),
            "label": numeral,
        }
        for x, y, train, test, count, numeral in zip(*columns, cells["label"], strict=True)
    ]


def _boundary(found: Boundary) -> dict[str, Any]:
    return {
        "metric": found.metric,
        "level": found.level,
        "threshold": _number(found.threshold),
        "lines": [line.round(4).tolist() for line in found.lines],
    }


def _number(value: Any) -> float | None:
    return float(value) if pd.notna(value) and math.isfinite(value) else None
