from __future__ import annotations

import functools

import pandas as pd
import streamlit as st

from pages import (
    activity,
    address,
    cell_summary,
    charts,
    choice,
    fill,
    results,
    services,
    threshold_controls,
    tools,
    words,
)
from pages.choice import Choice
from sciml_backend import figures, regimes

services.guard()

MARKS = {"none": "nothing", "text": "regime", "outline": "edges of regimes", "seeds": "number of seeds"}


def complete(chosen: Choice) -> pd.DataFrame:
    """All cells of the map with their states."""
    return choice.complete(chosen, running=frozenset(activity.running_cells(chosen)))


def view(chosen: Choice) -> None:
    """Everything that moves with a threshold or a click."""
    address.hold(address.CELL, address.DISPLAY)
    grid = complete(chosen)
    footing, levels = threshold_controls.ask(chosen, grid)
    thresholds = footing.thresholds
    cells = regimes.labelled(grid, thresholds)
    _legend(chosen, cells, footing)
    lines = regimes.boundaries(cells, thresholds, levels=levels)
    for column, (metric, title) in zip(st.columns(2, gap="medium"), words.TITLES.items(), strict=True):
        with column:
            _panel(chosen, cells, metric, title, lines)
    _cell(chosen, cells)
    address.keep(address.MAP, address.CELL, address.THRESHOLDS, address.DISPLAY)
    _tools(chosen, cells)


def _legend(chosen: Choice, cells: pd.DataFrame, footing: regimes.Footing) -> None:
    """Each regime's share, the thresholds in numbers, and what they rest on."""
    shares = regimes.shares(cells["label"])
    train, test = footing.thresholds.of(cells)
    parts = [f"**{r.value}** {words.REGIMES[r.value]} {words.percent(shares[r.value])}" for r in regimes.REGIMES]
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.markdown("&emsp;".join(parts), help=_REGIMES, width="content")
        st.markdown(f"T train = {words.number(train)}&emsp;T test = {words.number(test)}", help=_LOW, width="content")
        _display(chosen)
    if footing.note:
        st.caption(footing.note)


_REGIMES = "Share of the labelled cells.  \n" + "  \n".join(f"**{r.value}** {r.sentence}." for r in regimes.REGIMES)
_LOW = "Low means at or below the threshold."


def _display(chosen: Choice) -> None:
    address.renew(*address.DISPLAY)
    with st.popover("Display", icon=":material/tune:"):
        st.toggle("Logarithmic colours", key="log", help="Colours follow the logarithm of the metric.")
        st.selectbox(
            "Write on cells", list(MARKS), format_func=MARKS.__getitem__, key="marks", help="What each cell shows."
        )
        drawn = results.paper_boundaries(chosen.name.plain) is not None
        help = "Points: the boundaries drawn in the paper, read off its Fig. 1." if drawn else "None for this map."
        st.toggle("Published boundaries", key="paper", disabled=not drawn, help=help)


def _panel(
    chosen: Choice,
    cells: pd.DataFrame,
    metric: str,
    title: str,
    lines: list[regimes.Boundary],
) -> None:
    marks = st.session_state["marks"]
    figure = figures.regime_map(
        cells,
        metric,
        boundaries=lines,
        published=results.paper_boundaries(chosen.name.plain) if st.session_state["paper"] else None,
        log=st.session_state["log"],
        regimes=marks if marks in ("text", "outline") else "none",
        seeds=marks == "seeds",
        title=title,
        **charts.options(chosen),
    )
    alt = f"{title} over {chosen.x.label} and {chosen.y.label}, with regime boundaries"
    charts.show(figure, f"panel_{metric}", cells, alt)


def _cell(chosen: Choice, cells: pd.DataFrame) -> None:
    xs, ys = regimes.axes(cells)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        cell = cell_summary.choose(chosen, xs.tolist(), ys.tolist())
        if cell is not None:
            row = cells[(cells["x"] == cell[0]) & (cells["y"] == cell[1])].iloc[0]
            label = row["label"]
            st.markdown(f"Regime **{label}**, {words.REGIMES[label]}" if label else "No regime yet", width="content")
            cell_summary.link(chosen)
    if cell is None:
        st.caption("Click a cell, or choose it here, to see its seeds and their curves.")
    else:
        cell_summary.show(chosen, cell)


def _tools(chosen: Choice, cells: pd.DataFrame) -> None:
    """Downloads and the link."""
    st.space("small")
    with st.container(horizontal=True):
        stem = f"{chosen.name}-{chosen.source}".replace("/", "-")
        what = "The cells of the map as shown: metrics, seeds, states and labels."
        tools.download("CSV", f"{stem}.csv", what, tools.csv(lambda: cells))
        parquet = functools.partial(cells.to_parquet, index=False)
        tools.download("Parquet", f"{stem}.parquet", "The same as a Parquet file.", parquet)
        tools.link()


def empty(chosen: Choice) -> None:
    """What to do about a map of which nothing is stored."""
    st.info(
        f"Nothing is stored of **{chosen.title}** yet. **Fill missing cells** trains it; or choose another map.",
        icon=":material/info:",
    )
    if len(results.grid(str(chosen.name.plain), "published")):
        st.button("Show the published map", on_click=_show_published)
    st.caption(f"On the command line: `python -m sciml_backend sweep {chosen.name} --seeds 0,1,2`")
    address.hold(address.CELL, address.THRESHOLDS, address.DISPLAY)
    address.keep(address.MAP, address.CELL, address.THRESHOLDS, address.DISPLAY)


def _show_published() -> None:
    st.session_state["variant"], st.session_state["source"] = "", "published"


def notes(chosen: Choice) -> None:
    """What a reader of this map must know."""
    stored = results.maps()
    row = stored[(stored["name"] == str(chosen.name)) & (stored["source"] == chosen.source)]
    apart = int(row["n_apart"].iloc[0]) if len(row) else 0
    if apart:
        st.caption(f"{apart} runs of this map have another set-up and are left out: unlike runs are never averaged.")
    stale = int(row["n_stale"].iloc[0]) if len(row) else 0
    if stale:
        st.caption(f"{stale} runs of this map are of another protocol version and are left out: they are stale.")
    devices = sorted(set(results.runs(str(chosen.name), chosen.source)["device"].dropna()))
    if len({device.split()[0] for device in devices}) > 1:
        st.caption(f"Runs of several kinds of device stand in this map: {', '.join(devices)}.")
    if chosen.source == "published":
        problem = services.record()["problems"].get(chosen.name.problem, {})
        st.caption(
            " ".join(filter(None, ["Read off a published figure, with its uncertainty.", problem.get("note", "")]))
        )


address.restore("regime_map", address.MAP, address.CELL, address.THRESHOLDS, address.DISPLAY)
with st.container(horizontal=True, vertical_alignment="bottom"):
    chosen = choice.pick()
    if chosen.source == "computed":
        services.fragment(fill.fill)(chosen, fill.planned(chosen, complete(chosen)))
notes(chosen)
if results.grid(str(chosen.name), chosen.source).empty and not activity.running_cells(chosen):
    empty(chosen)
else:
    services.fragment(view)(chosen)
activity.follow(str(chosen.name))
