"""The shipped float32 convection map beside the published one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sciml_backend
from sciml_backend.regimes import Threshold, Thresholds
from sciml_backend.regimes.boundaries import boundaries

NAME = "pinn/convection/lbfgs"


def grid(source: str) -> pd.DataFrame:
    runs = sciml_backend.read(NAME, source=source)
    return runs.groupby(["x", "y"], as_index=False)[["train_loss", "test_error"]].mean()


@pytest.fixture(scope="module")
def computed() -> pd.DataFrame:
    found = grid("computed")
    if len(found) < 144:
        pytest.skip(f"the map has {len(found)} of 144 cells")
    return found


def test_every_cell_has_three_seeds(computed: pd.DataFrame) -> None:
    runs = sciml_backend.read(NAME)
    assert (runs.groupby(["x", "y"])["seed"].nunique() >= 3).all()


def test_the_train_boundary_lies_between_beta_20_and_30_where_data_is_plenty(computed: pd.DataFrame) -> None:
    (threshold, _) = Thresholds().of(computed)
    crossed = {}
    for n in (5000, 10000, 15000, 20000, 25000):
        row = computed[computed["y"] == n].set_index("x")["train_loss"].sort_index()
        high = int((row >= threshold).to_numpy().argmax())  # the first cell above it, from the left
        (b, a), (above, below) = row.index[[high, high - 1]], row.iloc[[high, high - 1]]
        crossed[n] = a + (threshold - below) / (above - below) * (b - a)
    print("\ntrain boundary by N_f:", {n: round(beta, 1) for n, beta in crossed.items()})
    assert all(20 <= beta <= 30 for beta in crossed.values())


def apart(point: np.ndarray, lines: list[np.ndarray]) -> float:
    """Distance from a point to the nearest segment of the lines, in cells."""
    starts = np.concatenate([line[:-1] for line in lines])
    steps = np.concatenate([np.diff(line, axis=0) for line in lines])
    along = ((point - starts) * steps).sum(1) / np.maximum((steps**2).sum(1), 1e-12)
    nearest = starts + np.clip(along, 0, 1)[:, None] * steps
    return float(np.sqrt(((point - nearest) ** 2).sum(1)).min())


def test_the_test_boundary_is_within_a_cell_of_the_published_one(computed: pd.DataFrame) -> None:
    def lines(frame: pd.DataFrame) -> list[np.ndarray]:
        found = boundaries(frame, Thresholds(), levels=(0.0,))
        return [line for b in found if b.metric == "test" for line in b.lines]

    ours, theirs = lines(computed), lines(grid("published"))
    distance = [apart(point, theirs) for line in ours for point in line]
    print(f"\ntest boundary to the published one, in cells: median {np.median(distance):.2f}, max {max(distance):.2f}")
    assert max(distance) <= 1.0


def test_thresholds_are_within_a_factor_of_two_of_table_5(computed: pd.DataFrame) -> None:
    train, test = Thresholds(train=Threshold(), test=Threshold()).of(computed)
    print(f"\nthresholds: train {train:.4g} (published 0.0038), test {test:.4g} (published 0.434)")
    assert 0.5 < train / 0.0038 < 2 and 0.5 < test / 0.434 < 2


def test_fno_cells_of_published_size_are_within_a_quarter_of_the_published_values() -> None:
    """Theirs are means of five seeds."""
    name = "fno/poisson_2d/adam"
    ours, theirs = (
        sciml_backend.read(name, source=source).groupby(["x", "y"])[["train_loss", "test_error"]].mean()
        for source in ("computed", "published")
    )
    ratios = (ours / theirs).dropna()
    print("\n", ratios.round(2))
    assert len(ratios) and ratios.stack().between(0.75, 1.25).all()


def over_published(name: str, *, least: float) -> pd.DataFrame:
    """Means over seeds of a coarse map over the published values, of cells from ``least`` difficulty on."""
    ours, theirs = (
        sciml_backend.read(of, source=source)
        .query(f"x >= {least}")
        .groupby(["x", "y"])[["train_loss", "test_error"]]
        .mean()
        for of, source in ((f"{name}@coarse", "computed"), (name, "published"))
    )
    ratios = (ours / theirs).dropna()
    print("\n", ratios.describe().round(3), "\n", ratios.unstack("x").round(2).to_string())
    return ratios


def test_the_coarse_fno_map_follows_the_published_one() -> None:
    """On a grid of 32 nodes with 12 modes, where theirs has 128 and 16."""
    ratios = over_published("fno/poisson_2d/adam", least=1)
    assert len(ratios) == 32 and ratios.stack().between(1 / 1.5, 1.5).all()
    assert (ratios.median() - 1).abs().max() < 0.15


def test_the_coarse_pino_map_by_lbfgs_follows_the_published_one() -> None:
    """On a grid of 31 nodes with 12 modes, two seeds; at r = 1 the published test error is printed as zero."""
    ratios = over_published("pino/darcy/lbfgs", least=2)
    assert len(ratios) == 16 and ratios.stack().between(1 / 4, 4).all()
    assert ratios.median().between(0.8, 1.3).all()
