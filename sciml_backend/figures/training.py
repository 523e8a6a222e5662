"""Training as it goes on: the loss of every run of a batch against iterations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sciml_backend.figures.style import DASHES, OKABE_ITO, figure, figure_layout, logarithmic

MOST_NAMES = 8
"""More runs than this are named where the pointer is, not in a legend."""


def training(history: pd.DataFrame, *, height: int = 260) -> go.Figure:
    """One line per run, logarithmic y, a dot at its newest point.

    ``history`` has a row per point: run (its name), iteration, train_loss. Losses that a logarithmic axis cannot show
    leave a gap.
    """
    names = list(dict.fromkeys(history["run"]))
    return figure(
        [_line(name, history[history["run"] == name], k, len(names)) for k, name in enumerate(names)],
        figure_layout(
            height=height,
            margin={"l": 0, "r": 8, "t": 30 if len(names) <= MOST_NAMES else 8, "b": 0},
            xaxis={"title": {"text": "iterations"}, "rangemode": "tozero"},
            yaxis={"title": {"text": "training loss"}, **logarithmic(history["train_loss"])},
            hovermode="closest",
            legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
            uirevision="training",
        ),
    )


def _line(name: str, run: pd.DataFrame, k: int, of: int) -> dict[str, object]:
    loss = run["train_loss"].to_numpy(float)
    loss = np.where(np.isfinite(loss) & (loss > 0), loss, np.nan)
    newest = int(np.flatnonzero(~np.isnan(loss)).max(initial=-1))
    return {
        "type": "scatter",
        "name": name,
        "showlegend": of <= MOST_NAMES,
        "x": run["iteration"].to_numpy(float),
        "y": loss,
        "mode": "lines+markers",
        "line": {"color": OKABE_ITO[k % len(OKABE_ITO)], "dash": DASHES[k // len(OKABE_ITO) % 4], "width": 1.6},
        "marker": {"size": np.where(np.arange(len(run)) == newest, 6, 0)},
        "hovertemplate": f"{name}<br>iteration %{{x:,}}<br>training loss %{{y:.3e}}<extra></extra>",
    }
