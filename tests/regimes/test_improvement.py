"""Relative improvement of one map over another."""

import math

import pandas as pd
import pytest

from sciml_backend.regimes import improvement, paired_improvement


def cells(values, diverged=0):
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": 5.0, "train_loss": values})
    return frame.assign(n_seeds=3 - diverged, n_diverged=diverged)


def test_improvement_is_positive_when_the_method_is_better():
    out = improvement(cells([4.0, 1.0]), cells([1.0, 2.0], diverged=1), "train_loss")
    assert out["improvement"].tolist() == [75.0, -100.0]
    assert out["n_diverged_method"].tolist() == [1, 1]


def test_cells_of_one_map_only_and_zero_bases_have_none():
    other = cells([1.0, 1.0]).assign(x=[1.0, 3.0])
    out = improvement(cells([0.0, 1.0]), other, "train_loss")
    assert out["x"].tolist() == [1.0, 2.0, 3.0]
    assert out["improvement"].isna().all()


def test_paired_improvement_is_a_mean_of_ratios():
    runs = pd.DataFrame({"x": 1.0, "y": 2.0, "seed": [0, 1, 2], "test_error": [1.0, 10.0, math.nan]})
    better = runs.assign(test_error=[0.5, 10.0, 1.0])
    out = paired_improvement(runs, better, "test_error")
    assert out.iloc[0].to_dict() == pytest.approx({"x": 1.0, "y": 2.0, "improvement": 25.0, "n_pairs": 2})
