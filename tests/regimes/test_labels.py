"""Labels and their shares."""

import math

import numpy as np
import pandas as pd
import pytest

from sciml_backend.regimes import Threshold, Thresholds, label, labelled, shares


def test_the_four_regimes():
    found = label([0.1, 9.0, 0.1, 9.0], [0.1, 9.0, 9.0, 0.1], (1.0, 1.0))
    assert list(found) == ["I", "II", "III", "IV"]


def test_a_cell_without_a_value_has_no_label():
    found = label([[math.nan, 0.1], [math.inf, 0.1]], [[0.1, math.nan], [0.1, 0.1]], (1.0, 1.0))
    assert found.tolist() == [[None, None], [None, "I"]]
    assert label([0.1], [0.1], (math.nan, 1.0)).tolist() == [None]


def test_low_includes_the_threshold():
    assert label(1.0, 1.0, (1.0, 1.0)) == "I"


def test_shares_count_labelled_cells_only():
    assert shares(["I", "I", "II", None]) == pytest.approx({"I": 2 / 3, "II": 1 / 3, "III": 0, "IV": 0})
    assert all(math.isnan(share) for share in shares([None]).values())


def test_labelled_adds_a_column_to_the_map():
    grid = pd.DataFrame({"train_loss": [0.1, None, 9.0], "test_error": [0.1, 0.1, 9.0]}, index=[7, 8, 9])
    one = Threshold(rule="absolute", value=1.0)
    out = labelled(grid, Thresholds(train=one, test=one))
    assert out["label"].tolist() == ["I", None, "II"]
    assert "label" not in grid
    assert np.array_equal(out.index, grid.index)
