"""How many cells keep their regime under another map's thresholds: a matrix with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sciml_backend.figures.style import figure, figure_layout

SCALE = [[0.0, "#F7F7F7"], [1.0, "#5BA3D0"]]
"""From none to all; dark numbers are read on all of it."""


def carry_matrix(
    shares: pd.DataFrame, *, rows: Sequence[str], columns: Sequence[str], row_height: int = 38
) -> go.Figure:
    """The shares of ``regimes.carry_over`` in percent; ``rows`` and ``columns`` name the maps in its order."""
    values = 100 * shares.to_numpy(float)
    n = len(shares)
    heat: dict[str, Any] = {
        "type": "heatmap",
        "z": values,
        "zmin": 0,
        "zmax": 100,
        "colorscale": SCALE,
        "showscale": False,
        "text": [[f"{value:.0f}" if np.isfinite(value) else "–" for value in row] for row in values],
        "texttemplate": "%{text}",
        "textfont": {"color": "#111111"},
        "hoverinfo": "text",
        "hovertext": _said(values, rows),
        "xgap": 2,
        "ygap": 2,
        "hoverongaps": True,
    }
    shared = {"showgrid": False, "zeroline": False, "fixedrange": True, "range": [-0.5, n - 0.5], "automargin": True}
    ticks = {"tickvals": list(range(n))}
    layout = figure_layout(
        height=60 + row_height * max(n, 1),
        margin={"l": 0, "r": 4, "t": 4, "b": 0},
        xaxis=shared | ticks | {"ticktext": list(columns), "title": {"text": "map that they are applied to"}},
        yaxis=shared | ticks | {"ticktext": list(rows), "range": [n - 0.5, -0.5]},
        dragmode=False,
    )
    return figure([heat], layout)


def _said(values: np.ndarray, names: Sequence[str]) -> list[list[str]]:
    """What each entry says when pointed at."""
    plain = [name.replace("<br>", ", ") for name in names]
    return [
        [
            f"thresholds of <b>{source}</b><br>on <b>{target}</b><br>"
            + (f"{value:.0f} % of the cells keep their regime" if np.isfinite(value) else "no cell can be compared")
            for target, value in zip(plain, row, strict=True)
        ]
        for source, row in zip(plain, values, strict=True)
    ]
