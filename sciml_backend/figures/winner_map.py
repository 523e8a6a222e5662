"""Who wins where: one colour per strategy, pale where the seeds do not bear the win out, grey where none is low."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sciml_backend.figures.cell_grid import heads, panel, square
from sciml_backend.figures.cell_marks import hatching
from sciml_backend.figures.style import CATEGORIES, compact, paler
from sciml_backend.regimes.cells import axes
from sciml_backend.regimes.winners import Win

SURE = "✱"
NONE_LOW = "#B9BEC6"
"""Where even the lowest is above its threshold."""
UNSURE = {"TIED": "=", "UNDECIDABLE": "?"}
"""What is written on cells that nobody wins."""

MOST_COLUMNS = 8
"""Names are written on cells of maps with at most so many columns; there is no room on others."""
MOST_LETTERS = 14
"""Longer names are left to the legend: they would be too small to read."""


def winner_map(
    cells: pd.DataFrame,
    labels: Mapping[str, str],
    *,
    metric: str,
    selected: tuple[float, float] | None = None,
    n_clicks: int = 0,
    x_title: str = "x",
    y_title: str = "y",
    title: str = "Who wins where",
    height: int = 480,
) -> go.Figure:
    """A panel of ``regimes.winners``; ``labels`` names the maps, in the order in which they take their colours.

    A cell of the axes that is not in ``cells`` was not compared. ``metric`` is what was compared, in words. For clicks
    see ``cell_grid.panel``: the figure has all cells of the axes of ``cells``.
    """
    full = _complete(cells)
    traces = [_heat(full, labels), *_hatched(full), *_legend(full, labels)]
    return panel(
        full,
        traces,
        _hover_texts(full, labels, metric, x_title, y_title),
        title=title,
        x_title=x_title,
        y_title=y_title,
        selected=selected,
        n_clicks=n_clicks,
        height=height,
        right=10,
    )


def _complete(cells: pd.DataFrame) -> pd.DataFrame:
    xs, ys = axes(cells)
    full = pd.MultiIndex.from_product([ys, xs], names=["y", "x"])
    out = cells.set_index(["y", "x"]).reindex(full).reset_index()
    known = {"state": out["state"].fillna("alone"), "winner": out["winner"].fillna("")}
    return out.assign(**known, low=out["low"].astype("boolean").fillna(True).astype(bool))


def _heat(cells: pd.DataFrame, labels: Mapping[str, str]) -> dict[str, Any]:
    """Two colours per map, strong and pale, and a last one for none, as the steps of a scale."""
    steps = [tone for name in range(len(labels)) for tone in (colour(name), paler(colour(name)))] + [NONE_LOW]
    places = {name: 2 * k for k, name in enumerate(labels)}
    won = cells["winner"].map(places).astype(float) + (cells["state"] == Win.LEADS.name)
    codes = won.where(cells["low"] | won.isna(), len(steps) - 1)
    edges = np.arange(len(steps) + 1) / len(steps)
    scale = [[edge, tone] for k, tone in enumerate(steps) for edge in edges[k : k + 2]]
    return {
        "type": "heatmap",
        "z": square(cells, codes).astype(float),
        "zmin": -0.5,
        "zmax": len(steps) - 0.5,
        "colorscale": scale,
        "showscale": False,
        "text": square(cells, _texts(cells, labels)),
        "texttemplate": "%{text}",
        "hoverinfo": "skip",
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
    }


def colour(place: int) -> str:
    """The colour of the map at a place in the order of ``labels``."""
    return CATEGORIES[place % len(CATEGORIES)]


def _texts(cells: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    room = MOST_LETTERS if cells["x"].nunique() <= MOST_COLUMNS else 0
    written = {name: label for name, label in labels.items() if len(label) <= room}
    return [
        " ".join(filter(None, [written.get(winner, ""), SURE if state == Win.WON.name else ""]))
        for winner, state in zip(cells["winner"], cells["state"], strict=True)
    ]


def _hatched(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Cells without a winner: hatched where they were not compared or all runs were lost, else with a sign."""
    states = cells["state"].map({"alone": "missing", Win.LOST.name: "diverged"}).fillna("")
    words = {"not computed yet": "fewer than two strategies", "diverged: no finite value": "every run was lost"}
    for trace in hatching(square(cells, states)):
        yield trace | {"name": words[trace["name"]]}
    xs, ys = axes(cells)
    for state, sign in UNSURE.items():
        found = cells[cells["state"] == state]
        if len(found):
            yield {
                "type": "scatter",
                "name": f"{sign} {Win[state].value}",
                "x": np.searchsorted(xs, found["x"]),
                "y": np.searchsorted(ys, found["y"]),
                "mode": "text",
                "text": [sign] * len(found),
                "textfont": {"size": 15, "color": "#8C8C8C"},
                "hoverinfo": "skip",
                "showlegend": False,
            }


def _legend(cells: pd.DataFrame, labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """One entry per map that wins a cell, in its strong colour, and one for cells where none is low."""
    won = cells[cells["low"]]["winner"]
    entries = {label: colour(k) for k, (name, label) in enumerate(labels.items()) if (won == name).any()}
    if (~cells["low"] & (cells["winner"] != "")).any():
        entries["none is low"] = NONE_LOW
    for label, tone in entries.items():
        marker = {"symbol": "square", "size": 11, "color": tone}
        yield {"type": "scatter", "name": label, "x": [None], "y": [None], "mode": "markers", "marker": marker}


def _hover_texts(cells: pd.DataFrame, labels: Mapping[str, str], metric: str, x_title: str, y_title: str) -> list[str]:
    texts = zip(heads(cells, x_title, y_title), cells.to_dict("records"), strict=True)
    return ["<br>".join([head, *_said(row, labels, metric)]) for head, row in texts]


def _said(row: Mapping[Any, Any], labels: Mapping[str, str], metric: str) -> Iterator[str]:
    if row["state"] == "alone":
        yield "fewer than two strategies have this cell"
        return
    first = f"<b>{labels[row['winner']]}</b>: " if row["winner"] else ""
    yield first + Win[row["state"]].value
    above = "" if row["low"] else ", above its threshold"
    yield f"{metric}: {compact(row['lowest'])}{above}, {_seeds(row['n_seeds'], row['n_lost'])}"
    yield f"next, {labels[row['runner_up']]}: {compact(row['next'])}, {_seeds(row['n_next'], row['n_lost_next'])}"
    yield f"p = {compact(row['p'])}, {row['n_maps']:.0f} strategies"


def _seeds(n: float, lost: float) -> str:
    return f"{n:.0f} seed{'s' * (n != 1)}" + (f", {lost:.0f} lost" if lost else "")
