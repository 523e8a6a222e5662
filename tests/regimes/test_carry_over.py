"""Thresholds of one map on another: how many cells keep their label."""

import numpy as np
import pandas as pd
import pytest

from sciml_backend.regimes import Threshold, Thresholds, carry_over, fractions

WHOLE = {"low": 0.0, "high": 100.0}
RULE = Thresholds(train=Threshold(value=0.5, **WHOLE), test=Threshold(value=0.5, **WHOLE))


def grid(train, test):
    return pd.DataFrame({"x": np.arange(len(train), dtype=float), "y": 1.0, "train_loss": train, "test_error": test})


def absolute(train, test):
    return Thresholds(
        train=Threshold(rule="absolute", value=train, **WHOLE), test=Threshold(rule="absolute", value=test, **WHOLE)
    )


SMALL = grid([0.0, 1, 4, 10], [0.0, 1, 4, 10])
LARGE = grid([0.0, 10, 40, 100], [0.0, 10, 40, 100])


def test_by_value_cells_change_their_label_and_by_range_they_do_not():
    maps, own = {"small": SMALL, "large": LARGE}, {"small": RULE, "large": RULE}
    by_value = carry_over(maps, own)
    assert by_value.index.tolist() == by_value.columns.tolist() == ["small", "large"]
    np.testing.assert_allclose(by_value, [[1, 0.5], [0.75, 1]])
    np.testing.assert_allclose(carry_over(maps, own, way="range"), 1.0)


def test_by_range_thresholds_that_were_set_carry_the_fraction_at_which_they_lie():
    own = {"small": absolute(2, 2), "large": absolute(50, 50)}
    assert fractions(SMALL, own["small"]) == pytest.approx((0.2, 0.2))
    found = carry_over({"small": SMALL, "large": LARGE}, own, way="range")
    np.testing.assert_allclose(found, [[1, 0.75], [0.75, 1]])


def test_a_fraction_may_lie_outside_of_the_range():
    own = {"small": absolute(20, 20), "large": RULE}
    assert fractions(SMALL, own["small"]) == pytest.approx((2.0, 2.0))
    assert carry_over({"small": SMALL, "large": LARGE}, own, way="range").loc["small", "large"] == 0.75


def test_cells_without_a_value_are_left_out_and_nothing_is_said_of_empty_maps():
    holes = grid([0.0, np.nan, 4, 10], [0.0, 1, np.inf, 10])
    assert carry_over({"small": SMALL, "holes": holes}, {"small": RULE, "holes": RULE}).loc["small", "holes"] == 1
    empty, flat = grid([np.nan], [np.nan]), grid([1.0, 1.0], [1.0, 1.0])
    maps = {"small": SMALL, "empty": empty, "flat": flat}
    by_range = carry_over(maps, dict.fromkeys(maps, RULE), way="range")
    assert np.isnan(by_range.loc["small", "empty"]) and np.isnan(by_range.loc["flat", "small"])


def test_both_metrics_decide():
    tilted = grid([0.0, 0, 10, 10], [0.0, 10, 0, 10])
    found = carry_over({"a": tilted, "b": tilted}, {"a": absolute(20, 5), "b": absolute(5, 5)})
    np.testing.assert_allclose(found, [[1, 0.5], [0.5, 1]])
