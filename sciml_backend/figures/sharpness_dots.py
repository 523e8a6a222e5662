"""How sharp the transitions of several maps are: a dot with its error per map, the sharpest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sciml_backend.figures.style import CATEGORIES, compact, figure, figure_layout

FAR = 6.0
"""How many times the median a value may be to have a place of its own."""

GREY, FAINT = "#8C8C8C", "rgba(140,140,140,0.25)"


def sharpness_dots(table: pd.DataFrame, families: Sequence[str], *, unit: str, row_height: int = 38) -> go.Figure:
    """One row per map of ``table``: label, family, value, error, of_means, said (hover text).

    A filled dot is the mean over seeds with its standard error, a ring is the value of the map of seed means; what is
    nan has no mark, and what is many times the median is a triangle at the end of the axis, with its number.
    ``families`` take their colours in this order. ``unit`` names the axis.
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
    end = FAR * float(pd.concat([rows["value"], rows["of_means"]]).median())
    for k, family in enumerate(families):
        chosen = rows[rows["family"] == family]
        colour = CATEGORIES[k % len(CATEGORIES)]
        shared = {"type": "scatter", "mode": "markers+text", "y": places[chosen.index], "hoverinfo": "text"}
        texts = {"hovertext": list(chosen["said"]), "legendgroup": family}
        ring = {"size": 12, "color": colour, "line": {"width": 2}}
        yield {
            **shared,
            **texts,
            **_placed(chosen["of_means"], end, ring, "circle-open"),
            "showlegend": False,
            "name": family,
        }
        errors = chosen["error"].where(chosen["value"] <= end).fillna(0.0)
        error = {"type": "data", "array": errors, "color": colour, "thickness": 2, "width": 5}
        dot = {"size": 9, "color": colour}
        yield {**shared, **texts, **_placed(chosen["value"], end, dot, "circle"), "error_x": error, "name": family}


def _placed(values: pd.Series, end: float, marker: dict[str, Any], symbol: str) -> dict[str, Any]:
    """Where values stand and how they are marked."""
    far = values > end
    return {
        "x": values.where(~far, end),
        "text": [compact(value) if beyond else "" for value, beyond in zip(values, far, strict=True)],
        "textposition": "middle left",
        "marker": marker | {"symbol": ["triangle-right" if beyond else symbol for beyond in far]},
    }


def _meanings() -> Iterator[dict[str, Any]]:
    """Legend entries for the two marks."""
    for symbol, words in (("circle", "mean over seeds ± standard error"), ("circle-open", "map of the seed means")):
        marker = {"symbol": symbol, "size": 10, "color": GREY, "line": {"width": 2}}
        yield {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "marker": marker, "name": words}
