"""Eigenvalues of the neural tangent kernel before and after training, in descending order on a logarithmic axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from sciml_backend.figures.style import OKABE_ITO, figure, figure_layout


def eigenvalues(*, initial: ArrayLike, final: ArrayLike, floor: float = 0.0, height: int = 380) -> go.Figure:
    """Eigenvalues (n,) by rank; those at or below ``floor``, a dotted line, are rounding and are not drawn."""
    ends = (("before training", initial, OKABE_ITO[0], "circle"), ("after training", final, OKABE_ITO[5], "diamond"))
    points = [
        _points(np.asarray(values, dtype=float), name, colour, symbol, floor) for name, values, colour, symbol in ends
    ]
    layout = figure_layout(
        height=height,
        xaxis={"title": {"text": "rank"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "eigenvalue of the kernel"}, "type": "log", "exponentformat": "power"},
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
