"""Sets of eigenvalues by rank, in descending order of their size, on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from sciml_backend.figures.style import OKABE_ITO, figure, figure_layout


def eigenvalues(sets: Mapping[str, ArrayLike], *, title: str, floor: float = 0.0, height: int = 380) -> go.Figure:
    """At most two sets of positive numbers (n,) by name; those up to ``floor``, a dotted line, are rounding.

    ``title`` is that of the axis of eigenvalues.
    """
    looks = ((OKABE_ITO[0], "circle"), (OKABE_ITO[5], "diamond"))
    points = [
        _points(np.sort(np.asarray(values, dtype=float))[::-1], name, colour, symbol, floor)
        for (name, values), (colour, symbol) in zip(sets.items(), looks, strict=False)
    ]
    layout = figure_layout(
        height=height,
        xaxis={"title": {"text": "rank"}, "rangemode": "tozero"},
        yaxis={"title": {"text": title}, "type": "log", "exponentformat": "power"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    if floor > 0:
        layout["shapes"] = [{"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": floor, "y1": floor} | DOTTED]
    return figure(points, layout)


DOTTED = {"line": {"dash": "dot", "width": 1, "color": "#8C8C8C"}}


def _points(values: Any, name: str, colour: str, symbol: str, floor: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "x": np.arange(1, len(values) + 1),
        "y": np.where(values > floor, values, np.nan),
        "mode": "markers",
        "marker": {"color": colour, "symbol": symbol, "size": 5},
        "hovertemplate": f"rank %{{x}}<br>λ %{{y:.3e}}<extra>{name}</extra>",
    }
