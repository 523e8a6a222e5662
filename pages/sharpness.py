"""How sharp the transitions of the maps that are shown are."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

import pandas as pd
import streamlit as st

from pages import cell_summary, words
from pages.choice import Same
from pages.family_maps import Shown
from sciml_backend import figures, regimes

WAYS = {"x": "along the coefficient", "y": "along the data"}
UNITS = {"cells": "ranges per cell", "doubling": "ranges per doubling"}


def show(maps: list[Shown]) -> None:
    """A dot per map, the sharpest first, and the numbers behind."""
    st.markdown("#### How sharp the transitions are", help=_SHARP)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _control("Metric", "metric", words.TITLES)
        _control("Walked", "lines", WAYS)
        per = _control("Steps", "per", UNITS)
    table = numbers(maps)
    families = list(dict.fromkeys(_family(m) for m in maps))
    st.plotly_chart(
        figures.sharpness_dots(_drawn(table), families, unit=f"largest step, {UNITS[per]}"),
        key="sharpness",
        config=cell_summary.SAVING,
        alt="The largest step across the threshold of each map, with its standard error over seeds",
    )
    st.caption(_READING)
    with st.expander("The numbers"):
        st.table(_table(table), border="horizontal")


def numbers(maps: list[Shown]) -> pd.DataFrame:
    """One row per map, by its key: label, family and the fields of ``regimes.Sharpness``, the sharpest first."""
    metric, along, per = words.OF_METRIC[st.session_state["metric"]], st.session_state["lines"], st.session_state["per"]
    rows = [{"map": m.key, "label": m.tick, "family": _family(m), **_sharpness(m, metric, along, per)} for m in maps]
    table = pd.DataFrame(rows).set_index("map")
    return table.sort_values(by=["largest", "of_means"], key=lambda _: _rank(table), ascending=False)


def _family(shown: Shown) -> str:
    return shown.problem.split(" · ")[0]


def _rank(table: pd.DataFrame) -> pd.Series:
    return table["largest"].fillna(table["of_means"])


def _sharpness(shown: Shown, metric: str, along: str, per: str) -> dict[str, Any]:
    steps = _transitions(Same(shown.runs), shown.thresholds, metric, along)
    return asdict(regimes.sharpness(steps, per=per))


@lru_cache(maxsize=128)
def _transitions(runs: Same, thresholds: regimes.Thresholds, metric: str, along: str) -> pd.DataFrame:
    return regimes.transitions(runs.frame, thresholds, metric=metric, along=along)


def _control(label: str, key: str, words: dict[str, str]) -> str:
    chosen = st.segmented_control(
        label, list(words), format_func=words.__getitem__, key=key, required=True, help=_SHARP
    )
    return str(chosen)


def _drawn(table: pd.DataFrame) -> pd.DataFrame:
    said = [
        f"<b>{row['label'].replace('<br>', ', ')}</b><br>{_plus_minus(row['largest'], row['largest_error'])} "
        f"({row['n_seeds']} seeds)<br>map of means: {words.number(row['of_means'])}"
        f"<br>{row['n_crossing']} of {row['n_lines']} lines cross"
        for row in table.to_dict("records")
    ]
    drawn = table.rename(columns={"largest": "value", "largest_error": "error"})
    return drawn.assign(said=said)


def _table(table: pd.DataFrame) -> pd.DataFrame:
    rows = {
        row["label"].replace("<br>", " · "): {
            "largest": _plus_minus(row["largest"], row["largest_error"]),
            "median of lines": _plus_minus(row["median"], row["median_error"]),
            "largest, map of means": words.number(row["of_means"], digits=2),
            "seeds": f"{row['n_seeds']}",
            "lines that cross": f"{row['n_crossing']} of {row['n_lines']}",
        }
        for row in table.to_dict("records")
    }
    return words.table(rows)


def _plus_minus(value: float, error: float) -> str:
    found = words.number(value, digits=2)
    return found if error != error else f"{found} ± {words.number(error, digits=1)}"


_SHARP = (
    "On each row (or column) of a map, walked from its easy end to its hard one: how far the metric rises between the "
    "two cells between which it first passes its threshold, as a share of the map's range (p5 to p95; until a map is "
    "full, the published map's where there is one). 1 is the whole range within one cell. Per doubling, the step is "
    "divided by how many times the axis value doubles in it, for axes of unlike spacing. The paper's claim (C02) is "
    "about the test error along the coefficient, per cell."
)
_READING = (
    "Filled: each seed's map has its largest step, averaged over seeds; the bar is the standard error. Ring: the "
    "largest step of the map of seed means, which is smoother and all that published maps have. What has no mark does "
    "not cross its threshold on any line. Grids differ: a coarser one makes larger steps per cell."
)
