"""How far the thresholds of one map carry over to another: the share of cells that keep their regime.

By ``value``, T of one map is what is low on the other. By ``range``, only the fraction of the one map's own range (p5
to p95) at which its T lies is carried, and gives another T by the range of the other. A threshold that follows from the
range rule carries over by range exactly; one that was set by hand, or published, need not.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sciml_backend.regimes.labels import label
from sciml_backend.regimes.thresholds import Thresholds

WAYS = ("value", "range")

Pair = tuple[float, float]


def carry_over(
    grids: Mapping[str, pd.DataFrame], thresholds: Mapping[str, Thresholds], *, way: str = "value"
) -> pd.DataFrame:
    """Shares in [0, 1]: rows are the maps whose thresholds are taken, columns those that they are applied to.

    ``grids`` has one row per cell and ``thresholds`` each map's own, both by name. A share is that of the column's
    labelled cells that keep the label which its own thresholds give them; nan where nothing is labelled, or where the
    range of a map is a single value.
    """
    own = {name: thresholds[name].of(grid) for name, grid in grids.items()}
    places = {name: fractions(grid, thresholds[name]) for name, grid in grids.items()}
    rows = {
        source: {
            target: _kept(
                grid, thresholds[target], own[target],
                own[source] if way == "value" else _placed(places[source], thresholds[target].spans(grid)),
            )
            for target, grid in grids.items()
        }
        for source in grids
    }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(grids), dtype=float)


def fractions(grid: pd.DataFrame, thresholds: Thresholds) -> Pair:
    """At which fraction f of the map's range its T_train and T_test lie; nan where the range is a single value."""
    train, test = (
        (cut - low) / (high - low) if high > low else np.nan
        for cut, (low, high) in zip(thresholds.of(grid), thresholds.spans(grid), strict=True)
    )
    return train, test


def _placed(places: Pair, spans: tuple[Pair, Pair]) -> Pair:
    train, test = (low + place * (high - low) for place, (low, high) in zip(places, spans, strict=True))
    return train, test


def _kept(grid: pd.DataFrame, columns: Thresholds, own: Pair, other: Pair) -> float:
    train, test = (grid[name].to_numpy(float, na_value=np.nan) for name in (columns.train_column, columns.test_column))
    before, after = label(train, test, own), label(train, test, other)
    both = pd.notna(before) & pd.notna(after)
    return float((before[both] == after[both]).mean()) if both.any() else np.nan
