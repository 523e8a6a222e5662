"""Cost against cost: what a cell takes one strategy and another, on equal logarithmic axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from sciml_backend.figures.cell_grid import heads
from sciml_backend.figures.style import HEAT, compact, figure, figure_layout, tick


def cost_scatter(
    costs: pd.DataFrame,
    *,
    names: tuple[str, str],
    unit: str,
    n_clicks: int = 0,
    x_title: str = "x",
    y_title: str = "y",
    title: str = "Cost of a run",
    height: int = 480,
) -> go.Figure:
    """One point per cell: x, y, base and method, costs of a run in ``unit``, infinite where it is never done.

    Points below the diagonal are cheaper with the method. A cost that is infinite lies on a dotted line beyond all
    others; a cell in which both are, or in which one is not known (nan), has no point. ``costs`` is complete and in
    order, so that ``clicked_cell`` reads a click on the points, the first trace.
    """
    values = costs[["base", "method"]].to_numpy(float)
    finite = values[np.isfinite(values) & (values > 0)]
    low, high = (finite.min() / 1.6, finite.max() * 1.6) if finite.size else (1.0, 10.0)
    never = high * 1.7
    drawn = np.isfinite(values).any(axis=1) & ~np.isnan(values).any(axis=1)
    never_at = [never] if np.isinf(values[drawn]).any() else []
    points = np.where(drawn[:, None], np.clip(np.where(np.isinf(values), never, values), low, None), np.nan)
    title_of = {side: f"{name}, {unit}" for side, name in zip(("base", "method"), names, strict=True)}
    span = [np.log10(low), np.log10(never * 1.5 if never_at else high)]
    ticks = [m * 10.0**k for k in range(-2, 10) for m in (1, 2, 5)]
    axis = {"type": "log", "range": span, "tickvals": ticks, "ticktext": [f"{tick:,.10g}" for tick in ticks]}
    layout = figure_layout(
        title={"text": title, "font": {"size": 15}},
        height=height,
        margin={"l": 76, "r": 78, "t": 34, "b": 60, "autoexpand": False},
        xaxis=axis | {"title": {"text": title_of["base"], "standoff": 6}, "fixedrange": True},
        yaxis=axis | {"title": {"text": title_of["method"], "standoff": 6}, "fixedrange": True},
        shapes=list(_never(never_at)),
        showlegend=False,
        hovermode="closest",
        clickmode="event+select",
        dragmode=False,
        uirevision="cost",
        meta={"n_clicks": n_clicks},
    )
    equal = {"color": "#8C8C8C", "width": 1.5, "dash": "dot"}
    diagonal = {"type": "scatter", "x": [low, high], "y": [low, high], "mode": "lines", "line": equal}
    return figure([_points(costs, points, names, unit, x_title, y_title), diagonal | {"hoverinfo": "skip"}], layout)


def _points(
    cells: pd.DataFrame, points: NDArray[Any], names: tuple[str, str], unit: str, x_title: str, y_title: str
) -> dict[str, Any]:
    """Coloured by their column: hard cells are blue."""
    xs = np.unique(cells["x"])
    sides = [
        [f"{name}: {f'{compact(cost)} {unit}' if np.isfinite(cost) else 'never'}" for cost in cells[side]]
        for side, name in zip(("base", "method"), names, strict=True)
    ]
    hover = ["<br>".join(lines) for lines in zip(heads(cells, x_title, y_title), *sides, strict=True)]
    bar = {"thickness": 12, "outlinewidth": 0, "title": {"text": x_title}}
    ticks = {"tickvals": list(range(len(xs))), "ticktext": [tick(x_title, value) for value in xs]}
    return {
        "type": "scatter",
        "x": points[:, 0],
        "y": points[:, 1],
        "mode": "markers",
        "marker": {
            "size": 11,
            "color": np.searchsorted(xs, cells["x"]),
            "colorscale": HEAT,
            "cmin": 0,
            "cmax": max(len(xs) - 1, 1),
            "colorbar": bar | ticks,
            "symbol": np.where(np.isfinite(cells[["base", "method"]]).all(axis=1), "circle", "diamond").tolist(),
            "line": {"color": "#8C8C8C", "width": 1},
        },
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
        "hovertext": hover,
        "hoverinfo": "text",
    }


def _never(at: list[float]) -> Iterator[dict[str, Any]]:
    """The lines on which costs without end lie."""
    for place in at:
        line = {"color": "#C2479A", "width": 1, "dash": "dot"}
        label = {"text": "never", "font": {"size": 11, "color": "#C2479A"}}
        yield {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": place,
            "y1": place,
            "line": line,
            "label": label | {"textposition": "start"},
        }
        yield {
            "type": "line",
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "x0": place,
            "x1": place,
            "line": line,
            "label": label | {"textposition": "start", "textangle": -90},
        }
