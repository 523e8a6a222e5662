"""What arXiv:2605.29153 claims of training strategies on 1D convection, judged by maps computed here.

Claims C01 and C02, of model families, are in ``regimes.family_claims`` and are judged in the same way.

A claim is a number that can be measured on maps, and the range in which the claim holds; its wording and its tolerance
are those of ``data/published/claims.csv``. The number's interval comes from drawing each cell's seeds anew, with
replacement and one fewer than there are, which gives means their true variance (Rao and Wu 1988, J. Am. Stat. Assoc.
83, 231). Few seeds make it a rough one: with three it covers less than the 95 % it is named by, with two far less.

All maps are cut with L-BFGS's thresholds (f = 0.30), so that a boundary moves because losses do and not because a
threshold did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from math import inf, isfinite
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sciml_backend.regimes.cells import Floats
from sciml_backend.regimes.seeds import LEAST_SEEDS, seed_means
from sciml_backend.regimes.shift import Place, crossing
from sciml_backend.regimes.thresholds import Thresholds

Bools = NDArray[np.bool_]

BASE = "lbfgs"
RESAMPLES = 1000
UNDEFINED = 0.05
"""The share of draws without a number above which a claim is not decided."""
CONFIDENCE = (2.5, 97.5)
"""Percentiles of the resampled numbers that a confidence interval spans."""


class Judgement(Enum):
    """What the maps say of a claim; the values are the words that are shown."""

    HOLDS = "holds"
    FAILS = "fails"
    OPEN = "not decidable"
    MISSING = "not computed"


@dataclass(frozen=True)
class Grid:
    """A map's values by run, (n_y, n_x, runs) each, nan for a lost run, with its axes and how many runs a cell has.

    The runs of a cell come first along the last axis; what follows is nan.
    """

    xs: Floats
    ys: Floats
    train: Floats
    test: Floats
    runs: NDArray[np.int64]

    @classmethod
    def of(cls, runs: pd.DataFrame, cells: set[tuple[float, float]] | None = None) -> Grid:
        """The map of ``runs`` (x, y, seed, train_loss, test_error) on all of its cells, or on the given ones."""
        kept = runs if cells is None else runs.loc[[cell in cells for cell in zip(runs["x"], runs["y"], strict=True)]]
        xs, ys = (np.unique(kept[name].to_numpy(float)) for name in ("x", "y"))
        number = kept.sort_values("seed").groupby(["y", "x"]).cumcount().reindex(kept.index).to_numpy()
        cell = np.searchsorted(ys, kept["y"]), np.searchsorted(xs, kept["x"])
        shape = len(ys), len(xs)
        values = []
        for column in ("train_loss", "test_error"):
            matrix = np.full((*shape, number.max(initial=0) + 1), np.nan)
            matrix[*cell, number] = kept[column].to_numpy(float, na_value=np.nan)
            values.append(matrix)
        counts = np.zeros(shape, dtype=np.int64)
        np.add.at(counts, cell, 1)
        train, test = values
        return cls(xs, ys, train, test, counts)

    def resampled(self, rng: np.random.Generator) -> Grid:
        """Each cell's runs, all but one, drawn anew with replacement, the same ones for both metrics."""
        chosen = (rng.random(self.train.shape) * self.runs[..., None]).astype(int)
        there = np.arange(self.train.shape[-1]) < np.maximum(self.runs - 1, 1)[..., None]
        drawn = (np.take_along_axis(values, chosen, -1) for values in (self.train, self.test))
        return replace(self, **dict(zip(("train", "test"), (np.where(there, d, np.nan) for d in drawn), strict=True)))

    def means(self) -> tuple[Floats, Floats]:
        """Means (n_y, n_x) of training loss and test error over a cell's runs; nan where all are lost."""
        return _mean(self.train), _mean(self.test)

    def regime(self, train: float, test: float) -> NDArray[np.int64]:
        """Labels 1 to 4 of the cells (n_y, n_x) by thresholds of training loss and test error, 0 without a value."""
        losses, errors = self.means()
        high = (losses > train).astype(int), (errors > test).astype(int)
        label = np.array([[1, 3], [4, 2]])[high]
        return np.where(np.isfinite(losses) & np.isfinite(errors), label, 0)


def _mean(values: Floats) -> Floats:
    n = np.isfinite(values).sum(-1)
    return np.where(n > 0, np.nansum(values, -1) / np.maximum(n, 1), np.nan)


