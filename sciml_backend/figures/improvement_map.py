"""Relative improvement of one strategy over another, cell by cell, below the boundaries of both.

After Fig. 4 of arXiv:2605.29153. The scale of percents is symmetric and clipped: a method can be at most 100 % better,
and any number of times worse. On the scale of factors both sides are equal, and clipped too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sciml_backend.figures.cell_grid import Lines, boundary_lines, heads, panel, seed_words, square
from sciml_backend.figures.cell_marks import HATCHES, hatching
from sciml_backend.figures.style import SIGNED, compact
from sciml_backend.regimes.boundaries import Boundary
from sciml_backend.regimes.cells import COUNTS, Floats, matrix

PERCENT, FACTOR = 100.0, 100.0
"""Where the two scales end, on both sides."""

BETTER = [[at, colour] for (at, _), (_, colour) in zip(SIGNED, reversed(SIGNED), strict=True)]
"""Blue for better, red for worse."""

LINES = {"base": ("#B35900", "solid"), "method": ("#008060", "6px,4px")}
"""Colour and dash of the boundaries of both maps."""


def improvement_map(
    cells: pd.DataFrame,
    *,
    names: tuple[str, str],
    boundaries: tuple[Sequence[Boundary], Sequence[Boundary]] = ((), ()),
    factors: bool = False,
    selected: tuple[float, float] | None = None,
    n_clicks: int = 0,
    x_title: str = "x",
    y_title: str = "y",
    title: str = "Relative improvement",
    height: int = 480,
) -> go.Figure:
    """A panel of ``regimes.improvement``, which are complete and in order; boundaries are those of one metric.

    ``names`` and ``boundaries`` are the baseline's, then the method's. Columns: x, y, base, method, improvement (%),
    and state and seed counts ending in ``_base`` and ``_method``. With ``factors`` the colour is that of base / method
    on a logarithmic scale. For clicks see ``cell_grid.panel``.
    """
    states = np.where(cells["state_base"] != "ok", cells["state_base"], cells["state_method"])
    lines = [
        Lines(f"boundary, {name}", *LINES[side], drawn)
        for side, name, drawn in zip(LINES, names, boundaries, strict=True)
    ]
    traces = [
        _heat(*(_factors(cells) if factors else _percents(cells))),
        *hatching(square(cells, states)),
        *boundary_lines(lines),
    ]
    return panel(
        cells,
        traces,
        _hover_texts(cells, names, x_title, y_title),
        title=title,
        x_title=x_title,
        y_title=y_title,
        selected=selected,
        n_clicks=n_clicks,
        height=height,
    )


def _percents(cells: pd.DataFrame) -> tuple[Floats, float, dict[float, str]]:
    """The improvement, where its scale ends, and the ticks of that."""
    words = {-PERCENT: f"≤ −{PERCENT:g} %", 0.0: "0"} | {tick: f"{tick:+g} %" for tick in (PERCENT / 2, PERCENT)}
    return matrix(cells, "improvement"), PERCENT, words | {-PERCENT / 2: f"−{PERCENT / 2:g} %"}


def _factors(cells: pd.DataFrame) -> tuple[Floats, float, dict[float, str]]:
    """The logarithm of base / method, where its scale ends, and the ticks of that."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log10(matrix(cells, "base") / matrix(cells, "method"))
    end = float(np.log10(FACTOR))
    half = f"{FACTOR**0.5:g}"
    words = {-end: f"≤ 1/{FACTOR:g}", -end / 2: f"1/{half}", 0.0: "1", end / 2: f"{half} ×", end: f"≥ {FACTOR:g} ×"}
    return values, end, words


def _heat(values: Floats, end: float, ticks: dict[float, str]) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "z": np.clip(values, -end, end),
        "zmin": -end,
        "zmax": end,
        "colorscale": BETTER,
        "colorbar": {"thickness": 12, "outlinewidth": 0, "tickvals": list(ticks), "ticktext": list(ticks.values())},
        "hoverinfo": "skip",
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
    }


def _hover_texts(cells: pd.DataFrame, names: tuple[str, str], x_title: str, y_title: str) -> list[str]:
    gains = [f"{gain:+.3g} %".replace("-", "−") if np.isfinite(gain) else "" for gain in cells["improvement"]]
    sides = [_side(cells, side, name) for side, name in zip(("base", "method"), names, strict=True)]
    texts = zip(heads(cells, x_title, y_title), *sides, gains, strict=True)
    return ["<br>".join(line for line in lines if line) for lines in texts]


def _side(cells: pd.DataFrame, side: str, name: str) -> list[str]:
    """One map's value, seeds and state in each cell."""
    rows = zip(cells[side], *(cells[f"{count}_{side}"] for count in COUNTS), cells[f"state_{side}"], strict=True)
    return [
        f"{name}: {compact(value)} ({seed_words(value, *counts)})"
        if state not in HATCHES or counts[1] or counts[2]
        else f"{name}: {HATCHES[state][2]}"
        for value, *counts, state in rows
    ]
