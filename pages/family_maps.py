"""Maps of several families side by side: which ones, and each one's cells by one threshold rule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import streamlit as st

from pages import choice, results, threshold_controls
from pages.choice import Choice, Same
from sciml_backend import regimes
from sciml_backend.run import MapName, SourcedMap


@dataclass(frozen=True)
class Shown:
    """A map with its place among those shown (from 1), its labelled cells, its runs, and what its thresholds rest on.

    ``runs`` has one row per run; never change it.
    """

    number: int
    choice: Choice
    cells: pd.DataFrame
    runs: pd.DataFrame
    footing: regimes.Footing

    @property
    def thresholds(self) -> regimes.Thresholds:
        """What is low on this map."""
        return self.footing.thresholds

    @property
    def key(self) -> str:
        """The map as addresses have it."""
        return str(SourcedMap(self.choice.name, self.choice.source))

    @property
    def problem(self) -> str:
        """Family and problem, for people."""
        return choice.problem_title(self.choice.name.family, self.choice.name.problem)

    @property
    def strategy(self) -> str:
        """Strategy and variant for people, and the source where that is not this project."""
        published = ["published"] if self.choice.source != "computed" else []
        return " · ".join([choice.strategy_label(self.choice.name), *published])

    @property
    def tick(self) -> str:
        """Two lines for the axis of a figure."""
        return f"{self.number} · {self.problem}<br>{self.strategy}"


def pick() -> list[Choice]:
    """The picker of maps; while none is chosen, one per family and problem."""
    stored = results.maps()
    stored = stored[stored["n_cells"] > 0]
    options = {str(of): of for of in _maps(stored)}
    st.session_state["maps"] = [k for k in st.session_state.get("maps", []) if k in options]
    chosen: list[str] = st.multiselect(
        "Maps",
        sorted(options, key=options.__getitem__),
        format_func=lambda key: _title(options[key]),
        key="maps",
        placeholder="One per family and problem",
        help="Which maps are shown. While none is chosen, one of each family and problem: by the strategy that the "
        "paper's Fig. 1 shows of the family, else the one with most cells; the published one until 16 are computed.",
    )
    shown = [options[key] for key in chosen] or _maps(regimes.representatives(stored))
    return [choice.choice(of.name, of.source) for of in shown]


def _maps(stored: pd.DataFrame) -> list[SourcedMap]:
    rows = zip(stored["name"], stored["source"], strict=True)
    return [SourcedMap(MapName.parse(name), source) for name, source in rows]


def _title(of: SourcedMap) -> str:
    parts = [choice.problem_title(of.name.family, of.name.problem), choice.strategy_label(of.name)]
    return " · ".join(parts if of.source == "computed" else [*parts, "published"])


def shown(chosen: list[Choice], thresholds: regimes.Thresholds) -> list[Shown]:
    """The maps with one threshold rule for all, each by its own values (or what stands in while it is not full)."""
    runs = {source: _runs(chosen, source) for source in {c.source for c in chosen}}
    found = []
    for number, of in enumerate(chosen, start=1):
        grid = choice.complete(of)
        footing = threshold_controls.footing(of, grid, thresholds)
        cells = _with_values(regimes.labelled(grid, footing.thresholds))
        found.append(Shown(number, of, cells, runs[of.source][str(of.name)], footing))
    return found


def _with_values(cells: pd.DataFrame) -> pd.DataFrame:
    """The columns and rows in which some cell was computed: there is no room to show the others."""
    there = cells[cells["state"] != "missing"]
    return cells[cells["x"].isin(there["x"]) & cells["y"].isin(there["y"])]


def _runs(chosen: list[Choice], source: str) -> dict[str, pd.DataFrame]:
    names = tuple(sorted(str(c.name) for c in chosen if c.source == source))
    return _by_map(Same(results.runs_at(names, source, budget=None, unit="evaluations")))


@lru_cache(maxsize=8)
def _by_map(runs: Same) -> dict[str, pd.DataFrame]:
    return {str(name): of_map for name, of_map in runs.frame.groupby("map")}
