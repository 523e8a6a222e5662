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
    for n in (5000, 10000, 15000, 20000, 25000):
        row = computed[computed["y"] == n].set_index("x")["train_loss"]
        assert (row[row.index < 20] < threshold).all(), n
        assert row[[20, 25, 30]].max() >= threshold, n


def test_the_test_boundary_is_within_a_cell_of_the_published_one(computed: pd.DataFrame) -> None:
    def lines(frame: pd.DataFrame) -> np.ndarray:
        found = boundaries(frame, Thresholds(), levels=(0.0,))
        return np.concatenate([line for b in found if b.metric == "test" for line in b.lines])

    ours, theirs = lines(computed), lines(grid("published"))
    apart = np.sqrt(((ours[:, None] - theirs[None]) ** 2).sum(-1)).min(1)
    print(f"\ntest boundary to the published one, in cells: median {np.median(apart):.2f}, max {apart.max():.2f}")
    assert apart.max() <= 1.0


def test_thresholds_are_within_a_factor_of_two_of_table_5(computed: pd.DataFrame) -> None:
    train, test = Thresholds(train=Threshold(), test=Threshold()).of(computed)
    print(f"\nthresholds: train {train:.4g} (published 0.0038), test {test:.4g} (published 0.434)")
    assert 0.5 < train / 0.0038 < 2 and 0.5 < test / 0.434 < 2
