"""Histories of the runs of one cell: loss, error or curvature against iterations, evaluations or seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sciml_backend.figures.style import DASHES, OKABE_ITO, figure, figure_layout, logarithmic, named

AXES = {
    "iteration": "iterations",
    "evaluations": "loss-and-gradient evaluations",
    "seconds": "seconds (a run's share of its batch)",
}


def curves(
    history: pd.DataFrame,
    metrics: Sequence[str] = ("train_loss", "test_error"),
    *,
    x: str = "iteration",
    strategies: Mapping[str, str] | None = None,
    height: int = 480,
) -> go.Figure:
    """One panel per metric above one x axis, one line per seed, logarithmic y.

    ``history`` has one row per logged point: seed, the x column (iteration, evaluations or seconds) and the metrics
    (``lambda_max`` too where it was followed); rows without a value of a metric are left out of its line. Values that
    a logarithmic axis cannot show leave a gap. Seeds have a colour each; with ``strategies``, names of the column
    ``strategy`` and their colours, they have that of theirs.
    """
    panels = [run for row, metric in enumerate(metrics) for run in _seeds(history, metric, x, row, strategies)]
    return figure(panels, _layout(history, metrics, x, height))


def _seeds(
    history: pd.DataFrame, metric: str, x: str, row: int, strategies: Mapping[str, str] | None
) -> Iterator[dict[str, Any]]:
    if strategies is None:
        for k, (seed, run) in enumerate(history.groupby("seed", sort=True)):
            look = {"color": OKABE_ITO[k % len(OKABE_ITO)], "dash": DASHES[k // len(OKABE_ITO) % 4]}
            yield _run(run, metric, x, row, look=look, name=f"seed {seed}")
        return
    for name, colour in strategies.items():
        for k, (_, run) in enumerate(history[history["strategy"] == name].groupby("seed", sort=True)):
            yield _run(run, metric, x, row, look={"color": colour}, name=name) | {"showlegend": row == 0 and k == 0}


def _run(run: pd.DataFrame, metric: str, x: str, row: int, *, look: Mapping[str, str], name: str) -> dict[str, Any]:
    """One line, of one run."""
    known = run[run[metric].notna()].sort_values(x)
    values = known[metric].to_numpy(float)
    return {
        "type": "scatter",
        "name": name,
        "legendgroup": name,
        "showlegend": row == 0,
        "x": known[x].to_numpy(float),
        "y": np.where(np.isfinite(values) & (values > 0), values, np.nan),
        "mode": "lines+markers" if len(known) < 3 else "lines",
        "line": {**look, "width": 1.8},
        "hovertemplate": f"{name}<br>{x} %{{x:.4~s}}<br>{named(metric)} %{{y:.3e}}<extra></extra>",
        "yaxis": _key("y", row),
    }


def _layout(history: pd.DataFrame, metrics: Sequence[str], x: str, height: int) -> dict[str, Any]:
    share, gap = 1 / max(len(metrics), 1), 0.03
    panels = {
        _key("yaxis", row): {
            "title": {"text": named(metric)},
            **logarithmic(history[metric]),
            "domain": [1 - (row + 1) * share + gap, 1 - row * share - gap],
        }
        for row, metric in enumerate(metrics)
    }
    return figure_layout(
        height=height,
        xaxis={
            "title": {"text": AXES.get(x, x)},
            "type": "linear",
            "anchor": _key("y", len(metrics) - 1),
        },
        hovermode="closest",
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        uirevision="curves",
        **panels,
    )


def _key(letter: str, row: int) -> str:
    return letter if row <= 0 else f"{letter}{row + 1}"
