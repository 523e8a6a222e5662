"""The loss on a plane through a run's weights, as a surface; arXiv:2605.29153, Figs. 5 and 13."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from sciml_backend.figures.style import CLEAR, HEAT, decades, figure, figure_layout


def landscape(
    first: ArrayLike,
    second: ArrayLike,
    log10_loss: ArrayLike,
    *,
    titles: tuple[str, str] = ("first direction", "second direction"),
    height: int = 520,
) -> go.Figure:
    """log10 of the loss over steps ``first`` (n,) and ``second`` (m,) from the trained weights, at the dot.

    ``log10_loss[i, j]`` belongs to ``first[i]``, ``second[j]``; values that are not finite leave holes.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    heights = np.asarray(log10_loss, dtype=float).T
    heights = np.where(np.isfinite(heights), heights, np.nan)
    finite = heights[np.isfinite(heights)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    ticks, words = decades(low, high)
    surface = {
        "type": "surface",
        "x": a.astype("f4"),
        "y": b.astype("f4"),
        "z": heights.astype("f4"),
        "colorscale": HEAT,
        "cmin": low,
        "cmax": high,
        "colorbar": {"tickvals": ticks, "ticktext": words, "thickness": 12, "outlinewidth": 0, "len": 0.7},
        "contours": {"z": {"show": True, "start": low, "end": high, "size": max(high - low, 1e-9) / 12, "width": 1}},
        "hovertemplate": "%{x:.3f}, %{y:.3f}<br>log10 loss %{z:.2f}<extra></extra>",
    }
    axes = {
        "xaxis": {"title": {"text": titles[0]}},
        "yaxis": {"title": {"text": titles[1]}},
        "zaxis": {"title": {"text": "loss"}, "tickvals": ticks, "ticktext": words},
    }
    scene = axes | {
        "bgcolor": CLEAR,
        "aspectmode": "manual",
        "aspectratio": {"x": 1, "y": 1, "z": 0.8},
        "camera": {"eye": {"x": 1.4, "y": 1.4, "z": 0.9}, "center": {"x": 0, "y": 0, "z": -0.15}},  # else ticks are cut
    }
    layout = figure_layout(height=height, scene=scene, uirevision="landscape", showlegend=False)
    return figure([surface, _centre(a, b, heights)], layout)


def _centre(a: NDArray[Any], b: NDArray[Any], heights: NDArray[Any]) -> dict[str, Any]:
    """A dot at the trained weights, the step nearest to zero on both axes."""
    i, j = int(np.abs(a).argmin()), int(np.abs(b).argmin())
    return {
        "type": "scatter3d",
        "x": [a[i]],
        "y": [b[j]],
        "z": [heights[j, i]],
        "mode": "markers",
        "marker": {"size": 5, "color": "#D55E00"},
        "hovertemplate": "the run's weights<br>log10 loss %{z:.2f}<extra></extra>",
    }
