"""How far the thresholds of one map carry over to the others that are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from pages import cell_summary
from pages.family_maps import Shown
from sciml_backend import figures, regimes

CARRIED = {"value": "values T", "range": "shares of the range"}
WHOSE = {"rule": "by the rule above", "paper": "the paper's, where known"}


def show(maps: list[Shown]) -> None:
    """The matrix, and how to read it."""
    st.markdown("#### How far thresholds carry over", help=_CARRIED)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Carried", list(CARRIED), format_func=CARRIED.__getitem__, key="carried", required=True, help=_CARRIED
        )
        st.segmented_control(
            "A map's own thresholds",
            list(WHOSE),
            format_func=WHOSE.__getitem__,
            key="whose",
            required=True,
            help=_WHOSE,
        )
    table = shares(maps)
    figure = figures.carry_matrix(table, rows=[m.tick for m in maps], columns=[str(m.number) for m in maps])
    alt = "Percent of the cells of each map (columns) that keep their regime under each map's thresholds (rows)"
    st.plotly_chart(figure, key="carried_matrix", config=cell_summary.SAVING, alt=alt)
    st.caption(_summary(table))


def shares(maps: list[Shown]) -> pd.DataFrame:
    """See ``regimes.carry_over``; maps by their number."""
    grids = {str(m.number): m.cells for m in maps}
    own = {str(m.number): _own(m) for m in maps}
    return regimes.carry_over(grids, own, way=st.session_state["carried"])


def _own(shown: Shown) -> regimes.Thresholds:
    if st.session_state["whose"] == "rule":
        return shown.thresholds
    return regimes.paper_thresholds().get(shown.choice.name.plain, shown.thresholds)


def _summary(table: pd.DataFrame) -> str:
    """How to read the matrix, and what it says on the whole."""
    reading = (
        "Read along a row: the thresholds of this map, applied to the map of each column, leave so many percent of "
        "that map's cells in the regime which its own thresholds give them."
    )
    others = table.to_numpy(float)[~np.eye(len(table), dtype=bool)]
    others = others[np.isfinite(others)]
    if not len(others):
        return f"{reading} It takes a second map to compare with."
    if (others == 1).all():
        return f"{reading} All cells keep it: these thresholds carry over exactly."
    found = f"Between different maps the median is {np.median(others):.0%}, the least {others.min():.0%}."
    return f"{reading} {found} {_UNLIKE}" if st.session_state["carried"] == "value" else f"{reading} {found}"


_UNLIKE = (
    "Training losses of different families are different quantities (mean squares of residuals or of one-step errors, "
    "relative errors, entropies): by value, a threshold says something of its own family only."
)


_CARRIED = (
    "As values, T of one map is what is low on another. As shares of the range, only the fraction of its own range "
    "(p5 to p95) at which T lies is carried: with the rule 'share of the range' that is exact by construction, with "
    "other rules, or the paper's thresholds, it need not be."
)
_WHOSE = "What each map is labelled by, and what is carried: the rule above, or Table 5 of the paper for maps in it."
