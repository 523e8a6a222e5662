"""What arXiv:2605.29153 claims of model families, judged by maps computed here: C01 and C02 of its section 2.2.

A family is judged by its map of the problem that Fig. 1 shows, by that map's own thresholds (f = 0.30). A transition is
the largest step of the mean test error across its threshold from one coefficient to the next, as a share of its range
(p5 to p95): ``Sharpness.of_means`` of ``regimes.transition``. A map decides once its columns and rows are filled and it
has four of each: a coarser grid makes every step larger, but fewer cells than that make no map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sciml_backend.regimes.cells import axes
from sciml_backend.regimes.claims import RESAMPLES, Claim, Finding, Grid, judge, unseen
from sciml_backend.regimes.footing import FULL
from sciml_backend.regimes.seeds import seed_means
from sciml_backend.regimes.thresholds import Thresholds
from sciml_backend.regimes.transition import rises

PROBLEMS = {"pinn": "convection", "fno": "poisson_2d", "pino": "darcy", "node": "pendulum", "pinode": "pendulum"}
"""The problem on which Fig. 1 shows each family."""

LABELS = {family: family.upper() for family in PROBLEMS}
LEAST_SHARE = 3.0
"""The percentage of a map's cells that makes a regime present (``data/published/claims.csv``)."""
LEAST_LINES = 4
"""The columns, and rows, that a map must have."""


@dataclass(frozen=True)
class FamilyMap:
    """A map by run with what is low in both metrics, and the range of its test error."""

    grid: Grid
    train: float
    test: float
    span: float

    @classmethod
    def of(cls, runs: pd.DataFrame) -> FamilyMap:
        """The map of ``runs`` (x, y, seed, status, train_loss, test_error)."""
        means, thresholds = seed_means(runs), Thresholds()
        (train, test), (_, (low, high)) = thresholds.of(means), thresholds.spans(means)
        return cls(Grid.of(runs), train, test, high - low)

    def least_share(self) -> float:
        """The share of the rarest of the regimes I to III among the labelled cells, in percent; nan without any."""
        labels = self.grid.regime(self.train, self.test)
        found = [(labels == numeral).sum() for numeral in (1, 2, 3)]
        return float(100 * min(found) / (labels > 0).sum()) if labels.any() else np.nan

    def steepest(self) -> float:
        """The largest step of the mean test error across its threshold; nan where no row has one."""
        steps = rises(self.grid.means()[1], self.test)
        known = steps[np.isfinite(steps)]
        return float(known.max() / self.span) if len(known) and self.span > 0 else np.nan


@dataclass(frozen=True)
class FamilyMaps:
    """The maps by family."""

    of: Mapping[str, FamilyMap]

    def resampled(self, rng: np.random.Generator) -> FamilyMaps:
        """The same with every cell's seeds drawn anew; thresholds and ranges stay."""
        return FamilyMaps({name: replace(found, grid=found.grid.resampled(rng)) for name, found in self.of.items()})


def judged_families(runs: Mapping[str, pd.DataFrame], *, resamples: int = RESAMPLES) -> list[Finding]:
    """Judge both claims by each family's runs (x, y, seed, status, train_loss, test_error), by the family's name."""
    missing = {family: words for family in PROBLEMS if (words := _missing(family, runs.get(family)))}
    maps = {family: FamilyMap.of(runs[family]) for family in PROBLEMS if family not in missing}
    return [_judged(claim, maps, missing, resamples) for claim in CLAIMS]


def _judged(
    claim: Claim[FamilyMaps], maps: Mapping[str, FamilyMap], missing: Mapping[str, str], resamples: int
) -> Finding:
    if lacking := [missing[family] for family in claim.needs if family in missing]:
        return unseen(claim, lacking)
    return judge(claim, FamilyMaps({family: maps[family] for family in claim.needs}), resamples=resamples)


def _missing(family: str, runs: pd.DataFrame | None) -> str:
    """What a family's map lacks, in words; empty when it is full."""
    name = f"{family}/{PROBLEMS[family]}"
    if runs is None or runs.empty:
        return name
    means = seed_means(runs)
    xs, ys = axes(means)
    n_filled = int(means["train_loss"].notna().sum())
    if n_filled < FULL * len(xs) * len(ys):
        return f"{name} ({n_filled} of {len(xs) * len(ys)} cells)"
    return "" if min(len(xs), len(ys)) >= LEAST_LINES else f"{name} ({len(xs)} × {len(ys)} cells are too few)"


def _share(family: str) -> Callable[[FamilyMaps], float]:
    return lambda maps: maps.of[family].least_share()


def _ahead(sharp: str, smooth: str) -> Callable[[FamilyMaps], float]:
    return lambda maps: maps.of[sharp].steepest() - maps.of[smooth].steepest()


ORDER = (("pinn", "pino"), ("pinn", "fno"), ("pinn", "node"), ("pino", "fno"), ("pino", "node"))
"""Whose transition is claimed to be sharper than whose."""

CLAIMS: tuple[Claim[FamilyMaps], ...] = (
    *(
        Claim(
            "C01", f"{LABELS[family]} has the regimes I, II and III", "share of the rarest of them, %", (family,),
            _share(family), LEAST_SHARE,
        )
        for family in PROBLEMS
    ),
    *(
        Claim(
            "C02", f"{LABELS[sharp]}'s transition is sharper than {LABELS[smooth]}'s",
            "difference of the largest steps of the test error, in ranges per cell", (sharp, smooth),
            _ahead(sharp, smooth), 0,
        )
        for sharp, smooth in ORDER
    ),
)  # fmt: skip
