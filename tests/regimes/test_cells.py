"""Maps as rows and matrices, and the states of cells."""

import math

import numpy as np
import pandas as pd
import pytest

from sciml_backend.regimes import axes, complete, matrix


def grid(**columns):
    return pd.DataFrame({"x": [5.0, 10.0, 5.0], "y": [100.0, 100.0, 500.0], **columns})


def test_matrix_puts_the_lowest_y_first_and_nan_where_there_is_no_cell():
    found = matrix(grid(train_loss=[1.0, 2.0, math.inf]), "train_loss")
    np.testing.assert_array_equal(found, [[1.0, 2.0], [math.nan, math.nan]])


def test_matrix_refuses_two_rows_for_one_cell():
    twice = pd.concat([grid(train_loss=1.0)] * 2)
    with pytest.raises(ValueError, match="one row per cell"):
        matrix(twice, "train_loss")


def test_complete_tells_the_states_apart():
    found = complete(
        grid(train_loss=[1.0, None, None], n_seeds=[3, 0, 0], n_diverged=[0, 3, 0], n_failed=[0, 1, 2]),
        [5.0, 10.0, 20.0],
        [100.0, 500.0],
        {(20.0, 100.0)},
    )
    assert found[["x", "y"]].values.tolist() == [[5, 100], [10, 100], [20, 100], [5, 500], [10, 500], [20, 500]]
    assert found["state"].tolist() == ["ok", "diverged", "running", "failed", "missing", "missing"]
    assert found["n_seeds"].tolist() == [3, 0, 0, 0, 0, 0]


def test_complete_loses_no_cell_and_keeps_the_value_of_a_running_one():
    found = complete(grid(train_loss=[1.0, 2.0, 3.0]), [7.0], [100.0], [(5.0, 100.0)])
    assert axes(found)[0].tolist() == [5.0, 7.0, 10.0]
    first = found.iloc[0]
    assert (first.state, first.train_loss) == ("running", 1.0)


def test_complete_of_an_empty_map_is_all_missing():
    empty = pd.DataFrame(columns=["x", "y", "train_loss", "test_error"], dtype=float)
    found = complete(empty, [1.0, 2.0], [3.0])
    assert found["state"].tolist() == ["missing", "missing"]
    assert complete(empty).empty
