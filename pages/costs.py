"""Cost against cost: what a run takes the method and the baseline, in each cell."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
import streamlit as st

from pages import charts, results, words
from pages.choice import Same
from pages.comparison import Comparison
from pages.pair import shared
from sciml_backend import figures, regimes

UNITS = {"evaluations": "evaluations", "seconds": "seconds"}
UNTIL = {"end": "whole runs", "trained": "until T train"}


def show(compared: Comparison) -> None:
    """The chart with its controls, and how much more or less the method takes."""
    st.markdown("#### What it costs", help=_HELP)
    if compared.base.source != "computed":
        st.caption("Nothing is published of what these runs cost.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        unit = str(
            st.segmented_control("Cost in", list(UNITS), format_func=UNITS.__getitem__, key="cost", required=True)
        )
        until = st.segmented_control(
            "Cost of", list(UNTIL), format_func=UNTIL.__getitem__, key="until", required=True, help=_HELP
        )
    target = _target(compared) if until == "trained" else None
    table = costs(compared, unit, target)
    names = compared.pair_labels
    figure = figures.cost_scatter(
        table, names=names, unit=unit, n_clicks=charts.n_clicks(), x_title=compared.base.x.label,
        y_title=compared.base.y.label, title="Cost of a run, medians over seeds", height=430,
    )  # fmt: skip
    charts.show(figure, "cost_chart", table, f"Cost of {names[1]} against cost of {names[0]} per cell")
    st.caption(_summary(table, names, unit, target))


def costs(compared: Comparison, unit: str, target: float | None) -> pd.DataFrame:
    """Per shared cell, x, y, base and method: the median cost of a run, or until its training loss is at the target.

    Infinite where half the seeds or more do not get there or are lost, nan where there is no run.
    """
    names, source = compared.names, compared.base.source
    if target is None:
        runs = results.runs_at(names, source, budget=None, unit="evaluations")
    else:
        runs = results.cost_to_reach(names, source, target)
    return _costs(Same(runs), Same(shared(compared)[0]), compared.pair, unit, whole=target is None)


@lru_cache(maxsize=16)
def _costs(runs: Same, cells: Same, pair: tuple[str, str], unit: str, *, whole: bool) -> pd.DataFrame:
    found = runs.frame
    if whole:  # a run that is lost early is not a cheap one
        found = found.assign(**{unit: found[unit].where(~found["status"].isin(regimes.LOST))})
    base, method = (regimes.seed_medians(found[found["map"] == name], unit) for name in pair)
    both = base.merge(method, on=["x", "y"], suffixes=("_base", "_method"))
    both = both.rename(columns={f"{unit}_base": "base", f"{unit}_method": "method"})
    return cells.frame[["x", "y"]].merge(both, on=["x", "y"], how="left")


def _target(compared: Comparison) -> float:
    """The training loss that counts as trained, on both maps."""
    name = compared.pair[0]
    return compared.thresholds[name].of(compared.grid(name))[0]


def _summary(table: pd.DataFrame, names: tuple[str, str], unit: str, target: float | None) -> str:
    known = table.dropna()
    finite = np.isfinite(known[["base", "method"]])
    both = known[finite.all(axis=1)]
    goal = "" if target is None else f" to bring the training loss to {words.number(target)}"
    said = []
    if len(both):
        ratio = words.number((both["method"] / both["base"]).median())
        said.append(f"{names[1]} takes {ratio} times the {unit} of {names[0]}{goal} (median of {len(both)} cells).")
    if target is not None:
        reached = [f"{name} in {finite[side].sum()}" for side, name in zip(finite, names, strict=True)]
        said.append(f"It is reached by {' and '.join(reached)} of {len(known)} cells.")
    return " ".join(said)


_HELP = (
    "Whole runs as they are stored (those that diverged or failed have no cost), or until the first logged point at "
    "which the training loss is at or below the baseline's threshold. Evaluations are computations of loss and "
    "gradient on all data: a Hessian product is two, a step on a batch the part of the data that it saw. Seconds are a "
    "run's share of its batch's time and compare only where both were computed on equal machines."
)
