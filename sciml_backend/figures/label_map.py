"""A map by its regimes alone, small enough to stand among others: four flat colours and both boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from sciml_backend.figures.cell_grid import Lines, axis, boundary_lines, square, targets
from sciml_backend.figures.cell_marks import hatching
from sciml_backend.figures.regime_map import hover_texts
from sciml_backend.figures.style import figure, figure_layout
from sciml_backend.regimes.boundaries import Boundary
from sciml_backend.regimes.labels import REGIMES

REGIME_COLOURS = {"I": "#56B4E9", "II": "#D55E00", "III": "#F0E442", "IV": "#A9A9A9"}
"""By numeral; after Okabe and Ito (2008), and of unlike lightness."""

LINES = {"train": ("#111111", "solid"), "test": ("#111111", "4px,3px")}
"""Colour and dash of the two boundaries."""

MOST_TICKS = 8
MOST_CHARACTERS = 44
"""Of an axis with more values, or (along x) with longer ones, every other is written."""


def label_map(
    cells: pd.DataFrame,
    *,
    boundaries: Sequence[Boundary] = (),
    n_clicks: int = 0,
    x_title: str = "x",
    y_title: str = "y",
    height: int = 280,
) -> go.Figure:
    """A small panel of ``cells``, complete and labelled, one row per cell; without a title and a legend.

    For clicks see ``cell_grid.panel``.
    """
    xs, ys = (np.unique(cells[name].to_numpy(float)) for name in ("x", "y"))
    lines = [Lines(f"{m} boundary", *look, [b for b in boundaries if b.metric == m]) for m, look in LINES.items()]
    traces = [
        _heat(square(cells, cells["label"])),
        *hatching(square(cells, cells["state"])),
        *boundary_lines(lines, width=2.0),
        targets(cells, hover_texts(cells, x_title, y_title)),
    ]
    layout = figure_layout(
        height=height,
        margin={"l": 66, "r": 4, "t": 4, "b": 50, "autoexpand": False},
        xaxis=_small(axis(xs, x_title), room=MOST_CHARACTERS),
        yaxis=_small(axis(ys, y_title)),
        showlegend=False,
        hovermode="closest",
        hoverdistance=-1,
        clickmode="event+select",
        dragmode=False,
        meta={"n_clicks": n_clicks},
    )
    return figure(traces, layout)


def _heat(labels: NDArray[Any]) -> dict[str, Any]:
    codes = {regime.value: float(k) for k, regime in enumerate(REGIMES)}
    edges = np.arange(len(codes) + 1) / len(codes)
    scale = [[edge, REGIME_COLOURS[name]] for k, name in enumerate(codes) for edge in edges[k : k + 2]]
    return {
        "type": "heatmap",
        "z": np.array([[codes.get(label, np.nan) for label in row] for row in labels]),
        "zmin": -0.5,
        "zmax": len(codes) - 0.5,
        "colorscale": scale,
        "showscale": False,
        "hoverinfo": "skip",
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
    }


def _small(found: dict[str, Any], *, room: float = np.inf) -> dict[str, Any]:
    step = 1 + (len(found["tickvals"]) > MOST_TICKS or sum(len(text) + 1 for text in found["ticktext"]) > room)
    ticks = {name: found[name][::step] for name in ("tickvals", "ticktext")}
    title = found["title"] | {"font": {"size": 12}}
    return found | ticks | {"title": title, "tickfont": {"size": 10}, "tickangle": 0}
