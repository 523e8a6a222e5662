"""Charts of cells: one look, and a click on any of them chooses the cell on all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from pages import cell_summary
from pages.choice import Choice
from sciml_backend import figures


def options(chosen: Choice) -> dict[str, Any]:
    """What all panels of cells are told: the chosen cell, the clicks so far, and the axes' names."""
    selected = st.session_state["x"], st.session_state["y"]
    return {
        "selected": selected if None not in selected else None,
        "n_clicks": n_clicks(),
        "x_title": chosen.x.label,
        "y_title": chosen.y.label,
    }


def n_clicks() -> int:
    """How many clicks this visit made on charts of cells."""
    return int(st.session_state.get("n_clicks", 0))


def show(figure: Any, key: str, cells: pd.DataFrame, alt: str) -> None:
    """A chart whose clicks choose one of these cells; its figure was given ``n_clicks``."""
    st.plotly_chart(
        figure,
        key=key,
        on_select=on_click(lambda: _choose(key, cells)),
        selection_mode="points",
        config=cell_summary.SAVING,
        alt=alt,
    )


def on_click(act: Callable[[], None]) -> Callable[[], None]:
    """What a click on a chart drawn now does, once; its figure was given ``n_clicks``.

    Streamlit knows a chart by its figure: without the count, the map drawn after a, b, a would be the one drawn after
    the first a, with b still selected, and a second click on b no news. And it takes a selection for news again where
    the browser still tells of a chart that is gone.
    """
    drawn = n_clicks()

    def click() -> None:
        if n_clicks() == drawn:
            st.session_state["n_clicks"] = drawn + 1
            act()

    return click


def _choose(key: str, cells: pd.DataFrame) -> None:
    """Choose the cell clicked on; a second click on it, which Plotly reports as nothing, leaves it chosen."""
    cell = figures.clicked_cell(cells, _selection(key))
    if cell is not None:
        st.session_state["x"], st.session_state["y"] = cell


def _selection(key: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = st.session_state[key]["selection"]
    return found
