"""How many cells each strategy has in each regime, and in which regimes of a baseline it does better or worse."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from sciml_backend.regimes.cells import complete
from sciml_backend.regimes.labels import REGIMES, labelled
from sciml_backend.regimes.thresholds import Thresholds
from sciml_backend.regimes.winners import Verdict

NUMERALS = [regime.value for regime in REGIMES]


def shared_cells(grids: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The cells (x, y) that every map has, with or without a value, lowest y first."""
    cells = [grid[["x", "y"]] for grid in grids.values()]
    if not cells:
        return pd.DataFrame(columns=["x", "y"], dtype=float)
    shared = cells[0]
    for more in cells[1:]:
        shared = shared.merge(more, on=["x", "y"])
    return shared.sort_values(["y", "x"], ignore_index=True)


def regime_counts(grids: Mapping[str, pd.DataFrame], thresholds: Mapping[str, Thresholds]) -> pd.DataFrame:
    """One row per map, in the order given: its cells in regimes I to IV, diverged and failed ones, and missing ones.

    ``grids`` has one row per cell and ``thresholds`` what is low, both by the map's name. Regimes and states are
    counted over the cells that all maps have, so that rows compare; ``missing`` are the cells that some other map has
    and this one has not.
    """
    shared = shared_cells(grids)
    everywhere = pd.concat([grid[["x", "y"]] for grid in grids.values()]).drop_duplicates() if grids else shared
    rows = {}
    for name, grid in grids.items():
        cells = complete(labelled(grid, thresholds[name])).merge(shared, on=["x", "y"])
        regimes, states = cells["label"].value_counts(), cells["state"].value_counts()
        rows[name] = {numeral: regimes.get(numeral, 0) for numeral in NUMERALS} | {
            "diverged": states.get("diverged", 0),
            "failed": states.get("failed", 0),
            "missing": len(everywhere) - len(grid),
        }
    return pd.DataFrame.from_dict(rows, orient="index", dtype=int)


def gains(verdicts: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """How many of the baseline's cells in each regime have which verdict: columns map, regime, one per Verdict, cells.

    ``verdicts`` is that of ``against``, ``baseline`` the baseline's labelled map. Cells without a label are left out.
    """
    names = [verdict.name for verdict in Verdict]
    found = verdicts.merge(baseline[["x", "y", "label"]].dropna(), on=["x", "y"])
    counts = found.groupby(["map", "label", "verdict"]).size().unstack(fill_value=0)
    table = counts.reindex(columns=names, fill_value=0).rename_axis(columns=None)
    return table.assign(cells=table.sum(axis=1)).reset_index(names=["map", "regime"])
