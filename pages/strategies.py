"""All strategies of a problem: who wins where, and how many cells each has in each regime."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd
import streamlit as st

from pages import charts, comparison, words
from pages.choice import Same
from pages.comparison import Comparison
from sciml_backend import figures, regimes


def pick(compared: Comparison) -> tuple[tuple[str, ...], str]:
    """The maps that take part, those alike unless some are chosen, and the metric."""
    words_of = compared.labels
    shorts = {comparison.short(name): name for name in compared.names}
    chosen = [short for short in st.session_state["among"] if short in shorts]
    st.session_state["among"] = chosen
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.pills(
            "Strategies", list(shorts), selection_mode="multi", format_func=lambda short: words_of[shorts[short]],
            key="among", help="Who takes part; while none is chosen, the pair and all of the baseline's variant.",
        )  # fmt: skip
        metric = st.segmented_control(
            "Lower is better", list(words.TITLES), format_func=words.TITLES.__getitem__, key="metric", required=True,
            help="What strategies are compared by: the geometric mean over seeds.",
        )  # fmt: skip
    among = tuple(shorts[short] for short in chosen) or comparison.alike(compared)
    return among, str(metric)


def winners(compared: Comparison, among: tuple[str, ...], metric: str) -> pd.DataFrame:
    """Who wins where; see ``regimes.winners``; shared, never change it."""
    low = {name: compared.thresholds[name].of(compared.grid(name))[list(words.TITLES).index(metric)] for name in among}
    return _winners(Same(compared.runs), tuple(low.items()), metric)


def show(compared: Comparison, among: tuple[str, ...], metric: str) -> None:
    """The map of winners beside the table of regimes."""
    table = winners(compared, among, metric)
    left, right = st.columns(2, gap="medium")
    with left:
        _map(compared, table, metric)
    with right:
        _regimes(compared, among)
        _gains(compared, among, metric)


def _map(compared: Comparison, table: pd.DataFrame, metric: str) -> None:
    if table.empty:
        st.info("No cell is in two of these strategies' maps yet.", icon=":material/info:")
        return
    figure = figures.winner_map(
        table,
        compared.labels,
        metric=words.TITLES[metric].lower(),
        title=f"Lowest {words.TITLES[metric].lower()}",
        **charts.options(compared.base),
    )
    charts.show(figure, "winners", table, f"Which strategy has the lowest {words.TITLES[metric].lower()} in each cell")
    st.caption(
        f"{figures.SURE} and a strong colour: significantly below the next (p < {regimes.SIGNIFICANCE:g}, each cell "
        "alone); pale: lowest, but the seeds do not tell it from the next; grey: even the lowest is above its "
        "threshold, none of them will do; = exactly equal; ? fewer than two seeds. "
        "A seed that diverged or failed counts as the worst of its cell."
    )


def _regimes(compared: Comparison, among: tuple[str, ...]) -> None:
    """How many of the common cells each strategy has in each regime."""
    grids = {name: compared.grid(name) for name in among}
    counts = regimes.regime_counts(grids, {name: compared.thresholds[name] for name in among})
    n_common = len(regimes.shared_cells(grids))
    st.markdown("#### Cells per regime", help=_REGIMES)
    rows = {compared.labels[str(name)]: {str(c): f"{n}" for c, n in row.items()} for name, row in counts.iterrows()}
    st.table(words.table(rows), border="horizontal")
    st.caption(
        f"Counted over the {n_common} cells that all of them have. Lost: all seeds diverged or failed. "
        "Missing: cells of other strategies."
    )


_REGIMES = "  \n".join(f"**{r.value}** {r.sentence}." for r in regimes.REGIMES)


def _gains(compared: Comparison, among: tuple[str, ...], metric: str) -> None:
    """In which of the baseline's regimes the others are better."""
    base = compared.pair[0]
    others = [name for name in among if name != base]
    verdicts = compared.verdicts(metric)
    labelled = regimes.labelled(compared.grid(base), compared.thresholds[base])
    table = regimes.gains(verdicts[verdicts["map"].isin(others)], labelled)
    if table.empty:
        return
    st.markdown(f"#### In the regimes of {compared.labels[base]}", help=_GAINS)
    rows = {
        f"{compared.labels[row['map']]} in {row['regime']}": {
            head: f"{sum(int(row[v.name]) for v in of)}" for head, of in COLUMNS.items()
        }
        | {"cells": f"{row['cells']}"}
        for row in table.to_dict("records")
    }
    st.table(words.table(rows), border="horizontal")


_V = regimes.Verdict
COLUMNS = {
    "significantly lower": (_V.BETTER, _V.RESCUED),
    "lower": (_V.LOWER,),
    "equal or higher": (_V.EQUAL, _V.HIGHER),
    "significantly higher": (_V.WORSE, _V.LOST),
    "not decidable": (_V.UNDECIDABLE,),
}
_GAINS = (
    "Of the baseline's cells in each regime that both have: in how many the strategy's geometric mean over seeds is "
    f"lower or higher, and significantly so (p < {regimes.SIGNIFICANCE:g}); not decidable with fewer than two seeds. "
    "A strategy whose runs all diverged or failed counts as significantly higher than one of which some ended."
)


@lru_cache(maxsize=16)
def _winners(runs: Same, thresholds: tuple[tuple[str, float], ...], metric: str) -> pd.DataFrame:
    low = dict(thresholds)
    return regimes.winners(runs.frame[runs.frame["map"].isin(low)], metric, thresholds=low)
