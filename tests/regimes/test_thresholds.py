"""Threshold rules."""

import math

import numpy as np
import pandas as pd
import pytest

from sciml_backend.regimes import Threshold, Thresholds, paper_thresholds
from sciml_backend.run import BadRequest, MapName


def test_range_rule_is_a_fraction_between_two_percentiles():
    values = np.arange(101.0)
    assert Threshold().of(values) == pytest.approx(5 + 0.3 * 90)
    assert Threshold(value=0.5, low=0, high=100).of(values) == pytest.approx(50)


def test_percentile_and_absolute_rules():
    values = np.arange(101.0)
    assert Threshold(rule="percentile", value=70).of(values) == pytest.approx(70)
    assert Threshold(rule="absolute", value=0.434).of(values) == 0.434


def test_a_perturbation_scales_the_number_of_the_rule():
    values = np.arange(101.0)
    assert Threshold().of(values, 1.2) == pytest.approx(5 + 0.36 * 90)
    assert Threshold(rule="absolute", value=2.0).of(values, 0.8) == pytest.approx(1.6)
    assert Threshold(rule="percentile", value=90).of(values, 1.2) == 100


def test_non_finite_cells_are_left_out():
    values = [0.0, 1.0, math.nan, 2.0, math.inf]
    assert Threshold(rule="percentile", value=50).of(values) == 1.0
    assert math.isnan(Threshold().of([math.nan, math.inf]))
    assert Threshold(rule="absolute", value=1.0).of([]) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"rule": "median"},
        {"value": 30.0},
        {"value": math.nan},
        {"rule": "percentile", "value": 101},
        {"rule": "absolute", "value": -1},
        {"low": 95, "high": 5},
    ],
)
def test_bad_rules_are_refused_in_one_sentence(wrong):
    with pytest.raises(BadRequest) as refusal:
        Threshold(**wrong)
    assert str(refusal.value).endswith(".") and "\n" not in str(refusal.value)


def test_a_pair_can_read_another_column():
    grid = pd.DataFrame({"train_loss": [0.0, 1.0], "heldout_error": [0.0, 10.0], "test_error": [0.0, 1.0]})
    exact = Threshold(low=0, high=100, value=0.5)
    pair = Thresholds(train=exact, test=exact, test_column="heldout_error")
    assert pair.of(grid) == (0.5, 5.0)


def test_the_presets_are_table_5():
    presets = paper_thresholds()
    assert len(presets) == 18
    assert presets[MapName("pinn", "convection", "lbfgs")].of(pd.DataFrame({"train_loss": [], "test_error": []})) == (
        0.0038,
        0.434,
    )


def test_a_map_that_is_not_full_borrows_the_values_of_another():
    full = pd.DataFrame({"x": [1, 2, 3], "y": [1, 1, 1], "train_loss": [0.0, 0.5, 1.0], "test_error": [0.0, 1.0, 2.0]})
    borrowing = Thresholds(reference=full)
    assert borrowing.of(full.head(1), 1.2) == Thresholds().of(full, 1.2) != Thresholds().of(full.head(1), 1.2)
