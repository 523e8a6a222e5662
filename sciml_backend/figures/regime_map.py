"""One metric of a map: flat cells, regime boundaries, and everything a cell has to say when pointed at.

After Fig. 1 of arXiv:2605.29153: categorical axes, viridis_r cut to [0, 0.8] from the 5th to the 95th percentile, train
boundaries solid and test boundaries dashed at five levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from sciml_backend.figures.cell_grid import Lines, boundary_lines, heads, panel, polyline, seed_words, square
from sciml_backend.figures.cell_marks import HATCHES, hatching, region_edges
from sciml_backend.figures.style import HEAT, compact, decades, named
from sciml_backend.regimes.boundaries import Boundary
from sciml_backend.regimes.cells import COUNTS, axes, complete, matrix

LINES = {"train": ("#D6001C", "solid"), "test": ("#8F2BFF", "5px,3px")}
"""Colour and dash of the two boundaries."""

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
    ``selected`` is an (x, y); ``colour_range`` fixes both ends of the scale, in the unit of the metric. For clicks see
    ``cell_grid.panel``.
    """
    cells = grid if "state" in grid else complete(grid)
    xs, ys = axes(cells)
    lines = [
        Lines(f"{metric} boundary", *look, [b for b in boundaries if b.metric == metric])
        for metric, look in LINES.items()
    ]
    traces = [
        _heat(cells, metric, log=log, colour_range=colour_range, text=_texts(cells, regimes, seeds)),
        *hatching(square(cells, cells["state"])),
        *_outline(cells, regimes),
        *boundary_lines(lines),
        *_published(published, xs, ys),
    ]
    return panel(
        cells,
        traces,
        hover_texts(cells, x_title, y_title),
        title=title or named(metric),
        x_title=x_title,
        y_title=y_title,
        selected=selected,
        n_clicks=n_clicks,
        height=height,
    )


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
    x, y = region_edges(square(cells, cells["label"]))
    yield polyline(x, y, {"color": "#FFFFFF", "width": 4}) | {"showlegend": False, "legendgroup": "regimes"}
    line = {"color": "#111111", "width": 2, "dash": "dot"}
    yield polyline(x, y, line) | {"name": "edges of regimes", "legendgroup": "regimes"}


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


def hover_texts(cells: pd.DataFrame, x_title: str, y_title: str) -> list[str]:
    """What each cell has to say: metrics, regime, seeds, state."""
    columns = [heads(cells, x_title, y_title)]
    for name in ("train_loss", "test_error", "heldout_error", "lambda_max"):
        if name in cells:
            values = cells[name].to_numpy(float, na_value=np.nan)
            columns.append([f"{named(name)}: {compact(value)}" for value in values])
    if "label" in cells:
        columns.append([f"regime {label}" if label else "" for label in cells["label"]])
    values = cells["train_loss"].to_numpy(float, na_value=np.nan)
    columns.append([seed_words(*counts) for counts in zip(values, *(cells[n] for n in COUNTS), strict=True)])
    columns.append([HATCHES[state][2] if state in HATCHES else "" for state in cells["state"]])
    return ["<br>".join(line for line in lines if line) for lines in zip(*columns, strict=True)]
