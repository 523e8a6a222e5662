"""Boundaries of synthetic maps, whose boundaries are known."""

import math

import numpy as np
import pandas as pd
import pytest

from sciml_backend.regimes import Threshold, Thresholds, boundaries, perturbations
from sciml_backend.run import BadRequest


def absolute(train, test):
    return Thresholds(train=Threshold(rule="absolute", value=train), test=Threshold(rule="absolute", value=test))


def synthetic(train, test, nx=9, ny=7):
    """A map whose metrics are functions of the cell's indices; the axes' values are not equally spaced."""
    i, j = (a.ravel().astype(float) for a in np.meshgrid(np.arange(nx), np.arange(ny)))
    return pd.DataFrame({"x": 2.0**i, "y": 10.0 + j**3, "train_loss": train(i, j), "test_error": test(i, j)})


def points(found, metric, level):
    (boundary,) = [b for b in found if b.metric == metric and b.level == level]
    return np.concatenate(boundary.lines) if boundary.lines else np.empty((0, 2))


def test_a_vertical_train_boundary_moves_with_the_level():
    found = boundaries(synthetic(lambda i, j: i, lambda i, j: j), absolute(5.0, 100.0))
    for level in (-0.2, -0.1, 0.0, 0.1, 0.2):
        line = points(found, "train", level)
        np.testing.assert_allclose(line[:, 0], 5 * (1 + level))
        assert (line[:, 1].min(), line[:, 1].max()) == (0, 6)
        assert not len(points(found, "test", level))


def test_a_slanted_boundary_of_a_linear_map_is_exact():
    line = points(boundaries(synthetic(lambda i, j: i + 2 * j, lambda i, j: i), absolute(7.3, 50.0)), "train", 0.0)
    np.testing.assert_allclose(line[:, 0] + 2 * line[:, 1], 7.3)


def test_the_test_boundary_stops_where_the_training_loss_is_high():
    found = boundaries(synthetic(lambda i, j: i, lambda i, j: 6 - j), absolute(4.25, 2.5), levels=(0.0,))
    line = points(found, "test", 0.0)
    np.testing.assert_allclose(line[:, 1], 3.5)
    assert line[:, 0].min() == 0
    assert line[:, 0].max() == pytest.approx(4.25)


def test_each_level_clips_the_test_boundary_by_its_own_train_threshold():
    found = boundaries(synthetic(lambda i, j: i, lambda i, j: 6 - j), absolute(4.25, 2.5))
    for level in (-0.2, -0.1, 0.0, 0.1, 0.2):
        line = points(found, "test", level)
        np.testing.assert_allclose(line[:, 1], 6 - 2.5 * (1 + level))
        assert line[:, 0].max() == pytest.approx(4.25 * (1 + level))


def test_the_test_boundary_may_come_in_pieces():
    found = boundaries(
        synthetic(lambda i, j: np.abs(i - 4) * -1 + 4, lambda i, j: j), absolute(2.5, 2.5), levels=(0.0,)
    )
    (boundary,) = [b for b in found if b.metric == "test"]
    ends = sorted((line[:, 0].min(), line[:, 0].max()) for line in boundary.lines)
    np.testing.assert_allclose(ends, [(0, 2.5), (5.5, 8)])


def test_a_circle_is_recovered_within_its_linear_interpolation_error():
    def radius(i, j):
        return np.hypot(i - 10, j - 10)

    line = points(boundaries(synthetic(radius, radius, 21, 21), absolute(6.0, 99.0)), "train", 0.0)
    assert np.abs(np.hypot(*(line - 10).T) - 6).max() < 0.05
    np.testing.assert_array_equal(line[0], line[-1])


def test_no_line_passes_a_cell_without_a_value():
    full = synthetic(lambda i, j: i, lambda i, j: j)
    hole = full.assign(train_loss=full["train_loss"].where(~((full["x"] == 2.0**5) & (full["y"] == 11.0))))
    lines = boundaries(hole, absolute(4.5, 2.5), levels=(0.0,))[0].lines
    assert all(np.isfinite(line).all() for line in lines)
    np.testing.assert_allclose(np.concatenate(lines)[:, 0], 4.5)
    np.testing.assert_allclose(np.concatenate(lines)[:, 1].min(), 2)
    missing_rows = hole[hole["train_loss"].notna()]
    again = boundaries(missing_rows, absolute(4.5, 2.5), levels=(0.0,))[0].lines
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(lines))


def test_lines_cross_rows_and_columns_that_nobody_computed():
    full = synthetic(lambda i, j: i + 2 * j, lambda i, j: i - j)
    sparse = full.copy()
    empty = full["x"].isin([2.0**1, 2.0**4, 2.0**5]) | (full["y"] == 10.0 + 2**3)
    sparse.loc[empty, ["train_loss", "test_error"]] = np.nan
    found = boundaries(sparse, absolute(7.3, 1.5), levels=(0.0,))
    for metric, value, of in (("train", 7.3, lambda i, j: i + 2 * j), ("test", 1.5, lambda i, j: i - j)):
        line = points(found, metric, 0.0)
        np.testing.assert_allclose(of(*line.T), value)
        assert not np.isin(line % 1, 0).all(axis=1).any()
    assert points(found, "train", 0.0)[:, 0].min() < 4 < 5 < points(found, "train", 0.0)[:, 0].max()


def test_one_cell_off_the_plan_takes_no_line_away():
    full = synthetic(lambda i, j: i + 2 * j, lambda i, j: i - j)
    beside = pd.concat([full, pd.DataFrame([{"x": 3.0, "y": 15.0, "train_loss": 0.0, "test_error": 9.0}])])
    for metric in ("train", "test"):
        line, again = (points(boundaries(g, absolute(7.3, 1.5), levels=(0.0,)), metric, 0.0) for g in (full, beside))
        assert len(again) == len(line)


def test_the_test_boundary_ends_beside_a_cell_without_a_training_loss():
    full = synthetic(lambda i, j: 0 * i, lambda i, j: j)
    hole = full.assign(train_loss=full["train_loss"].where(full["x"] != 2.0**4))
    line = points(boundaries(hole, absolute(1.0, 2.5), levels=(0.0,)), "test", 0.0)
    assert not ((line[:, 0] > 3) & (line[:, 0] < 5)).any()
    assert {3.0, 5.0} <= set(line[:, 0])


@pytest.mark.parametrize(
    "grid",
    [
        synthetic(lambda i, j: i, lambda i, j: j, 5, 1),
        synthetic(lambda i, j: i * math.nan, lambda i, j: j),
        synthetic(lambda i, j: 0 * i, lambda i, j: 0 * j),
        pd.DataFrame(columns=["x", "y", "train_loss", "test_error"], dtype=float),
    ],
)
def test_maps_without_a_contour_have_no_lines(grid):
    assert all(not boundary.lines for boundary in boundaries(grid))


def test_the_size_of_the_perturbation_is_adjustable():
    assert perturbations(0.5) == (-0.5, -0.25, 0.0, 0.25, 0.5)
    assert perturbations(0) == (0.0,)
    with pytest.raises(BadRequest):
        perturbations(1.0)
