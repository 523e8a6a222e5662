"""What arXiv:2605.29153 says of regimes, by map name: the thresholds of Table 5 and the boundaries of Fig. 1."""

from __future__ import annotations

from functools import cache

import pandas as pd

from sciml_backend import paths
from sciml_backend.regimes.thresholds import Threshold, Thresholds
from sciml_backend.run import MapName

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
    rows = pd.read_csv(paths.published() / "table5_thresholds.csv").to_dict("records")
    return {
        MapName(row["model"].lower(), _PROBLEMS[row["system"]], row["strategy"].lower().replace("-", "")): Thresholds(
            train=Threshold(rule="absolute", value=row["train_threshold"]),
            test=Threshold(rule="absolute", value=row["test_threshold"]),
        )
        for row in rows
    }


FIGURE_1 = {
    "pinn": MapName("pinn", "convection", "lbfgs"),
    "fno": MapName("fno", "advection_diffusion", "adam"),
    "pino": MapName("pino", "darcy", "lbfgs"),
    "node": MapName("node", "pendulum", "adam"),
    "pinode": MapName("pinode", "pendulum", "lbfgs"),
}
"""The maps of Fig. 1 by family: FNO's problem by its colour bars, the strategies of PINO and PINODE by the text."""

FIGURE_1_FRACTIONS = {
    MapName("pinn", "convection", "lbfgs"): (0.30, 0.30),
    MapName("pino", "darcy", "lbfgs"): (0.46, 0.39),
    MapName("pinode", "pendulum", "lbfgs"): (0.21, 0.21),
}
"""f of the range rule, for train and test, with which the boundaries drawn in Fig. 1 come back; fitted here.

The last panel is L-BFGS by the paper's text; its magnitudes are those of the Adam row of Table 5."""


def figure_1_thresholds() -> dict[MapName, Thresholds]:
    """The range rule with the fraction that fits a published map, as presets."""
    return {
        name: Thresholds(train=Threshold(value=train), test=Threshold(value=test))
        for name, (train, test) in FIGURE_1_FRACTIONS.items()
    }


LEAST_CELLS = 16
"""The cells that a computed map needs to stand before a published one."""


def representatives(maps: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``queries.maps`` that stand for a family's problem, one each, in order of family and problem.

    Computed maps of 16 cells or more go before published ones, and these before smaller ones; among each the strategy
    that Fig. 1 shows of the family, then the map with most cells, on a tie the plain variant and the first by name.
    """
    found = maps[maps["n_cells"] > 0]
    rank = pd.DataFrame(
        {
            "family": found["family"],
            "problem": found["problem"],
            "begun": (found["source"] == "computed") & (found["n_cells"] < LEAST_CELLS),
            "published": found["source"] != "computed",
            "other": found["strategy"] != found["family"].map({f: name.strategy for f, name in FIGURE_1.items()}),
            "fewer": -found["n_cells"],
            "variant": found["variant"] != "",
            "name": found["name"],
        },
        index=found.index,
    )
    first = rank.sort_values(list(rank.columns)).drop_duplicates(["family", "problem"])
    return found.loc[first.index]


def paper_boundaries(name: MapName) -> pd.DataFrame | None:
    """The points of the boundaries drawn in Fig. 1: metric, level, x, y in axis values; None for other maps."""
    points = _drawn()
    if name.plain not in FIGURE_1_FRACTIONS:
        return None
    return points[points["panel"] == name.family.upper()].drop(columns="panel")


@cache
def _drawn() -> pd.DataFrame:
    table = pd.read_csv(paths.published() / "boundaries_digitised.csv")
    return pd.DataFrame(
        {
            "panel": table["panel"],
            "metric": table["boundary"],
            "level": table["threshold_perturbation_pct"] / 100,
            "x": table["x_value_lin_interp"],
            "y": table["y_value_lin_interp"],
        }
    )
