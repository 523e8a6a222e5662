"""Which strategy is lowest in which cell, and whether its seeds bear it out.

Means, lost seeds and the test are those of ``regimes.seeds``. A p belongs to its cell alone: no correction is made for
the number of cells, nor for the winner having been picked among several.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import numpy as np
import pandas as pd

from sciml_backend.regimes.seeds import LEAST_SEEDS, scores, welch

SIGNIFICANCE = 0.05


class Win(Enum):
    """What can be said of a cell; the values are the sentences a page shows."""

    WON = "lowest, and significantly below the next"
    UNRIVALLED = "lowest: every run of the others diverged or failed"
    LEADS = "lowest, but the seeds do not tell it from the next"
    TIED = "exactly equal"
    UNDECIDABLE = f"not decidable: fewer than {LEAST_SEEDS} seeds"
    LOST = "every run diverged or failed"


class Verdict(Enum):
    """A strategy beside the baseline in one cell; the values say it in words."""

    BETTER = "significantly lower"
    LOWER = "lower, not significantly"
    EQUAL = "exactly equal"
    HIGHER = "higher, not significantly"
    WORSE = "significantly higher"
    UNDECIDABLE = f"not decidable: fewer than {LEAST_SEEDS} seeds"
    RESCUED = "ends where every run of the baseline diverged or failed"
    LOST = "every run diverged or failed"


def winners(
    runs: pd.DataFrame,
    metric: str = "test_error",
    *,
    thresholds: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """One row per cell that at least two maps have: who has the lowest geometric mean over seeds, and how surely.

    ``runs`` has one row per run (map, x, y, seed, status, the metric). Columns: x, y, state (the name of a Win), winner
    and runner_up (names of maps; the winner is empty where nobody won), lowest and next (geometric means, infinite
    where all seeds are lost), low (whether the lowest is so by its map's threshold; true where ``thresholds`` has
    none), p, n_maps, n_seeds and n_lost (the winner's), n_next and n_lost_next.
    """
    found = scores(runs, metric).sort_values(["y", "x", "mean", "n_lost", "map"], ignore_index=True)
    place = found.groupby(["y", "x"]).cumcount()
    sizes = found.groupby(["y", "x"])["map"].transform("size")
    first, second = (found[(place == k) & (sizes > 1)].reset_index(drop=True) for k in (0, 1))
    p = welch(first, second)
    state = _states(first, second, p)
    most = first["map"].map(dict(thresholds or {})).astype(float).fillna(np.inf)
    return pd.DataFrame(
        {
            "x": first["x"],
            "y": first["y"],
            "state": state,
            "winner": first["map"].where(np.isin(state, ("WON", "UNRIVALLED", "LEADS")), ""),
            "runner_up": second["map"],
            "lowest": 10 ** first["mean"],
            "next": 10 ** second["mean"],
            "low": 10 ** first["mean"] <= most,
            "p": p,
            "n_maps": sizes[(place == 0) & (sizes > 1)].to_numpy(int),
            "n_seeds": first["n"],
            "n_lost": first["n_lost"],
            "n_next": second["n"],
            "n_lost_next": second["n_lost"],
        }
    )


def _states(first: pd.DataFrame, second: pd.DataFrame, p: np.ndarray) -> np.ndarray:
    conditions = {
        Win.LOST: np.isinf(first["mean"]),
        Win.UNDECIDABLE: np.minimum(first["n"], second["n"]) < LEAST_SEEDS,
        Win.UNRIVALLED: np.isinf(second["mean"]),
        Win.TIED: (first["mean"] == second["mean"]) & (first["n_lost"] == second["n_lost"]),
        Win.WON: p < SIGNIFICANCE,
    }
    return np.select(list(conditions.values()), [state.name for state in conditions], Win.LEADS.name)


def against(runs: pd.DataFrame, baseline: str, metric: str = "test_error") -> pd.DataFrame:
    """One row per other map and cell that it shares with the baseline: map, x, y, verdict (name of a Verdict), p.

    Two maps are judged by their own runs alone: a lost one counts as the worst of theirs.
    """
    others = [name for name in runs["map"].unique() if name != baseline]
    pairs = pd.concat([_beside(runs[runs["map"].isin([baseline, name])], baseline, metric) for name in others or [""]])
    other = pairs[["mean", "variance", "n"]]
    own = pairs[[f"{name}_base" for name in other]].set_axis(other.columns, axis=1)
    p = welch(other, own)
    sure = p < SIGNIFICANCE
    conditions = {
        Verdict.UNDECIDABLE: np.minimum(other["n"], own["n"]) < LEAST_SEEDS,
        Verdict.LOST: np.isinf(other["mean"]),
        Verdict.RESCUED: np.isinf(own["mean"]),
        Verdict.EQUAL: other["mean"] == own["mean"],
        Verdict.BETTER: sure & (other["mean"] < own["mean"]),
        Verdict.WORSE: sure & (other["mean"] > own["mean"]),
        Verdict.LOWER: other["mean"] < own["mean"],
    }
    verdict = np.select(list(conditions.values()), [v.name for v in conditions], Verdict.HIGHER.name)
    return pairs[["map", "x", "y"]].assign(verdict=verdict, p=p)


def _beside(runs: pd.DataFrame, baseline: str, metric: str) -> pd.DataFrame:
    """The scores of a map's cells with those that the baseline has there, as columns with ``_base``."""
    found = scores(runs, metric)
    base = found[found["map"] == baseline].drop(columns="map")
    return found[found["map"] != baseline].merge(base, on=["x", "y"], suffixes=("", "_base"))