@dataclass(frozen=True)
class Maps:
    """Grids by strategy on shared cells, L-BFGS's own whole map as ``whole``, and what is low in both metrics."""

    grids: Mapping[str, Grid]
    whole: Grid
    train: float
    test: float

    def resampled(self, rng: np.random.Generator) -> Maps:
        """The same with every cell's seeds drawn anew."""
        grids = {name: grid.resampled(rng) for name, grid in self.grids.items()}
        return Maps(grids, self.whole.resampled(rng), self.train, self.test)

    def boundary(self, grid: Grid) -> Floats:
        """Where each row's training loss rises above the threshold, in cell indices; infinite where outside the map."""
        ends = {Place.BEFORE: -inf, Place.BEYOND: inf}
        found = [crossing(row, self.train) for row in grid.means()[0]]
        return np.array([ends.get(place, position) for position, place in found])

    def regime(self, name: str) -> NDArray[np.int64]:
        """Labels 1 to 4 of a strategy's cells (n_y, n_x), 0 without a value."""
        return self.grids[name].regime(self.train, self.test)

    def least_data(self, name: str, x: float) -> float:
        """The fewest points with which the test error at this coefficient is low.

        Infinite where it never is, nan where no cell has this coefficient and a value.
        """
        grid = self.grids[name]
        errors = grid.means()[1][:, grid.xs == x].reshape(-1)
        low = grid.ys[: len(errors)][errors <= self.test]
        return float(low.min()) if len(low) else inf if np.isfinite(errors).any() else np.nan

    def cells(self, name: str, label: int) -> float:
        """How many cells are of a regime; nan where none has a value."""
        labels = self.regime(name)
        return float((labels == label).sum()) if labels.any() else np.nan

    def improvement(self, name: str, column: int, cells: Bools) -> float:
        """Mean relative improvement over L-BFGS in percent, over the given cells; nan without any."""
        base, method = (self.grids[which].means()[column] for which in (BASE, name))
        gained = 100 * (base - method) / base
        found = gained[cells & np.isfinite(gained)]
        return float(found.mean()) if len(found) else np.nan


class Evidence(Protocol):
    """Maps whose seeds can be drawn anew."""

    def resampled(self, rng: np.random.Generator, /) -> Self:
        """The same with every cell's seeds drawn anew."""


M = TypeVar("M", bound=Evidence)


@dataclass(frozen=True)
class Claim(Generic[M]):
    """A published statement as a number of the maps of ``needs``, and the range in which it holds.

    Noise raises the largest step of a map, and drawing seeds anew adds noise: where the number is made of such steps
    its interval is ``mirrored`` at the number.
    """

    identifier: str
    statement: str
    measured: str
    needs: tuple[str, ...]
    measure: Callable[[M], float] = field(repr=False)
    low: float = -inf
    high: float = inf
    mirrored: bool = False


@dataclass(frozen=True)
class Finding:
    """A claim with its number on the maps, its interval, the judgement, and what is not computed.

    ``published`` is the same number of the published maps, nan where they are not known.
    """

    claim: Claim[Any]
    value: float
    low: float
    high: float
    judgement: Judgement
    missing: tuple[str, ...] = ()
    published: float = np.nan


def judged(runs: Mapping[str, pd.DataFrame], *, resamples: int = RESAMPLES) -> list[Finding]:
    """Judge every claim by the runs of each strategy (x, y, seed, train_loss, test_error, status), by its name.

    A claim holds, or fails, where the whole confidence interval lies within, or outside, its range.
    """
    return [_judged(claim, runs, resamples) for claim in CLAIMS]


def _judged(claim: Claim[Maps], runs: Mapping[str, pd.DataFrame], resamples: int) -> Finding:
    needs = sorted({*claim.needs, BASE})  # an order, so that equal draws go to equal maps
    missing = [name for name in needs if name not in runs or runs[name].empty]
    return unseen(claim, missing) if missing else judge(claim, _maps(runs, needs), resamples=resamples)


def unseen(claim: Claim[M], missing: Iterable[str]) -> Finding:
    """A claim of which some maps are not computed."""
    return Finding(claim, np.nan, np.nan, np.nan, Judgement.MISSING, tuple(missing))


def judge(claim: Claim[M], maps: M, *, resamples: int = RESAMPLES) -> Finding:
    """The claim's number on these maps, and what its confidence interval says of the claim."""
    rng = np.random.default_rng(0)
    drawn = np.array([claim.measure(maps.resampled(rng)) for _ in range(resamples)])
    value = claim.measure(maps)
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < (1 - UNDEFINED) * resamples or np.isnan(value):
        return Finding(claim, value, np.nan, np.nan, Judgement.OPEN)
    low, high = (float(np.percentile(drawn, p, method="nearest")) for p in CONFIDENCE)
    if claim.mirrored:
        low, high = 2 * value - high, 2 * value - low
    inside, outside = claim.low <= low and high <= claim.high, high < claim.low or low > claim.high
    return Finding(
        claim, value, low, high, Judgement.HOLDS if inside else Judgement.FAILS if outside else Judgement.OPEN
    )


def _maps(runs: Mapping[str, pd.DataFrame], names: Sequence[str]) -> Maps:
    seeded = {name: _seeded(runs[name]) for name in names}
    shared = set.intersection(*(set(zip(found["x"], found["y"], strict=True)) for found in seeded.values()))
    train, test = Thresholds().of(seed_means(runs[BASE]))
    grids = {name: Grid.of(found, shared) for name, found in seeded.items()}
    return Maps(grids, Grid.of(seeded[BASE]), train, test)


