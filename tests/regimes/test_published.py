"""The published PINN map comes back: thresholds of Table 5 and the boundaries drawn in Fig. 1."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sciml_backend.regimes import LEVELS, Thresholds, boundaries, figure_1_thresholds, paper_boundaries
from sciml_backend.run import MapName

PUBLISHED = Path(__file__).parents[2] / "data" / "published"


@pytest.fixture(scope="module")
def grid():
    table = pd.read_csv(PUBLISHED / "regime_maps_digitised.csv").query("panel == 'PINN'")
    cells = table.pivot(index=["y", "x"], columns="metric", values="value").reset_index()
    return cells.rename(columns={"training_loss": "train_loss"})


@pytest.fixture(scope="module")
def drawn():
    return pd.read_csv(PUBLISHED / "boundaries_digitised.csv").query("panel == 'PINN'")


def distances(points, lines):
    """From each point (n, 2) to the nearest of the polylines."""
    start, end = (np.concatenate([line[side] for line in lines]) for side in (slice(None, -1), slice(1, None)))
    along = end - start
    length = np.maximum((along**2).sum(-1), 1e-30)
    share = np.clip(((points[:, None] - start) * along).sum(-1) / length, 0, 1)
    return np.linalg.norm(start + share[..., None] * along - points[:, None], axis=-1).min(1)


def test_thresholds_of_table_5(grid):
    row = pd.read_csv(PUBLISHED / "table5_thresholds.csv").query(
        "model == 'PINN' and system == '1D Convection' and strategy == 'L-BFGS'"
    )
    assert Thresholds().of(grid) == pytest.approx(tuple(row[["train_threshold", "test_threshold"]].iloc[0]), rel=0.10)


@pytest.mark.parametrize("metric", ["train", "test"])
@pytest.mark.parametrize("level", LEVELS)
def test_boundaries_of_figure_1(grid, drawn, metric, level):
    wanted = drawn[(drawn["boundary"] == metric) & (drawn["threshold_perturbation_pct"] == round(100 * level))]
    (found,) = [b for b in boundaries(grid) if (b.metric, b.level) == (metric, level)]
    away = distances(wanted[["x_index", "y_index"]].to_numpy(), found.lines)
    assert len(away) >= 17
    assert np.median(away) <= 0.35
    assert away.max() <= 0.75


@pytest.mark.parametrize("panel", ["PINO", "PINODE"])
def test_fitted_fractions_bring_the_other_panels_back(panel):
    name = next(name for name in figure_1_thresholds() if name.family == panel.lower())
    table = pd.read_csv(PUBLISHED / "regime_maps_digitised.csv").query("panel == @panel")
    cells = table.pivot(index=["y", "x"], columns="metric", values="value").reset_index()
    cells = cells.rename(columns={"training_loss": "train_loss"})
    drawn = pd.read_csv(PUBLISHED / "boundaries_digitised.csv").query("panel == @panel")
    for found in boundaries(cells, figure_1_thresholds()[name]):
        wanted = drawn[(drawn["boundary"] == found.metric) & (drawn["threshold_perturbation_pct"] == 100 * found.level)]
        assert np.median(distances(wanted[["x_index", "y_index"]].to_numpy(), found.lines)) <= 0.35


def test_boundaries_of_figure_1_by_name(drawn):
    points = paper_boundaries(MapName("pinn", "convection", "lbfgs", "float64"))
    assert len(points) == len(drawn)
    assert set(points["level"]) == set(LEVELS)
    assert paper_boundaries(MapName("pinn", "wave", "lbfgs")) is None
