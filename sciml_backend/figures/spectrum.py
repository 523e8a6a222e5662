"""Hessian eigenvalue densities before and after training, on a symmetric-log axis.

After Figs. 6, 13 and 16 of arXiv:2605.29153.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from sciml_backend.figures.style import OKABE_ITO, figure, figure_layout

LOWEST_DENSITY = 1e-6
"""Densities below it are not drawn."""


def spectrum(
    eigenvalue: ArrayLike,
    *,
    final: ArrayLike,
    initial: ArrayLike | None = None,
    noise_floor: float = 0.0,
    linear_within: float = 1e-4,
    height: int = 380,
) -> go.Figure:
    """Density per signed decade over ``eigenvalue`` (g,); the densities are (g,).

    Within ``noise_floor`` of zero, a grey band, an eigenvalue has no sign. The axis is linear up to the magnitude
    ``linear_within``.
    """
    values = np.asarray(eigenvalue, dtype=float)
    place = symlog(values, linear_within)
    ends = {"before training": (initial, OKABE_ITO[0], "solid"), "after training": (final, OKABE_ITO[5], "dash")}
    lines = [
        _line(place, values, np.asarray(density, dtype=float), name, colour, dash)
        for name, (density, colour, dash) in ends.items()
        if density is not None
    ]
    ticks = _ticks(values, linear_within)
    layout = figure_layout(
        height=height,
        xaxis={
            "title": {"text": "eigenvalue of the Hessian"},
            "tickvals": symlog(np.array(ticks), linear_within).tolist(),
            "ticktext": [_power(tick) for tick in ticks],
            "zeroline": True,
        },
        yaxis={"title": {"text": "density per decade"}, "type": "log", "exponentformat": "power"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    )
    if math.isfinite(noise_floor) and noise_floor > 0:
        lines.append(_band_name(noise_floor))
        layout["shapes"] = _band(noise_floor, linear_within)
    return figure(lines, layout)


def symlog(values: NDArray[Any], linear_within: float) -> NDArray[Any]:
    """Signed decades, sign(v) log10(1 + |v| / linear_within)."""
    return np.asarray(np.sign(values) * np.log10(1 + np.abs(values) / linear_within))


def _line(
    place: NDArray[Any],
    values: NDArray[Any],
    density: NDArray[Any],
    name: str,
    colour: str,
    dash: str,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "x": place,
        "y": np.where(density >= LOWEST_DENSITY, density, np.nan),
        "customdata": values,
        "mode": "lines",
        "line": {"color": colour, "dash": dash, "width": 2},
        "hovertemplate": f"λ %{{customdata:.3e}}<br>density %{{y:.3e}}<extra>{name}</extra>",
    }


def _ticks(values: NDArray[Any], linear_within: float) -> list[float]:
    """Zero and every other or every decade on both sides, as far as the data go."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (-1.0, 1.0)
    first = math.floor(math.log10(linear_within))
    last = math.ceil(math.log10(max(abs(low), abs(high), 10 * linear_within)))
    stride = 1 if last - first <= 5 else 2
    magnitudes = [10.0**power for power in range(last, first, -stride)]
    return sorted([-m for m in magnitudes if -m >= low] + [0.0] + [m for m in magnitudes if m <= high])


def _power(value: float) -> str:
    if value == 0:
        return "0"
    return f"{'−' if value < 0 else ''}10<sup>{round(math.log10(abs(value)))}</sup>"


GREY = "rgba(140,140,140,0.25)"


def _band(noise_floor: float, linear_within: float) -> list[dict[str, Any]]:
    edge = float(symlog(np.array(noise_floor), linear_within))
    style = {"fillcolor": GREY, "line": {"width": 0}, "layer": "below"}
    return [{"type": "rect", "x0": -edge, "x1": edge, "y0": 0, "y1": 1, "yref": "paper"} | style]


def _band_name(noise_floor: float) -> dict[str, Any]:
    """An entry of the legend, where it hides no curve."""
    return {
        "type": "scatter",
        "name": f"noise floor ±{noise_floor:.1e}: no sign",
        "x": [None],
        "y": [None],
        "mode": "markers",
        "marker": {"symbol": "square", "size": 12, "color": GREY},
        "hoverinfo": "skip",
    }
