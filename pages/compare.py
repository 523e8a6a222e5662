from __future__ import annotations

import pandas as pd
import streamlit as st

from pages import address, cell_summary, choice, comparison, costs, pair, results, services, strategies, tools
from pages.choice import Choice
from pages.comparison import Comparison
from sciml_backend import figures, regimes

services.guard()

GROUPS = (address.PROBLEM, address.CELL, address.THRESHOLDS, address.COMPARED)


def view(base: Choice, method: Choice, names: tuple[str, ...]) -> None:
    """Everything that moves with a control or a click."""
    address.hold(*GROUPS)
    compared = comparison.compare(base, method, names)
    first, second = compared.pair_labels
    st.subheader(f"{second} against {first}")
    cells, _ = pair.shared(compared)
    if cells.empty:
        st.info(f"{first} and {second} have no cell in common yet.", icon=":material/info:")
    else:
        pair.improvements(compared)
        _cell(compared)
        left, right = st.columns(2, gap="medium")
        with left:
            pair.shifts(compared)
        with right:
            costs.show(compared)
    st.subheader("All strategies")
    among, metric = strategies.pick(compared)
    strategies.show(compared, among, metric)
    address.keep(*GROUPS)
    _tools(compared, among, metric)


def _cell(compared: Comparison) -> None:
    """The chosen cell's curves by both; any cell may be chosen that some strategy has."""
    xs, ys = regimes.axes(compared.runs)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        cell = cell_summary.choose(compared.base, xs.tolist(), ys.tolist())
        if cell is not None:
            for chosen, label in zip((compared.base, compared.method), compared.pair_labels, strict=True):
                cell_summary.link(chosen, label=f"Open the cell of {label}")
    if cell is None:
        st.caption("Click a cell, or choose it here, to see the curves of both.")
    elif compared.base.source == "computed":
        _curves(compared, cell)


def _curves(compared: Comparison, cell: tuple[float, float]) -> None:
    """Every seed's history, in the unit of the budget."""
    runs = pd.concat(
        results.cell_runs(name, "computed", x=cell[0], y=cell[1]).assign(strategy=label)
        for name, label in zip(compared.pair, compared.pair_labels, strict=True)
    )
    if runs.empty:
        st.caption("Neither of the two has this cell.")
        return
    history = results.curves(tuple(runs["cell_id"])).merge(runs[["cell_id", "seed", "strategy"]], on="cell_id")
    unit = "seconds" if st.session_state["unit"] == "seconds" else "evaluations"
    colours = {compared.labels[n]: figures.colour(k) for k, n in enumerate(compared.names) if n in compared.pair}
    figure = figures.curves(history, x=unit, strategies=colours, height=380)
    alt = "Training loss and test error of each seed by both strategies"
    st.plotly_chart(figure, key="cell_curves", config=cell_summary.SAVING, alt=alt)


def _tools(compared: Comparison, among: tuple[str, ...], metric: str) -> None:
    """Downloads and the link."""
    stem = "-vs-".join(name.replace("/", "-") for name in reversed(compared.pair))
    gains = pair.gains(compared)
    tables: dict[str, tuple[str, tools.Table]] = {
        "Improvement": ("Means, improvement and seeds of each shared cell.", lambda: gains),
        "Boundaries": ("Where both boundaries lie on each row, and their shift.", lambda: pair.shift(compared, "x")),
        "Winners": ("Who wins each cell, with p.", lambda: strategies.winners(compared, among, metric)),
        "Runs": ("All runs of these strategies, as read at the budget.", lambda: compared.runs),
    }
    tools.show(stem, tables)


def empty(title: str, names: tuple[str, ...], source: str) -> None:
    """What to do where fewer than two strategies are stored."""
    there = f"Only {comparison.labels(names)[names[0]]}" if names else "No strategy"
    where = "published for" if source == "published" else "stored of"
    st.info(f"{there} is {where} **{title}**, and a comparison takes two.", icon=":material/info:")
    if source == "published":
        st.button("Compare what is computed here", on_click=_show_computed)
    else:
        st.page_link(
            "pages/regime_map.py", label="Train another on the Regime map", icon=":material/arrow_forward:",
            query_params=address.current(address.PROBLEM),
        )  # fmt: skip
    address.hold(*GROUPS)
    address.keep(*GROUPS)


def _show_computed() -> None:
    st.session_state["source"] = "computed"


address.restore("compare", *GROUPS)
with st.container(horizontal=True, vertical_alignment="bottom"):
    family, problem, known = choice.pick_problem()
    source = choice.pick_source(known)
    names = comparison.stored(family, problem, source)
    maps = comparison.pick_pair(names, source) if len(names) > 1 else None
if maps is None:
    empty(choice.problem_title(family, problem), names, source)
else:
    services.fragment(view)(*maps, names)
