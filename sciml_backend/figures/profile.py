"""What a network learned of a function of one variable, beside what it should have, and the difference below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from sciml_backend.figures.style import OKABE_ITO, figure, figure_layout

SPLIT = (0.3, 0.38)
"""Where the panel of the difference ends and that of the functions begins, as shares of the height."""


def profile(
    x: ArrayLike,
    predicted: ArrayLike,
    reference: ArrayLike,
    *,
    names: Sequence[str] = ("",),
    x_title: str = "x",
    height: int = 340,
) -> go.Figure:
    """Two panels over ``x`` (n,): predicted and reference (n,), and predicted - reference on an axis of its own.

    Functions of several components are (m, n), with ``names`` (m,); each has a colour.
    """
    along = np.asarray(x, dtype=float)
    found, wanted = (np.atleast_2d(np.asarray(values, dtype=float)) for values in (predicted, reference))
    lines = []
    for k, name in enumerate(names):
        colours = (OKABE_ITO[k],) * 3 if len(names) > 1 else (OKABE_ITO[0], OKABE_ITO[5], OKABE_ITO[2])
        own = f"{name} " if name else ""
        lines += [
            _line(along, wanted[k], f"{own}reference", colours[0], "solid", "y", x_title),
            _line(along, found[k], f"{own}predicted", colours[1], "dash", "y", x_title),
            _line(along, found[k] - wanted[k], f"{own}predicted − reference", colours[2], "solid", "y2", x_title),
        ]
    layout = figure_layout(
        height=height,
        xaxis={"title": {"text": x_title}, "anchor": "y2"},
        yaxis={"domain": [SPLIT[1], 1.0]},
        yaxis2={"domain": [0.0, SPLIT[0]], "exponentformat": "power", "zeroline": True},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    return figure(lines, layout)


def _line(x: Any, y: Any, name: str, colour: str, dash: str, axis: str, x_title: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "x": x,
        "y": np.where(np.isfinite(y), y, np.nan),
        "yaxis": axis,
        "mode": "lines",
        "line": {"color": colour, "dash": dash, "width": 2},
        "hovertemplate": f"{x_title} %{{x:.3f}}<br>%{{y:.3e}}<extra>{name}</extra>",
    }
