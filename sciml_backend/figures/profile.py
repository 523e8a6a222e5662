"""What a network learned of a function of one variable, beside what it should have, and the difference below."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from sciml_backend.figures.style import OKABE_ITO, figure, figure_layout

SPLIT = (0.3, 0.38)
"""Where the panel of the difference ends and that of the functions begins, as shares of the height."""


def profile(
    x: ArrayLike, predicted: ArrayLike, reference: ArrayLike, *, x_title: str = "x", height: int = 340
) -> go.Figure:
    """Two panels over ``x`` (n,): predicted and reference (n,), and predicted - reference on an axis of its own."""
    along, found, wanted = (np.asarray(values, dtype=float) for values in (x, predicted, reference))
    lines = [
        _line(along, wanted, "reference", OKABE_ITO[0], "solid", "y"),
        _line(along, found, "predicted", OKABE_ITO[5], "dash", "y"),
        _line(along, found - wanted, "predicted − reference", OKABE_ITO[2], "solid", "y2"),
    ]
    layout = figure_layout(
        height=height,
        xaxis={"title": {"text": x_title}, "anchor": "y2"},
        yaxis={"domain": [SPLIT[1], 1.0]},
        yaxis2={"domain": [0.0, SPLIT[0]], "exponentformat": "power", "zeroline": True},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    return figure(lines, layout)


def _line(x: Any, y: Any, name: str, colour: str, dash: str, axis: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "x": x,
        "y": np.where(np.isfinite(y), y, np.nan),
        "yaxis": axis,
        "mode": "lines",
        "line": {"color": colour, "dash": dash, "width": 2},
        "hovertemplate": f"x %{{x:.3f}}<br>%{{y:.3e}}<extra>{name}</extra>",
    }
