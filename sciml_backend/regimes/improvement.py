"""Relative improvement of one strategy over another, (base - method) / base in percent; arXiv:2605.29153, Fig. 4."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sciml_backend.regimes.cells import COUNTS


def improvement(base: pd.DataFrame, method: pd.DataFrame, column: str) -> pd.DataFrame:
    """Per cell, from the seed means of finite runs: columns x, y, base, method, improvement (%), counts and states.

    ``base`` and ``method`` have one row per cell; seed counts and states come along where both have them, ending in
    ``_base`` and ``_method``. A cell that only one of the two has, or a base of zero, gives nan.
    """
    wanted = ["x", "y", column, *(name for name in (*COUNTS, "state") if name in base and name in method)]
    both = base[wanted].merge(method[wanted], on=["x", "y"], how="outer", suffixes=("_base", "_method"))
    both = both.rename(columns={f"{column}_base": "base", f"{column}_method": "method"})
    both["improvement"] = _percent(both["base"], both["method"])
    return both.sort_values(["y", "x"], ignore_index=True)


def paired_improvement(base: pd.DataFrame, method: pd.DataFrame, column: str) -> pd.DataFrame:
    """The mean over seeds of each seed's own improvement (%): columns x, y, improvement, n_pairs.

    ``base`` and ``method`` have one row per run, with a column ``seed``; pairs without two finite values are left out.
    """
    wanted = ["x", "y", "seed", column]
    pairs = base[wanted].merge(method[wanted], on=["x", "y", "seed"], suffixes=("_base", "_method"))
    pairs["improvement"] = _percent(pairs[f"{column}_base"], pairs[f"{column}_method"])
    cells = pairs.groupby(["y", "x"])["improvement"]
    out = cells.agg(improvement="mean", n_pairs="count").reset_index()
    return out[["x", "y", "improvement", "n_pairs"]]


def _percent(base: pd.Series, method: pd.Series) -> pd.Series:
    before, after = base.astype(float), method.astype(float)
    ratio = 100 * (before - after) / before.where(before != 0)
    return ratio.where(np.isfinite(ratio))
