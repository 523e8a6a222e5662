"""What is compared: a baseline, a method and all other strategies of one problem, read at one budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import pandas as pd
import streamlit as st

from pages import choice, results, threshold_controls
from pages.choice import Choice, Same
from sciml_backend import regimes
from sciml_backend.run import MapName

GAINS = {"means": "percent", "paired": "percent of equal seeds", "factor": "factor"}
UNITS = {"end": "at the end", "evaluations": "evaluations", "seconds": "seconds"}


@dataclass(frozen=True)
class Comparison:
    """Maps of one problem and source by name (``names``, of the store), with the runs as read.

    ``runs`` has one row per run of all maps at the budget, which ``when`` says in words; ``thresholds`` says what is
    low on each map, the baseline's on all of them or each map's own; ``levels`` are the perturbations.
    """

    base: Choice
    method: Choice
    names: tuple[str, ...]
    runs: pd.DataFrame
    thresholds: Mapping[str, regimes.Thresholds]
    levels: tuple[float, ...]
    when: str

    @property
    def labels(self) -> dict[str, str]:
        """Every map's strategy for people."""
        return labels(self.names)

    @property
    def pair(self) -> tuple[str, str]:
        """The names of baseline and method."""
        return str(self.base.name), str(self.method.name)

    @property
    def pair_labels(self) -> tuple[str, str]:
        """The strategies of baseline and method for people."""
        base, method = (self.labels[name] for name in self.pair)
        return base, method

    def grid(self, name: str) -> pd.DataFrame:
        """One row per cell of a map, from its runs as read; shared, never change it."""
        return grids(Same(self.runs))[name]

    def verdicts(self, metric: str) -> pd.DataFrame:
        """Every map beside the baseline; see ``regimes.against``; shared, never change it."""
        return _verdicts(Same(self.runs), self.pair[0], metric)


def stored(family: str, problem: str, source: str) -> tuple[str, ...]:
    """The maps of a problem of which something is stored."""
    known = results.maps()
    of_problem = (known["family"] == family) & (known["problem"] == problem) & (known["source"] == source)
    return tuple(known[of_problem & (known["n_runs"] > 0)]["name"])


def labels(names: tuple[str, ...]) -> dict[str, str]:
    """Each map's strategy, and variant where it is not the plain one."""
    return {name: choice.strategy_label(MapName.parse(name)) for name in names}


def alike(compared: Comparison) -> tuple[str, ...]:
    """The pair and all maps of the baseline's variant: other precisions and networks are another question."""
    wanted = compared.base.name.variant
    return tuple(name for name in compared.names if name in compared.pair or MapName.parse(name).variant == wanted)


def ordered(names: tuple[str, ...], variant: str) -> tuple[str, ...]:
    """The maps of a variant first, since colours go by place and repeat; otherwise in the order given."""
    return tuple(sorted(names, key=lambda name: MapName.parse(name).variant != variant))


def pick_pair(names: tuple[str, ...], source: str) -> tuple[Choice, Choice]:
    """The pickers of baseline and method among at least two maps, for a horizontal container."""
    options = {short(name): name for name in names}
    words = labels(names)

    def pick(label: str, key: str, among: list[str], help: str) -> str:
        return str(choice.select(label, key, among, lambda short: words[options[short]], help=help, width=180))

    base = pick("Baseline", "base", list(options), "What the other strategies are measured against.")
    method = pick("Method", "method", [o for o in options if o != base], "The strategy set beside the baseline.")
    first, second = (choice.choice(MapName.parse(options[short]), source) for short in (base, method))
    return first, second


def short(name: str) -> str:
    """A map within its problem, as addresses have it: strategy[@variant]."""
    return name.rsplit("/", 1)[-1]


def compare(base: Choice, method: Choice, names: tuple[str, ...]) -> Comparison:
    """The comparison as set in the controls, which are drawn here: thresholds, whose they are, and the budget."""
    footing, levels = threshold_controls.ask(base, choice.complete(base))
    if footing.note:
        st.caption(footing.note)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        own = _yardstick(base)
        budget, unit = _budget(base.source)
        st.segmented_control(
            "Improvement", list(GAINS), format_func=GAINS.__getitem__, key="gain", required=True, help=_GAIN
        )
        st.toggle("Perturbed boundaries", key="band", help="Draw both maps' boundaries at all five thresholds.")
    names = ordered(names, base.name.variant)
    runs = results.runs_at(names, base.source, budget=budget, unit=unit)
    maps = {name: choice.choice(MapName.parse(name), base.source) for name in names}
    thresholds = {name: _thresholds(of if own else base, base, footing) for name, of in maps.items()}
    when = "at the end" if budget is None else f"at {_plain(budget)} {unit} of each run"
    return Comparison(base, method, names, runs, thresholds, levels, when)


def _yardstick(base: Choice) -> bool:
    """Whether each map is judged by thresholds of its own values."""
    whose = {"base": f"{choice.strategy_label(base.name)}'s, for all", "own": "each map's own"}
    chosen = st.segmented_control(
        "Thresholds", list(whose), format_func=whose.__getitem__, key="yardstick", required=True, help=_YARDSTICK
    )
    return bool(chosen == "own")


def _budget(source: str) -> tuple[float | None, str]:
    """How much each run may spend, and in which unit; published values have an end only."""
    if source != "computed":
        return None, "evaluations"
    unit = st.segmented_control(
        "Read runs", list(UNITS), format_func=UNITS.__getitem__, key="unit", required=True, help=_BUDGET
    )
    if unit == "end":
        return None, "evaluations"
    label = f"Budget of a run, {unit}"
    budget = choice.select(label, f"n_{unit}", BUDGETS[unit], _plain, widget=st.select_slider, width=260, help=_BUDGET)
    return float(budget), unit


def _plain(number: float) -> str:
    return f"{number:,.0f}"


_YARDSTICK = (
    "One yardstick for all shows what moved the cells; each map's own percentiles, as published, also move the "
    "thresholds, so that a strategy that is better everywhere may seem to move nothing."
)
_BUDGET = (
    "At the end, or at the last logged point within a budget that each run has. Evaluations are computations of loss "
    "and gradient; a Hessian product counts as two. Seconds are a run's share of its batch's time, on whatever machine "
    "computed it."
)
_GAIN = (
    "Of the means over seeds, (baseline − method) / baseline; the mean of that over equal seeds; or how many times the "
    "method's mean is lower or higher, on a logarithmic scale, where losses that differ by decades can be told apart."
)
BUDGETS = {
    "evaluations": [float(m * 10**k) for k in range(2, 6) for m in (1, 2, 3, 5, 7)],
    "seconds": [float(m * 10**k) for k in range(0, 4) for m in (1, 2, 3, 5, 7)],
}


def _thresholds(of: Choice, base: Choice, footing: regimes.Footing) -> regimes.Thresholds:
    """What is low by the values of a map, as it is at the end of training on all its cells, whatever is shown of it."""
    whole = choice.complete(of)
    if of != base:
        footing = threshold_controls.footing(of, whole, replace(footing.thresholds, reference=None))
    found = footing.thresholds
    return found if found.reference is not None else replace(found, reference=whole)


@lru_cache(maxsize=8)
def grids(runs: Same) -> dict[str, pd.DataFrame]:
    """One row per cell of each map, from its runs; never change it."""
    return {str(name): regimes.seed_means(of_map) for name, of_map in runs.frame.groupby("map")}


@lru_cache(maxsize=16)
def _verdicts(runs: Same, base: str, metric: str) -> pd.DataFrame:
    return regimes.against(runs.frame, base, metric)
