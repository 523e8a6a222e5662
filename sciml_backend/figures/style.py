"""What all figures share: a bare layout that takes the page's fonts and background, and colours safe for all eyes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale, sequential

CLEAR = "rgba(0,0,0,0)"


class AxisTitle(str):
    """The title of an axis; ``names`` has what some of its values are called, where a number would not do."""

    __slots__ = ("names",)
    names: Mapping[float, str]

    def __new__(cls, text: str, names: Mapping[float, str] | None = None) -> AxisTitle:
        made = super().__new__(cls, text)
        made.names = names or {}
        return made


def tick(title: str, value: float) -> str:
    """A value of an axis in words."""
    names = title.names if isinstance(title, AxisTitle) else {}
    return names.get(value, f"{value:g}")


OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Qualitative colours, Okabe and Ito (2008), without black and yellow: each is seen on white and on black."""

CATEGORIES = (*OKABE_ITO, "#F0E442", "#8C8C8C")
"""Okabe and Ito's colours for areas, where yellow is seen too, and grey."""

DASHES = ("solid", "dash", "dot", "dashdot")
"""Line patterns, for when there are more lines than colours."""

NAMES = {
    "train_loss": "training loss",
    "test_error": "test error",
    "heldout_error": "held-out error",
    "test_error_l1": "test error (L1)",
    "objective_value": "objective",
    "lambda_max": "λmax",
    "lambda_min": "λmin",
    "trace": "Hessian trace",
}
"""Columns in words."""


def named(column: str) -> str:
    """A column in words."""
    return NAMES.get(column, column.replace("_", " "))


def figure_layout(**changes: Any) -> dict[str, Any]:
    """A layout without a template of its own, so that the page's fonts, grid and background show through."""
    margin = {"l": 0, "r": 0, "t": 36, "b": 0}
    tools = {"bgcolor": CLEAR, "color": "#8C8C8C", "activecolor": "#0091D5"}
    return {"template": {}, "paper_bgcolor": CLEAR, "plot_bgcolor": CLEAR, "margin": margin, "modebar": tools} | changes


def figure(traces: list[dict[str, Any]], layout: dict[str, Any]) -> go.Figure:
    """A figure from plain dicts, without plotly's check of every attribute: the check takes nine tenths of the time.

    The tests check them instead: each figure is built again with the check on.
    """
    return go.Figure({"data": traces, "layout": layout}, _validate=False)


def _viridis(at: float) -> str:
    """Viridis at a position in [0, 1]."""
    return str(sample_colorscale(sequential.Viridis, [at])[0])


HEAT = [[k / 8, _viridis(1 - 0.1 * k)] for k in range(9)]
"""viridis_r cut to [0, 0.8], from yellow (low) to blue (high)."""

SIGNED = [[0.0, "#2166AC"], [0.25, "#92C5DE"], [0.5, "#F7F7F7"], [0.75, "#F4A582"], [1.0, "#B2182B"]]
"""A diverging scale centred at white, blue for negative; Brewer's RdBu."""


def paler(colour: str, share: float = 0.62) -> str:
    """A hexadecimal colour mixed with this share of white."""
    mixed = (round(255 * share + int(colour[k : k + 2], 16) * (1 - share)) for k in (1, 3, 5))
    return "#{:02X}{:02X}{:02X}".format(*mixed)


def compact(value: float) -> str:
    """A number in at most three significant digits, or a dash."""
    return f"{value:.3g}" if math.isfinite(value) else "–"


def decades(low: float, high: float) -> tuple[list[float], list[str]]:
    """Ticks of a logarithmic axis drawn in log10 units: whole decades, with 2 and 5 between them on a short axis."""
    steps = (0.0,) if high - low > 2 else (0.0, math.log10(2), math.log10(5))
    whole = range(math.floor(low), math.ceil(high) + 1)
    ticks = [decade + step for decade in whole for step in steps if low - 1e-9 <= decade + step <= high + 1e-9]
    return ticks, [f"{10**tick:.0e}".replace("e-0", "e-").replace("e+0", "e") for tick in ticks]


def logarithmic(values: pd.Series) -> dict[str, Any]:
    """A logarithmic axis: ticks at powers of ten where the values span two of them, else wherever there is room."""
    shown = values[(values > 0) & np.isfinite(values)]
    span = float(np.log10(shown.max() / shown.min())) if len(shown) else 0.0
    return {"type": "log", "exponentformat": "power"} | ({"dtick": 1 + int(span / 6)} if span >= 2 else {})


def joined(lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Many polylines (n, 2) as one trace: x and y with a nan after each."""
    gap = np.full((1, 2), np.nan)
    together = np.concatenate([part for line in lines for part in (line, gap)]) if lines else gap
    return together[:, 0], together[:, 1]
