"""What is stored of a cell, in brief: its seeds' numbers and their curves, or the published reading."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages import address, results, services, words
from pages.choice import Choice
from sciml_backend import figures

COLUMNS = ["train_loss", "test_error", "heldout_error", "iterations"]


def choose(chosen: Choice, xs: list[float], ys: list[float]) -> tuple[float, float] | None:
    """Two selectors, the keyboard's way to a cell and the place where a click on the map leaves its choice."""
    for key, values in (("x", xs), ("y", ys)):
        if st.session_state.get(key) not in values:
            st.session_state[key] = None
    x = st.selectbox(
        chosen.x.label, [None, *xs], key="x", width=140, help="The cell's column; or click the map.",
        **_look(chosen.x.label),
    )  # fmt: skip
    y = st.selectbox(
        chosen.y.label, [None, *ys], key="y", width=200, help="The cell's row; or click the map.",
        **_look(chosen.y.label),
    )  # fmt: skip
    return None if x is None or y is None else (x, y)


def show(chosen: Choice, cell: tuple[float, float]) -> None:
    """The cell's numbers and curves side by side."""
    if chosen.source == "published":
        _reading(chosen, cell)
        return
    runs = results.cell_runs(str(chosen.name), chosen.source, x=cell[0], y=cell[1])
    if runs.empty:
        st.info("Nothing is stored of this cell yet; **Fill missing cells** above trains it.", icon=":material/info:")
        return
    numbers, history = st.columns([2, 3], gap="medium")
    with numbers:
        st.table(words.seed_table(runs, COLUMNS), border="horizontal")
        explain(chosen, COLUMNS)
    with history:
        st.plotly_chart(
            cell_curves(runs, height=340), key="cell_curves", config=PLAIN, alt="Curves of the cell's seeds"
        )


def cell_curves(runs: pd.DataFrame, *, along: str = "iteration", height: int = 420) -> object:
    """Training loss and test error of each seed."""
    histories = results.curves(tuple(runs["cell_id"]))
    seeds = runs[["cell_id", "seed"]]
    return figures.curves(histories.merge(seeds, on="cell_id"), x=along, height=height)


def link(chosen: Choice, *, label: str = "Open the cell") -> None:
    """The way to all that is known of the map's cell."""
    of_map = {"strategy": chosen.name.strategy, "variant": chosen.name.variant}
    st.page_link(
        "pages/cell.py",
        label=label,
        icon=":material/arrow_forward:",
        query_params=address.current(address.MAP, address.CELL, **of_map),
        help="Solution, Hessian spectrum, loss landscape, provenance, and the command that reproduces it.",
    )


PLAIN = {"displayModeBar": False, "showSendToCloud": False}
"""A chart without tools."""

SAVING = {"modeBarButtons": [["toImage", "resetScale2d"]], "displaylogo": False, "showSendToCloud": False}
"""A chart that can be saved as a picture."""


def _look(title: str) -> dict[str, Any]:
    def value(number: float | None) -> str:
        return "choose" if number is None else figures.tick(title, number)

    return {"format_func": value, "placeholder": value(None)}


def explain(chosen: Choice, columns: list[str]) -> None:
    """What the columns of a table mean."""
    own = services.record()["families"].get(chosen.name.family, {}).get("metrics", {})
    with st.popover("What these numbers mean", type="tertiary"):
        st.markdown(words.metrics(columns, own))


def _reading(chosen: Choice, cell: tuple[float, float]) -> None:
    table = results.readings(str(chosen.name))
    found = table[(table["x"] == cell[0]) & (table["y"] == cell[1])]
    for row in found.to_dict("records"):
        limit = {"below_vmin": "at most ", "above_vmax": "at least "}.get(row["censored"], "")
        st.markdown(
            f"**{figures.named(row['metric'])}**: {limit}{words.number(row['value'])} "
            f"± {words.number(row['uncertainty'])} (quality of the reading: {row['quality']})"
        )
    st.caption("Read off the colours of a published figure; a mean over an unknown number of seeds, without curves.")
