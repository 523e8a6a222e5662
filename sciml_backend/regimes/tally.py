"""How many cells each strategy has in each regime, and in which regimes of a baseline it does better or worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from sciml_backend.regimes.labels import REGIMES, labelled
from sciml_backend.regimes.thresholds import Thresholds
from sciml_backend.regimes.winners import Verdict

NUMERALS = [regime.value for regime in REGIMES]
Cell = tuple[float, float]


def shared_cells(grids: Mapping[str, pd.DataFrame]) -> set[Cell]:
    """The cells (x, y) that every map has, with or without a value."""
    return set.intersection(*map(_cells, grids.values())) if grids else set()


def regime_counts(grids: Mapping[str, pd.DataFrame], thresholds: Mapping[str, Thresholds]) -> pd.DataFrame:
    """One row per map, in the order given: its cells in regimes I to IV, those without a label, and missing ones.

    ``grids`` has one row per cell and ``thresholds`` what is low, both by the map's name. Cells are counted among those
    that all maps have, so that rows compare; without a label (``lost``) are those whose seeds all diverged or failed.
    ``missing`` are the cells that some other map has and this one has not.
    """
    shared = shared_cells(grids)
    everywhere = set().union(*map(_cells, grids.values()))
    rows = {}
    for name, grid in grids.items():
        common = [cell in shared for cell in zip(grid["x"], grid["y"], strict=True)]
        found = labelled(grid, thresholds[name])["label"].to_numpy(object)[common]
        counts = Counter(found)
        rows[name] = {numeral: counts[numeral] for numeral in NUMERALS} | {
            "lost": counts[None],
            "missing": len(everywhere) - len(grid),
        }
    return pd.DataFrame.from_dict(rows, orient="index", dtype=int)


def gains(verdicts: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """How many of the baseline's cells in each regime have which verdict: columns map, regime, one per Verdict, cells.

    ``verdicts`` is that of ``against``, ``baseline`` the baseline's labelled map. Cells without a label are left out,
    as are regimes in which a map has no cell.
    """
    labels = dict(zip(zip(baseline["x"], baseline["y"], strict=True), baseline["label"], strict=True))
    columns = (verdicts[name] for name in ("map", "x", "y", "verdict"))
    counts = Counter((name, labels.get((x, y)), verdict) for name, x, y, verdict in zip(*columns, strict=True))
    rows = [
        {"map": name, "regime": numeral} | {verdict.name: counts[name, numeral, verdict.name] for verdict in Verdict}
        for name in dict.fromkeys(verdicts["map"])
        for numeral in NUMERALS
    ]
    table = pd.DataFrame(rows, columns=["map", "regime", *(verdict.name for verdict in Verdict)])
    table["cells"] = table[[verdict.name for verdict in Verdict]].sum(axis=1)
    return table[table["cells"] > 0].reset_index(drop=True)


def _cells(grid: pd.DataFrame) -> set[Cell]:
    return set(zip(grid["x"], grid["y"], strict=True))
