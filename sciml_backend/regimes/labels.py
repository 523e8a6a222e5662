"""The four regimes of a cell, by its training loss and its test error; arXiv:2605.29153, section 2.1.

The paper names I to III. Cells with a high training loss and a low test error exist too (a loss floor, or a residual
that the reference solution does not satisfy) and are not failures, so they have a label of their own.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sciml_backend.regimes.thresholds import Thresholds


class Regime(Enum):
    """A regime by its numeral; ``sentence`` says what it means."""

    WELL_TRAINED = "I"
    UNDER_TRAINED = "II"
    OVER_TRAINED = "III"
    TRAIN_HIGH_TEST_LOW = "IV"

    @property
    def sentence(self) -> str:
        """One line for a legend."""
        return _SENTENCES[self]


_SENTENCES = {
    Regime.WELL_TRAINED: "well-trained: training loss and test error are low",
    Regime.UNDER_TRAINED: "under-trained: training loss and test error are high, the optimiser fails",
    Regime.OVER_TRAINED: "over-trained: training loss is low, test error is high, the data are too few",
    Regime.TRAIN_HIGH_TEST_LOW: "train high, test low: a loss floor or an inconsistent residual, not a failure",
}
REGIMES = tuple(Regime)


def label(train: ArrayLike, test: ArrayLike, thresholds: tuple[float, float]) -> NDArray[Any]:
    """The numerals "I" to "IV", None where a value or its threshold is not finite.

    ``train`` and ``test`` have one shape, ``thresholds`` is (T_train, T_test). Low means at or below the threshold.
    """
    train, test = np.asarray(train, dtype=float), np.asarray(test, dtype=float)
    low_train, low_test = train <= thresholds[0], test <= thresholds[1]
    numerals = np.array([["II", "IV"], ["III", "I"]], dtype=object)[low_train.astype(int), low_test.astype(int)]
    known = np.isfinite(train) & np.isfinite(test) & bool(np.isfinite(thresholds).all())
    return np.asarray(np.where(known, numerals, None))


def labelled(grid: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """The map with a column ``label``."""
    train, test = grid[thresholds.train_column], grid[thresholds.test_column]
    labels = label(_floats(train), _floats(test), thresholds.of(grid))
    return grid.assign(label=pd.Series(labels, index=grid.index, dtype=object))


def shares(labels: ArrayLike) -> dict[str, float]:
    """Each regime's share of the labelled cells, in [0, 1]; nan for all when no cell has a label."""
    found = np.asarray(labels, dtype=object).ravel()
    counts = {regime.value: int((found == regime.value).sum()) for regime in REGIMES}
    total = sum(counts.values())
    return {numeral: count / total if total else float("nan") for numeral, count in counts.items()}


def _floats(column: pd.Series) -> NDArray[np.float64]:
    return column.to_numpy(float, na_value=np.nan)