def _seeded(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of cells with enough seeds to draw them anew: one alone would look certain."""
    return runs[runs.groupby(["x", "y"])["seed"].transform("size") >= LEAST_SEEDS]


# -- the claims -------------------------------------------------------------------------------------------------------

FEW, MANY = 1000, 5000
"""Points that are few in regime I, and enough for the boundary to be vertical."""


def _coefficient(maps: Maps, grid: Grid, least_data: float) -> float:
    """Median over rows of the coefficient at the training boundary; infinite where that lies outside the map."""
    positions = maps.boundary(grid)[grid.ys >= least_data]
    if not len(positions):
        return np.nan
    middle = float(np.quantile(positions, 0.5, method="lower"))  # a mean of two could be of infinite ones
    return float(np.interp(middle, np.arange(len(grid.xs)), grid.xs)) if isfinite(middle) else middle


def _shift(maps: Maps, of: str, beside: str) -> float:
    """Cells by which one strategy's training boundary lies right of another's: median over the rows that show this one.

    The first strategy's boundary is taken to be at the map's end where it lies outside.
    """
    there, here = (maps.boundary(maps.grids[name]) for name in (of, beside))
    shown = np.isfinite(here)
    ends = np.clip(there, 0.0, len(maps.grids[of].xs) - 1.0)
    return float(np.median((ends - here)[shown])) if shown.any() else np.nan


def _steepest(maps: Maps, name: str) -> float:
    """The largest step of the test error from one coefficient to the next, as a share of its whole range.

    It is nan where no two neighbours have values, or all have the same.
    """
    errors = maps.grids[name].means()[1]
    steps = np.abs(np.diff(errors, axis=1))
    steps, known = steps[np.isfinite(steps)], errors[np.isfinite(errors)]
    return float(steps.max() / np.ptp(known)) if len(steps) and np.ptp(known) > 0 else np.nan


def _ratio(maps: Maps) -> float:
    alm, cl = maps.least_data("alm", 30.0), maps.least_data("cl", 30.0)
    return alm / cl if isfinite(cl) else np.nan


def _regime(maps: Maps, label: int) -> Bools:
    return np.asarray(maps.regime(BASE) == label)


def _with_few(maps: Maps) -> Bools:
    return np.asarray(maps.grids[BASE].ys <= FEW)[:, None]


CLAIMS: tuple[Claim[Maps], ...] = (
    Claim(
        "C03", "L-BFGS stops training at β of about 25", "β at its training boundary, N_f ≥ 5000 (median)", (),
        lambda m: _coefficient(m, m.whole, MANY), 20, 30,
    ),
    Claim(
        "C04", "ALM stops training at β of about 50", "β at its training boundary, N_f ≥ 5000 (median)", ("alm",),
        lambda m: _coefficient(m, m.grids["alm"], MANY), 30, 70,
    ),
    Claim(
        "C04", "ALM's training boundary lies right of L-BFGS's", "cells to the right (median)", ("alm",),
        lambda m: _shift(m, "alm", BASE), 1,
    ),
    Claim(
        "C05", "CL's training boundary is like ALM's", "cells right of ALM's (median)", ("alm", "cl"),
        lambda m: _shift(m, "cl", "alm"), -1, 1,
    ),
    Claim(
        "C06", "ALM needs five times the points at β = 30", "least N_f with a low test error", ("alm",),
        lambda m: m.least_data("alm", 30.0), 2500,
    ),
    Claim(
        "C07", "CL is accurate with 1,000 points at β = 30", "least N_f with a low test error", ("cl",),
        lambda m: m.least_data("cl", 30.0), 0, 2000,
    ),
    Claim("C07", "CL needs a fifth of ALM's points there", "N_f of ALM / N_f of CL", ("alm", "cl"), _ratio, 2, 10),
    Claim(
        "C08", "RoPINN moves the training boundary right", "cells right of L-BFGS's (median)", ("ropinn",),
        lambda m: _shift(m, "ropinn", BASE), 1,
    ),
    Claim(
        "C09", "ALM does not remove regime III", "cells of regime III", ("alm",),
        lambda m: m.cells("alm", 3), 1,
    ),
    Claim(
        "C10", "CL's transitions are the smoothest", "steepest step of the others − CL's", ("alm", "cl", "ropinn"),
        lambda m: float(np.min([_steepest(m, name) for name in (BASE, "alm", "ropinn")])) - _steepest(m, "cl"), 0,
        mirrored=True,
    ),
    Claim(
        "C11", "NNCG lowers the test error in regime I with few points", "mean improvement, %, N_f ≤ 1000", ("nncg",),
        lambda m: m.improvement("nncg", 1, _regime(m, 1) & _with_few(m)), 30, 70,
    ),
    Claim(
        "C12", "NNCG lowers the training loss in regime I by some 60 %", "mean improvement, %", ("nncg",),
        lambda m: m.improvement("nncg", 0, _regime(m, 1)), 40, 80,
    ),
    Claim(
        "C13", "NNCG changes little in regime II", "mean improvement of the training loss, %", ("nncg",),
        lambda m: m.improvement("nncg", 0, _regime(m, 2)), -20, 20,
    ),
)  # fmt: skip
"""Claims C03 to C13, in order."""
