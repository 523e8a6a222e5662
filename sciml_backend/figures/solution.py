"""What a network learned beside what it should have: predicted, reference and error over space and time."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from sciml_backend.figures.style import HEAT, SIGNED, figure, figure_layout

HEADINGS = ("predicted", "reference", "predicted − reference")
GAP, BAR = 0.1, 0.07
"""Room between the panels and for the last colour bar, as shares of the width."""


def solution(
    x: ArrayLike,
    t: ArrayLike,
    predicted: ArrayLike,
    reference: ArrayLike,
    *,
    x_title: str = "x",
    t_title: str = "t",
    height: int = 300,
) -> go.Figure:
    """Three panels: predicted and reference on one colour scale, and predicted - reference centred at zero.

    ``x`` is (n,), ``t`` is (m,), both fields are (m, n). Values that are not finite stay blank.
    """
    fields = np.asarray(predicted, dtype=float), np.asarray(reference, dtype=float)
    error = fields[0] - fields[1]
    low, high = _range(fields[1])
    bound = max(abs(end) for end in _range(error)) or 1.0
    place = f"{x_title} %{{x:.3f}}<br>{t_title} %{{y:.3f}}<br>"
    panels = [
        _panel(0, x, t, fields[0], "predicted", low, high, place),
        _panel(1, x, t, fields[1], "reference", low, high, place),
        _panel(2, x, t, error, "error", -bound, bound, place) | {"colorscale": SIGNED},
    ]
    layout = figure_layout(height=height, annotations=[_heading(k, words) for k, words in enumerate(HEADINGS)])
    for k in range(3):
        layout[_name("xaxis", k)] = {"title": {"text": x_title}, "domain": list(_domain(k)), "anchor": _name("y", k)}
        layout[_name("yaxis", k)] = {"anchor": _name("x", k)} | ({"title": {"text": t_title}} if k == 0 else {})
    return figure(panels, layout)


def _panel(
    k: int, x: ArrayLike, t: ArrayLike, field: NDArray[Any], name: str, low: float, high: float, place: str
) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "name": name,
        "x": np.asarray(x, dtype="f4"),
        "y": np.asarray(t, dtype="f4"),
        "z": np.where(np.isfinite(field), field, np.nan).astype("f4"),
        "zmin": low,
        "zmax": high,
        "colorscale": HEAT,
        "showscale": k > 0,
        "colorbar": {"x": _domain(k)[1] + 0.005, "thickness": 9, "outlinewidth": 0},
        "hovertemplate": f"{place}{name} %{{z:.3e}}<extra></extra>",
        "xaxis": _name("x", k),
        "yaxis": _name("y", k),
    }


def _range(field: NDArray[Any]) -> tuple[float, float]:
    finite = field[np.isfinite(field)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _domain(k: int) -> tuple[float, float]:
    """Left and right end of a panel; room for its colour bar is at its right."""
    width = (1 - 2 * GAP - BAR) / 3
    left = k * (width + GAP)
    return left, left + width


def _heading(k: int, words: str) -> dict[str, Any]:
    left, right = _domain(k)
    place = {
        "x": (left + right) / 2,
        "y": 1.02,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "center",
        "yanchor": "bottom",
    }
    return place | {"text": words, "showarrow": False}


def _name(letter: str, k: int) -> str:
    return f"{letter}{k + 1 if k else ''}"
