"""Where low ends and high begins on a map: three rules for one number.

``range``       T = p_low + f (p_high - p_low), percentiles of the map's finite values (f = 0.30 of p5 to p95 gives
                Table 5 of arXiv:2605.29153 back for its PINN map);
``percentile``  T = a percentile of the map's finite values;
``absolute``    T itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sciml_backend.run import BadRequest

RULES = ("range", "percentile", "absolute")
_UPPER = {"range": 1.0, "percentile": 100.0, "absolute": math.inf}


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A rule and its number: f in [0, 1], a percentile in [0, 100], or T itself (at least 0).

    ``low`` and ``high`` are the percentiles that the range rule spans. Raises BadRequest outside these ranges.
    """

    rule: str = "range"
    value: float = 0.30
    low: float = 5.0
    high: float = 95.0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise BadRequest(f"A threshold rule is one of {', '.join(RULES)}; got {self.rule!r}.")
        upper = _UPPER[self.rule]
        if not (math.isfinite(self.value) and 0 <= self.value <= upper):
            wanted = "at least 0" if math.isinf(upper) else f"between 0 and {upper:g}"
            raise BadRequest(f"The number of a threshold by {self.rule} is {wanted}; got {self.value:g}.")
        if not 0 <= self.low < self.high <= 100:
            got = f"{self.low:g} and {self.high:g}"
            raise BadRequest(f"A range spans two percentiles from 0 to 100, the lower first; got {got}.")

    def of(self, values: ArrayLike, scale: float = 1.0) -> float:
        """The threshold of these values, non-finite ones left out; nan where the rule needs values and none is finite.

        ``scale`` multiplies f, the percentile (at most 100) or T: 1 + level gives a perturbed threshold.
        """
        number = self.value * scale
        if self.rule == "absolute":
            return number
        if self.rule == "percentile":
            finite = _finite(values)
            return float(np.percentile(finite, min(number, 100.0))) if finite.size else math.nan
        low, high = self.span(values)
        return low + number * (high - low)

    def span(self, values: ArrayLike) -> tuple[float, float]:
        """The two percentiles that the range rule spans, whatever the rule is; nan where no value is finite."""
        finite = _finite(values)
        if not finite.size:
            return math.nan, math.nan
        low, high = np.percentile(finite, [self.low, self.high])
        return float(low), float(high)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=float)
    return np.asarray(found[np.isfinite(found)])


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The pair of a map: of its training loss and of its test error, and the columns these are read from.

    A map that is not full yet may borrow: with a ``reference`` the rules read that map's values instead.
    """

    train: Threshold = field(default_factory=Threshold)
    test: Threshold = field(default_factory=Threshold)
    train_column: str = "train_loss"
    test_column: str = "test_error"
    reference: pd.DataFrame | None = field(default=None, compare=False, repr=False)

    def of(self, grid: pd.DataFrame, scale: float = 1.0) -> tuple[float, float]:
        """(T_train, T_test) of a map with one row per cell."""
        values = self._values(grid)
        return self.train.of(values[self.train_column], scale), self.test.of(values[self.test_column], scale)

    def spans(self, grid: pd.DataFrame) -> tuple[tuple[float, float], tuple[float, float]]:
        """The two ends of the range of the training loss, and those of the test error, of what ``of`` reads."""
        values = self._values(grid)
        return self.train.span(values[self.train_column]), self.test.span(values[self.test_column])

    def _values(self, grid: pd.DataFrame) -> pd.DataFrame:
        return grid if self.reference is None else self.reference
