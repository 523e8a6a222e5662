"""What arXiv:2605.29153 claims of model families, judged by maps computed here: C01 and C02 of its section 2.2.

A family is judged by the map that Fig. 1 shows of it (FNO by its other problem, too), cut with that map's own
thresholds (f = 0.30). A transition is the largest step of the mean test error across its threshold from one coefficient
to the next, as a share of the map's range (p5 to p95): ``Sharpness.of_means`` where no row is empty.

A coarser grid makes every step larger and a regime of few cells vanish. So the published map, cut to the columns and
rows that are planned here, is measured in the same way beside ours, and a map decides once its plan is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sciml_backend.regimes.claims import RESAMPLES, Claim, Finding, Grid, judge, unseen
from sciml_backend.regimes.footing import FULL, counted
from sciml_backend.regimes.presets import FIGURE_1
from sciml_backend.regimes.seeds import LEAST_SEEDS, seed_means
from sciml_backend.regimes.thresholds import Thresholds
from sciml_backend.regimes.transition import rises
from sciml_backend.run import MapName

MAPS = {
    **{family.upper(): name for family, name in FIGURE_1.items()},
    "FNO on 2D Poisson": MapName("fno", "poisson_2d", "adam"),
}
"""The maps that are judged, by what they are called in a claim."""

LEAST_SHARE = 3.0
"""The percentage of a map's cells that makes a regime present (``data/published/claims.csv``)."""


@dataclass(frozen=True)
class Stored:
    """What is stored of a map: its runs, those published of the same set-up or a finer one, and its planned axes.

    Runs have columns x, y, seed, status, train_loss and test_error.
    """

    name: str
    runs: pd.DataFrame
    published: pd.DataFrame
    xs: Sequence[float]
    ys: Sequence[float]

    def planned(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Those of the runs on the planned columns and rows: a cell beside them would leave a column all but empty."""
        return runs[runs["x"].isin(self.xs) & runs["y"].isin(self.ys)]


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
    """Maps by the names of ``MAPS``."""

    of: Mapping[str, FamilyMap]

    def resampled(self, rng: np.random.Generator) -> FamilyMaps:
        """The same with every cell's seeds drawn anew; thresholds and ranges stay."""
        return FamilyMaps({name: replace(found, grid=found.grid.resampled(rng)) for name, found in self.of.items()})


def judged_families(stored: Mapping[str, Stored], *, resamples: int = RESAMPLES) -> list[Finding]:
    """Judge both claims by what is stored of each map, by the names of ``MAPS``."""
    missing = {label: words for label in MAPS if (words := _missing(label, stored.get(label)))}
    maps = {label: FamilyMap.of(found.planned(found.runs)) for label, found in stored.items() if label not in missing}
    there = {label: found.planned(found.published) for label, found in stored.items()}
    published = {label: FamilyMap.of(runs) for label, runs in there.items() if len(runs)}
    return [
        replace(_judged(claim, maps, missing, resamples), published=_measured(claim, published)) for claim in CLAIMS
    ]


def _judged(
    claim: Claim[FamilyMaps], maps: Mapping[str, FamilyMap], missing: Mapping[str, str], resamples: int
) -> Finding:
    if lacking := [missing[label] for label in claim.needs if label in missing]:
        return unseen(claim, lacking)
    return judge(claim, FamilyMaps({label: maps[label] for label in claim.needs}), resamples=resamples)


def _measured(claim: Claim[FamilyMaps], maps: Mapping[str, FamilyMap]) -> float:
    return claim.measure(FamilyMaps(maps)) if set(claim.needs) <= set(maps) else np.nan


def _missing(label: str, found: Stored | None) -> str:
    """What a map lacks, in words; empty when it is full, each cell with two seeds at least."""
    if found is None or found.runs.empty:
        return str(MAPS[label])
    means = seed_means(found.runs)
    n_filled, n_planned = counted(means[means["n_seeds"] >= LEAST_SEEDS], found.xs, found.ys)
    return f"{found.name} ({n_filled} of {n_planned} cells)" if n_filled < FULL * n_planned else ""


def _share(label: str) -> Callable[[FamilyMaps], float]:
    return lambda maps: maps.of[label].least_share()


def _ahead(sharp: str, smooth: str) -> Callable[[FamilyMaps], float]:
    return lambda maps: maps.of[sharp].steepest() - maps.of[smooth].steepest()


ORDER = (
    ("PINN", "PINO"),
    ("PINN", "FNO"),
    ("PINN", "FNO on 2D Poisson"),
    ("PINN", "NODE"),
    ("PINO", "FNO"),
    ("PINO", "FNO on 2D Poisson"),
    ("PINO", "NODE"),
)
"""Whose transition is claimed to be sharper than whose."""

CLAIMS: tuple[Claim[FamilyMaps], ...] = (
    *(
        Claim(
            "C01", f"{label} has the regimes I, II and III", "share of the rarest of them, %", (label,),
            _share(label), LEAST_SHARE,
        )
        for label in MAPS
    ),
    *(
        Claim(
            "C02", f"{sharp}'s transition is sharper than that of {smooth}",
            "difference of the largest steps of the test error, in ranges per cell", (sharp, smooth),
            _ahead(sharp, smooth), 0, mirrored=True,
        )
        for sharp, smooth in ORDER
    ),
)  # fmt: skip
