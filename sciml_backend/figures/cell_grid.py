"""What all panels of cells share: categorical axes, boundaries on halos, a point per cell to hover and click."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from sciml_backend.figures.cell_marks import frame
from sciml_backend.figures.style import figure, figure_layout, joined, tick
from sciml_backend.regimes.boundaries import Boundary
from sciml_backend.regimes.cells import axes


class Lines(NamedTuple):
    """The boundaries of one name and look: five levels of one metric of one map."""

    name: str
    colour: str
    dash: str
    boundaries: Sequence[Boundary]


def panel(
    cells: pd.DataFrame,
    traces: Sequence[dict[str, Any]],
    hover: Sequence[str],
    *,
    title: str,
    x_title: str,
    y_title: str,
    selected: tuple[float, float] | None,
    n_clicks: int,
    height: int,
    right: int = 78,
) -> go.Figure:
    """Traces in cell indices over the axes of ``cells``, which are complete and in order, with one hover text each.

    The last trace is transparent and has one point per cell, lowest row first: ``clicked_cell`` reads a click on it.
    ``n_clicks`` is how many clicks came before, kept in ``layout.meta``: a figure drawn after a click then never equals
    one drawn before it. ``right`` is the room for a colour bar in pixels.
    """
    xs, ys = axes(cells)
    layout = figure_layout(
        title={"text": title, "font": {"size": 15}},
        height=height,
        # Fixed margins: letting them grow with titles, legend and colour bar draws the panel three times over.
        margin={"l": 68, "r": right, "t": 34, "b": 118, "autoexpand": False},
        xaxis=axis(xs, x_title),
        yaxis=axis(ys, y_title),
        shapes=_chosen(selected, xs, ys),
        legend={"orientation": "h", "yanchor": "top", "y": -0.17, "x": -0.1, "font": {"size": 11}},
        showlegend=True,
        hovermode="closest",
        hoverdistance=-1,
        clickmode="event+select",
        dragmode=False,
        uirevision="map",
        meta={"n_clicks": n_clicks},
    )
    return figure([*traces, targets(cells, hover)], layout)


def clicked_cell(grid: pd.DataFrame, selection: Mapping[str, Any]) -> tuple[float, float] | None:
    """The (x, y) of a selection event on the figure of ``grid``; None when nothing was chosen (a second click)."""
    points = selection.get("points") or ()
    if not points:
        return None
    xs, ys = axes(grid)
    row, column = divmod(int(points[0]["point_index"]), len(xs))
    return float(xs[column]), float(ys[row])


def square(cells: pd.DataFrame, values: Sequence[Any] | NDArray[Any] | pd.Series) -> NDArray[Any]:
    """One value of any type per cell as (rows, columns); the cells are complete and in order."""
    xs, ys = axes(cells)
    out = np.empty(len(cells), dtype=object)
    out[:] = list(values)
    return out.reshape(len(ys), len(xs))


def boundary_lines(groups: Sequence[Lines], *, width: float = 3.0) -> Iterator[dict[str, Any]]:
    """One halo beneath all lines, then the perturbed levels of each group as one trace and the unperturbed as another.

    ``width`` in pixels is that of the unperturbed ones. Halos are white, so every line shows on every cell and page.
    """
    drawn = {
        (group, middle): [line for b in lines.boundaries if (b.level == 0) == middle for line in b.lines]
        for middle in (False, True)
        for group, lines in enumerate(groups)
    }
    for middle, wide in ((False, 3.0), (True, width + 2.5)):
        if under := [line for group in range(len(groups)) for line in drawn[group, middle]]:
            halo = {"color": "rgba(255,255,255,0.75)", "width": wide}
            yield polyline(*joined(under), halo) | {"showlegend": False}
    for (group, middle), lines in drawn.items():
        if lines:
            name, colour, dash, _ = groups[group]
            line = {"color": colour, "dash": dash, "width": width if middle else 1.3}
            yield polyline(*joined(lines), line) | {"name": name, "legendgroup": name, "showlegend": middle}


def polyline(x: NDArray[Any], y: NDArray[Any], line: dict[str, Any]) -> dict[str, Any]:
    """A line that is not pointed at."""
    return {"type": "scatter", "x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip"}


def heads(cells: pd.DataFrame, x_title: str, y_title: str) -> list[str]:
    """The first line of each cell's hover text."""
    return [
        f"<b>{x_title} = {tick(x_title, x)}, {y_title} = {tick(y_title, y)}</b>"
        for x, y in zip(cells["x"], cells["y"], strict=True)
    ]


def seed_words(value: float, finite: float, diverged: int, failed: int) -> str:
    """What a cell's value is the mean of, and how many seeds were lost; ``finite`` is nan where that is not known."""
    lost = [f"{n:.0f} {word}" for n, word in ((diverged, "diverged"), (failed, "failed")) if n]
    if finite > 0:
        counted = f"mean of {finite:.0f} seed{'s' * (finite != 1)}"
    else:
        counted = "no finite seed" if lost or math.isnan(value) else "mean of an unknown number of seeds"
    return ", ".join([counted, *lost])


def targets(cells: pd.DataFrame, hover: Sequence[str]) -> dict[str, Any]:
    """A transparent point per cell: a heat map reports no click, and hoverdistance -1 makes a point its whole cell."""
    xs, _ = axes(cells)
    rows, columns = np.divmod(np.arange(len(cells)), max(len(xs), 1))
    return {
        "type": "scatter",
        "x": columns.astype("i2"),
        "y": rows.astype("i2"),
        "mode": "markers",
        "marker": {"symbol": "square", "size": 6, "opacity": 0},
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
        "hovertext": list(hover),
        "hoverinfo": "text",
        "showlegend": False,
    }


def axis(values: NDArray[Any], title: str) -> dict[str, Any]:
    """A categorical axis on whole numbers, so that boundaries can run between the cells."""
    return {
        "title": {"text": title, "standoff": 12},
        "range": [-0.5, max(len(values), 1) - 0.5],
        "tickvals": list(range(len(values))),
        "ticktext": [tick(title, value) for value in values],
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }


def _chosen(selected: tuple[float, float] | None, xs: NDArray[Any], ys: NDArray[Any]) -> list[dict[str, Any]]:
    if selected is None or selected[0] not in xs or selected[1] not in ys:
        return []
    return frame(int(np.searchsorted(xs, selected[0])), int(np.searchsorted(ys, selected[1])))
