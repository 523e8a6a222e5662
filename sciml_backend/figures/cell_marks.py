"""Marks on the cells of a map: hatching for cells without a value, outlines of regions, the chosen cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml_backend.figures.style import CLEAR, joined

HATCHES = {
    "missing": (".", "#8C8C8C", "not computed yet"),
    "running": ("/", "#0091D5", "queued or training"),
    "failed": ("x", "#D55E00", "failed with an error"),
    "diverged": ("|", "#C2479A", "diverged: no finite value"),
}
"""Pattern, colour and words of each state; the pattern alone tells them apart, and no value is ever hatched."""

SQUARE = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5]])


def hatching(states: NDArray[Any]) -> Iterator[dict[str, Any]]:
    """One trace per state that occurs in ``states`` (rows, columns)."""
    for state, (shape, colour, words) in HATCHES.items():
        rows, columns = np.nonzero(states == state)
        if rows.size:
            x, y = joined([SQUARE * 0.94 + (i, j) for i, j in zip(columns, rows, strict=True)])
            yield {
                "type": "scatter",
                "name": words,
                "x": x,
                "y": y,
                "mode": "lines",
                "line": {"color": colour, "width": 0 if state == "missing" else 1},
                "fill": "toself",
                "fillcolor": CLEAR,
                "fillpattern": {
                    "shape": shape,
                    "fgcolor": colour,
                    "bgcolor": CLEAR,
                    "size": 9 if state == "missing" else 7,
                    "solidity": 0.12 if state == "missing" else 0.3,
                },
                "hoverinfo": "skip",
            }


def region_edges(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The cell edges between unlike labels (rows, columns), as one polyline with gaps; cells of no label have none."""
    known = labels != None  # noqa: E711 - elementwise
    beside = (labels[:, 1:] != labels[:, :-1]) & known[:, 1:] & known[:, :-1]
    above = (labels[1:] != labels[:-1]) & known[1:] & known[:-1]
    upright = [np.array([[i + 0.5, j - 0.5], [i + 0.5, j + 0.5]]) for j, i in np.argwhere(beside)]
    level = [np.array([[i - 0.5, j + 0.5], [i + 0.5, j + 0.5]]) for j, i in np.argwhere(above)]
    return joined(upright + level)


def frame(column: int, row: int) -> list[dict[str, Any]]:
    """A rectangle around one cell, white in black so that it shows on every colour."""
    corners = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
    lines = ({"color": "#000000", "width": 6}, {"color": "#FFFFFF", "width": 3})
    return [{"type": "rect", **corners, "line": line, "layer": "above"} for line in lines]
