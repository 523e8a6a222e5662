"""The controls that say where low ends and high begins."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages import address, results
from pages.choice import Choice
from sciml_backend import regimes
from sciml_backend.run import MapName

RULES = {"range": "Share of the range", "percentile": "Percentile", "absolute": "Value"}
_RULE = (
    "How a threshold follows from a map. Share of the range: T = p5 + f · (p95 − p5) of the map's values; f = 0.30 "
    "gives the paper's Table 5 back on its PINN convection map. Percentile: that percentile of the values. Value: T "
    "itself."
)
_PERTURBATION = "Boundaries are also drawn where the number of the rule is this much smaller or larger, and half of it."


def ask(chosen: Choice, grid: pd.DataFrame) -> tuple[regimes.Footing, tuple[float, ...]]:
    """The thresholds of a map, with what they rest on, and the five perturbation levels as set in the controls."""
    thresholds = rule(chosen.name.plain, perturbed=True)
    return footing(chosen, grid, thresholds), regimes.perturbations(st.session_state["perturbation"])


def rule(name: MapName | None = None, *, perturbed: bool = False) -> regimes.Thresholds:
    """The rules as set in the controls, with the presets of a map, if one is named, and that of the perturbation."""
    address.hold(address.THRESHOLDS)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rule = st.segmented_control(
            "Threshold rule", list(RULES), format_func=RULES.__getitem__, key="rule", required=True, help=_RULE
        )
        train = _number(rule, "train", "training loss")
        test = _number(rule, "test", "test error")
        if perturbed:
            help = _PERTURBATION
            st.slider("Perturbation", 0.0, 0.5, step=0.05, format="percent", key="perturbation", help=help, width=170)
        _more(name)
    span = {"low": st.session_state["low"], "high": st.session_state["high"]}
    return regimes.Thresholds(
        train=regimes.Threshold(rule=rule, value=train, **span),
        test=regimes.Threshold(rule=rule, value=test, **span),
    )


def footing(chosen: Choice, grid: pd.DataFrame, thresholds: regimes.Thresholds) -> regimes.Footing:
    """The thresholds with what they rest on; published maps are full."""
    if chosen.source != "computed":
        return regimes.Footing(thresholds)
    published = results.grid(str(chosen.name.plain), "published")
    return regimes.footing(grid, thresholds, xs=chosen.x.values, ys=chosen.y.values, published=published)


def _number(rule: str, side: str, words: str) -> float:
    if rule == "range":
        low, high = (f"{st.session_state[end]:g}" for end in ("low", "high"))
        help = f"f of the {words}: 0 is percentile {low} of the map's values, 1 is percentile {high}."
        return st.slider(f"f, {words}", 0.0, 1.0, step=0.01, key=f"f_{side}", help=help, width=180)
    if rule == "percentile":
        help = f"Cells up to this percentile of the {words} are low."
        return st.slider(
            f"Percentile, {words}", 0.0, 100.0, step=1.0, format="%.0f", key=f"p_{side}", help=help, width=180
        )
    help = f"Cells with a {words} up to this value are low."
    return st.number_input(
        f"T, {words}", min_value=0.0, format="%.4g", step=None, key=f"t_{side}", help=help, width=180
    )


def _more(name: MapName | None) -> None:
    presets = _presets(name)
    address.renew("low", "high")
    with st.popover("Presets", help="Thresholds of the paper, and the percentiles that the range spans."):
        for words, values in presets.items():
            st.button(words, on_click=_set, args=(values,), type="tertiary")
        st.number_input(
            "Range from percentile", 0.0, 49.0, step=1.0, format="%.0f", key="low", help="The lower end of the range."
        )
        st.number_input(
            "to percentile", 51.0, 100.0, step=1.0, format="%.0f", key="high", help="The upper end of the range."
        )


def _presets(name: MapName | None) -> dict[str, dict[str, address.Value]]:
    found = {"Default: f = 0.30, perturbation 20 %": {key: p.default for key, p in address.THRESHOLDS.items()}}
    if name is None:
        return found
    drawn = regimes.figure_1_thresholds().get(name)
    if drawn is not None:
        found[f"As drawn in the paper's Fig. 1: f = {drawn.train.value:g}, {drawn.test.value:g}"] = {
            "rule": "range",
            "f_train": drawn.train.value,
            "f_test": drawn.test.value,
        }
    table = regimes.paper_thresholds().get(name)
    if table is not None:
        found[f"The paper's Table 5: T = {table.train.value:g}, {table.test.value:g}"] = {
            "rule": "absolute",
            "t_train": table.train.value,
            "t_test": table.test.value,
        }
    return found


def _set(values: dict[str, address.Value]) -> None:
    for key, value in values.items():
        st.session_state[key] = value
