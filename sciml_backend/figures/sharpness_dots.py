"""How sharp the transitions of several maps are: a dot with its error per map, the sharpest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sciml_backend.figures.style import CATEGORIES, figure, figure_layout

GREY, FAINT = "#8C8C8C", "rgba(140,140,140,0.25)"


def sharpness_dots(table: pd.DataFrame, families: Sequence[str], *, unit: str, row_height: int = 38) -> go.Figure:
    """One row per map of ``table``: label, family, value, error, of_means, said (hover text).

    A filled dot is the mean over seeds with its standard error, a ring is the value of the map of seed means; what is
    nan has no mark. ``families`` take their colours in this order. ``unit`` names the axis.
    """
    rows = table.iloc[::-1]  # the first row is on top
    traces = [*_marks(rows, families), *_meanings()]
    layout = figure_layout(
        height=110 + row_height * max(len(table), 1),
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        xaxis={"title": {"text": unit}, "rangemode": "tozero", "fixedrange": True, "gridcolor": FAINT},
        yaxis={
            "tickvals": list(range(len(rows))),
            "ticktext": list(rows["label"]),
            "range": [-0.6, len(rows) - 0.4],
            "automargin": True,
            "fixedrange": True,
            "gridcolor": FAINT,
            "zeroline": False,
        },
        legend={"orientation": "h", "yanchor": "top", "y": -50 / max(row_height * len(table), 1), "x": 0},
        hovermode="closest",
        dragmode=False,
    )  # fmt: skip
    return figure(traces, layout)


def _marks(rows: pd.DataFrame, families: Sequence[str]) -> Iterator[dict[str, Any]]:
    places = pd.Series(np.arange(len(rows)), index=rows.index)
    for k, family in enumerate(families):
        chosen = rows[rows["family"] == family]
        colour = CATEGORIES[k % len(CATEGORIES)]
        shared = {"type": "scatter", "mode": "markers", "y": places[chosen.index], "hoverinfo": "text"}
        texts = {"hovertext": list(chosen["said"]), "legendgroup": family}
        ring = {"symbol": "circle-open", "size": 12, "color": colour, "line": {"width": 2}}
        yield {**shared, **texts, "x": chosen["of_means"], "marker": ring, "name": family, "showlegend": False}
        error = {"type": "data", "array": chosen["error"].fillna(0.0), "color": colour, "thickness": 2, "width": 5}
        dot = {"symbol": "circle", "size": 9, "color": colour}
        yield {**shared, **texts, "x": chosen["value"], "error_x": error, "marker": dot, "name": family}


def _meanings() -> Iterator[dict[str, Any]]:
    """Legend entries for the two marks."""
    for symbol, words in (("circle", "mean over seeds ± standard error"), ("circle-open", "map of the seed means")):
        marker = {"symbol": symbol, "size": 10, "color": GREY, "line": {"width": 2}}
        yield {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "marker": marker, "name": words}
