"""One metric of a map: flat cells, regime boundaries, and everything a cell has to say when pointed at.

After Fig. 1 of arXiv:2605.29153: categorical axes, viridis_r cut to [0, 0.8] from the 5th to the 95th percentile, train
boundaries solid and test boundaries dashed at five levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from sciml_backend.figures.cell_marks import HATCHES, frame, hatching, region_edges
from sciml_backend.figures.style import HEAT, compact, decades, figure, figure_layout, joined, named
from sciml_backend.regimes.boundaries import Boundary
from sciml_backend.regimes.cells import COUNTS, axes, complete, matrix

LINES = {"train": ("#D6001C", "solid"), "test": ("#8F2BFF", "5px,3px")}
"""Colour and dash of the two boundaries; each lies on a white halo, so both show on every cell and page."""

Marks = Literal["none", "text", "outline"]


def regime_map(
    grid: pd.DataFrame,
    metric: str = "train_loss",
    *,
    boundaries: Sequence[Boundary] = (),
    published: pd.DataFrame | None = None,
    log: bool = False,
    regimes: Marks = "none",
    seeds: bool = False,
    selected: tuple[float, float] | None = None,
    n_clicks: int = 0,
    colour_range: tuple[float, float] | None = None,
    x_title: str = "x",
    y_title: str = "y",
    title: str | None = None,
    height: int = 480,
) -> go.Figure:
    """A panel of one column of ``grid``, one row per cell as ``regimes.complete`` gives it.

    Columns used when present: ``label`` (regimes.labelled), ``n_seeds``, ``n_diverged``, ``n_failed``, and every metric
    for the hover text. ``published`` has columns metric, level, x, y in axis values (regimes.paper_boundaries).
    ``selected`` is an (x, y); ``colour_range`` fixes both ends of the scale, in the unit of the metric. The last trace
    is transparent and has one point per cell, lowest row first: ``clicked_cell`` reads a click on it. ``n_clicks`` is
    how many clicks came before, kept in ``layout.meta``: a figure drawn after a click then never equals one drawn
    before it.
    """
    cells = grid if "state" in grid else complete(grid)
    xs, ys = axes(cells)
    traces = [
        _heat(cells, metric, log=log, colour_range=colour_range, text=_texts(cells, regimes, seeds)),
        *hatching(_square(cells, "state")),
        *_outline(cells, regimes),
        *_lines(boundaries),
        *_published(published, xs, ys),
        _targets(cells, x_title, y_title),
    ]
    layout = figure_layout(
        title={"text": title or named(metric), "font": {"size": 15}},
        height=height,
        # Fixed margins: letting them grow with titles, legend and colour bar draws the panel three times over.
        margin={"l": 68, "r": 78, "t": 34, "b": 118, "autoexpand": False},
        xaxis=_axis(xs, x_title),
        yaxis=_axis(ys, y_title),
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
    return figure(traces, layout)


def clicked_cell(grid: pd.DataFrame, selection: Mapping[str, Any]) -> tuple[float, float] | None:
    """The (x, y) of a selection event on the figure of ``grid``; None when nothing was chosen (a second click)."""
    points = selection.get("points") or ()
    if not points:
        return None
    xs, ys = axes(grid)
    row, column = divmod(int(points[0]["point_index"]), len(xs))
    return float(xs[column]), float(ys[row])


def _square(cells: pd.DataFrame, column: str) -> NDArray[Any]:
    """A column of any type as (rows, columns); the cells are complete and in order."""
    xs, ys = axes(cells)
    return cells[column].to_numpy(dtype=object).reshape(len(ys), len(xs))


def _heat(
    cells: pd.DataFrame, metric: str, *, log: bool, colour_range: tuple[float, float] | None, text: NDArray[Any] | None
) -> dict[str, Any]:
    values = matrix(cells, metric)
    if log:
        positive = values[values > 0]
        # A zero is the best there is: it has the colour of the least positive value, not that of a hole.
        values = np.log10(np.maximum(values, positive.min() if positive.size else 1.0))
    low, high = _colour_range(values, np.log10(colour_range).tolist() if log and colour_range else colour_range)
    bar: dict[str, Any] = {"thickness": 12, "outlinewidth": 0, "exponentformat": "e"}
    if log:
        bar["tickvals"], bar["ticktext"] = decades(low, high)
    heat = {"type": "heatmap", "z": values, "zmin": low, "zmax": high, "colorscale": HEAT, "colorbar": bar}
    labels = {} if text is None else {"text": text, "texttemplate": "%{text}"}
    return heat | labels | {"hoverinfo": "skip", "xgap": 1, "ygap": 1, "hoverongaps": False}


def _colour_range(values: NDArray[Any], wanted: Sequence[float] | None) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = wanted if wanted is not None else np.percentile(finite, [5, 95]) if finite.size else (0.0, 1.0)
    if high <= low:
        room = abs(low) / 2 or 0.5
        low, high = low - room, low + room
    return float(low), float(high)


def _texts(cells: pd.DataFrame, regimes: Marks, seeds: bool) -> NDArray[Any] | None:
    """What is written on the cells (rows, columns), or None."""
    written = []
    if regimes == "text" and "label" in cells:
        written.append([label or "" for label in cells["label"]])
    if seeds:
        lost = cells["n_diverged"] + cells["n_failed"]
        written.append([_share(n, n + gone) if n else "" for n, gone in zip(cells["n_seeds"], lost, strict=True)])
    if not written:
        return None
    together = ["<br>".join(words) for words in zip(*written, strict=True)]
    xs, ys = axes(cells)
    return np.array(together, dtype=object).reshape(len(ys), len(xs))


def _share(finite: int, ran: int) -> str:
    return f"{finite}" if finite == ran else f"{finite}/{ran}"


def _outline(cells: pd.DataFrame, regimes: Marks) -> Iterator[dict[str, Any]]:
    if regimes != "outline" or "label" not in cells:
        return
    x, y = region_edges(_square(cells, "label"))
    yield _polyline(x, y, {"color": "#FFFFFF", "width": 4}) | {"showlegend": False, "legendgroup": "regimes"}
    line = {"color": "#111111", "width": 2, "dash": "dot"}
    yield _polyline(x, y, line) | {"name": "edges of regimes", "legendgroup": "regimes"}


def _lines(boundaries: Sequence[Boundary]) -> Iterator[dict[str, Any]]:
    """One halo beneath all lines, then the perturbed levels of a metric as one trace and the unperturbed as another."""
    drawn = {
        (metric, middle): [
            line for b in boundaries if b.metric == metric and (b.level == 0) == middle for line in b.lines
        ]
        for middle in (False, True)
        for metric in LINES
    }
    for middle, width in ((False, 3.0), (True, 5.5)):
        if lines := [line for metric in LINES for line in drawn[metric, middle]]:
            halo = {"color": "rgba(255,255,255,0.75)", "width": width}
            yield _polyline(*joined(lines), halo) | {"showlegend": False}
    for (metric, middle), lines in drawn.items():
        if lines:
            colour, dash = LINES[metric]
            line = {"color": colour, "dash": dash, "width": 3 if middle else 1.3}
            name = {"name": f"{metric} boundary", "legendgroup": metric, "showlegend": middle}
            yield _polyline(*joined(lines), line) | name


def _published(points: pd.DataFrame | None, xs: NDArray[Any], ys: NDArray[Any]) -> Iterator[dict[str, Any]]:
    """The points of published boundaries: circles for train, diamonds for test; the unperturbed ones are larger."""
    if points is None:
        return
    for metric, symbol in (("train", "circle"), ("test", "diamond")):
        chosen = points[points["metric"] == metric]
        yield {
            "type": "scatter",
            "name": f"published {metric} boundary",
            "x": _index(chosen["x"], xs),
            "y": _index(chosen["y"], ys),
            "mode": "markers",
            "marker": {
                "symbol": symbol,
                "color": "#111111",
                "size": np.where(chosen["level"] == 0, 8, 5).tolist(),
                "line": {"color": "#FFFFFF", "width": 1},
            },
            "hoverinfo": "skip",
        }


def _index(values: pd.Series, axis: NDArray[Any]) -> NDArray[Any]:
    """Axis values as positions between cells; nan outside the axis."""
    if not len(axis):
        return np.full(len(values), np.nan)
    return np.asarray(np.interp(values, axis, np.arange(len(axis)), left=np.nan, right=np.nan))


def _polyline(x: NDArray[Any], y: NDArray[Any], line: dict[str, Any]) -> dict[str, Any]:
    return {"type": "scatter", "x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip"}


def _targets(cells: pd.DataFrame, x_title: str, y_title: str) -> dict[str, Any]:
    """A transparent point per cell: a heat map reports no click, and hoverdistance -1 makes a point its whole cell."""
    xs, ys = axes(cells)
    rows, columns = np.divmod(np.arange(len(cells)), max(len(xs), 1))
    return {
        "type": "scatter",
        "x": columns.astype("i2"),
        "y": rows.astype("i2"),
        "mode": "markers",
        "marker": {"symbol": "square", "size": 6, "opacity": 0},
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
        "hovertext": _hover_texts(cells, x_title, y_title),
        "hoverinfo": "text",
        "showlegend": False,
    }


def _hover_texts(cells: pd.DataFrame, x_title: str, y_title: str) -> list[str]:
    heads = [f"<b>{x_title} = {x:g}, {y_title} = {y:g}</b>" for x, y in zip(cells["x"], cells["y"], strict=True)]
    columns = [heads]
    for name in ("train_loss", "test_error", "heldout_error", "lambda_max"):
        if name in cells:
            values = cells[name].to_numpy(float, na_value=np.nan)
            columns.append([f"{named(name)}: {compact(value)}" for value in values])
    if "label" in cells:
        columns.append([f"regime {label}" if label else "" for label in cells["label"]])
    values = cells["train_loss"].to_numpy(float, na_value=np.nan)
    columns.append([_seeds(*counts) for counts in zip(values, *(cells[n] for n in COUNTS), strict=True)])
    columns.append([HATCHES[state][2] if state in HATCHES else "" for state in cells["state"]])
    return ["<br>".join(line for line in lines if line) for lines in zip(*columns, strict=True)]


def _seeds(value: float, finite: int, diverged: int, failed: int) -> str:
    lost = [f"{n} {word}" for n, word in ((diverged, "diverged"), (failed, "failed")) if n]
    if finite:
        counted = f"mean of {finite} seed{'s' * (finite != 1)}"
    else:
        counted = "no finite seed" if lost or math.isnan(value) else "mean of an unknown number of seeds"
    return ", ".join([counted, *lost])


def _axis(values: NDArray[Any], title: str) -> dict[str, Any]:
    """A categorical axis on whole numbers, so that boundaries can run between the cells."""
    return {
        "title": {"text": title, "standoff": 6},
        "range": [-0.5, max(len(values), 1) - 0.5],
        "tickvals": list(range(len(values))),
        "ticktext": [f"{value:g}" for value in values],
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }


def _chosen(selected: tuple[float, float] | None, xs: NDArray[Any], ys: NDArray[Any]) -> list[dict[str, Any]]:
    if selected is None or selected[0] not in xs or selected[1] not in ys:
        return []
    return frame(int(np.searchsorted(xs, selected[0])), int(np.searchsorted(ys, selected[1])))
