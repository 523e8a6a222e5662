"""The paper's own thresholds, Table 5 of arXiv:2605.29153, by map name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from sciml_backend.regimes.thresholds import Threshold, Thresholds
from sciml_backend.run import MapName

TABLE_5 = Path(__file__).parents[2] / "data" / "published" / "table5_thresholds.csv"

_PROBLEMS = {
    "1D Convection": "convection",
    "1D Reaction": "reaction",
    "2D Poisson": "poisson_2d",
    "2D Advection-Diffusion": "advection_diffusion",
    "2D Darcy Flow": "darcy",
    "Nonlinear Damped Pendulum": "pendulum",
}


@cache
def paper_thresholds() -> dict[MapName, Thresholds]:
    """Absolute thresholds of the 18 maps in Table 5, as presets."""
    table = pd.read_csv(TABLE_5)
    return {
        MapName(row.model.lower(), _PROBLEMS[row.system], row.strategy.lower().replace("-", "")): Thresholds(
            train=Threshold(rule="absolute", value=row.train_threshold),
            test=Threshold(rule="absolute", value=row.test_threshold),
        )
        for row in table.itertuples()
    }
