"""Boundaries moved by known distances, and lines on which nobody can say where a boundary is."""

import numpy as np
import pandas as pd
import pytest

from sciml_backend.regimes import Threshold, Thresholds, axes, boundaries, boundary_shift, on_shared_axes, shift_summary
from sciml_backend.regimes.shift import Place, crossing

XS, YS = np.array([5.0, 10, 20, 30, 50, 70]), np.array([100.0, 500, 1000, 2000])
CUT = Thresholds(train=Threshold(rule="absolute", value=1.0), test=Threshold(rule="absolute", value=1.0))
NAN = np.nan


def grid(train, test=None, xs=XS, ys=YS):
    """Training loss is 1 at x index ``train`` and rises by 1 a cell; test error is 1 at y index ``test``."""
    i, j = (a.ravel().astype(float) for a in np.meshgrid(np.arange(len(xs)), np.arange(len(ys))))
    error = 1 + (test - j) if test is not None else 0 * i
    cells = {"x": np.take(xs, i.astype(int)), "y": np.take(ys, j.astype(int)), "train_loss": 1 + i - train}
    return pd.DataFrame(cells | {"test_error": error})


def shift(base, method, **options):
    return boundary_shift(*on_shared_axes(base, method), (CUT, CUT), **{"levels": (0.0,)} | options)


def of(table, metric):
    return table[table["metric"] == metric]


def test_a_boundary_moved_by_a_cell_and_a_half_is_found_in_cells_and_units():
    found = of(shift(grid(1.5), grid(3.0)), "train")
    assert found["line"].tolist() == YS.tolist()
    np.testing.assert_allclose(found[["base", "method", "cells"]], [[1.5, 3.0, 1.5]] * 4)
    np.testing.assert_allclose(found[["base_value", "method_value", "units"]], [[15, 30, 15]] * 4)


def test_every_level_has_its_own_shift():
    steep = grid(2.0).assign(train_loss=lambda cells: 1 + 2 * (cells["train_loss"] - 1))
    found = of(shift(grid(2.0), steep, levels=(-0.2, 0.0, 0.2)), "train").groupby("level")["cells"].median()
    np.testing.assert_allclose(found, [0.1, 0.0, -0.1])


def test_positions_are_those_of_the_drawn_boundary():
    (drawn, _) = boundaries(grid(1.5), CUT, levels=(0.0,))
    assert {x for line in drawn.lines for x in line[:, 0]} == set(of(shift(grid(1.5), grid(3.0)), "train")["base"])


def test_along_y_the_easy_end_is_where_data_are_many():
    found = of(shift(grid(2.0, test=2.5), grid(2.0, test=1.0), along="y"), "test")
    assert found["line"].tolist() == XS.tolist()
    np.testing.assert_allclose(found[["base", "method", "cells"]], [[2.5, 1.0, -1.5]] * 6)
    np.testing.assert_allclose(found[["base_value", "method_value", "units"]], [[1500, 500, -1000]] * 6)


def test_a_boundary_outside_of_the_map_is_counted_and_not_guessed():
    (easy, hard) = (of(shift(grid(2.0), grid(at)), "train").iloc[0] for at in (-1.0, 9.0))
    assert (easy["method_place"], hard["method_place"]) == ("BEFORE", "BEYOND")
    assert np.isnan([easy["cells"], hard["cells"], easy["method_value"]]).all()
    assert (easy["direction"], hard["direction"]) == (-1, 1)
    summary = shift_summary(shift(grid(2.0), grid(9.0))).set_index("metric").loc["train"]
    counts = ["n_both", "n_base_only", "n_method_only", "n_neither"]
    assert summary[counts].tolist() == [0, 4, 0, 0] and np.isnan(summary["cells"])


@pytest.mark.parametrize("along", ["x", "y"])
def test_a_direction_is_known_unless_both_boundaries_lie_beyond_one_end(along):
    def at(place):
        return grid(place) if along == "x" else grid(0.0, test=place).assign(train_loss=1.0)

    def direction(base, method):
        return of(shift(at(base), at(method), along=along), "train" if along == "x" else "test")["direction"].iloc[0]

    assert (direction(1.5, 9.0), direction(9.0, 1.5), direction(-3.0, 1.5), direction(1.5, 1.5)) == (1, -1, 1, 0)
    assert direction(-3.0, 9.0) == 1
    assert np.isnan(direction(9.0, 8.0)) and np.isnan(direction(-3.0, -4.0))


def test_a_median_rests_on_the_lines_that_both_cross():
    moved = grid(3.0)
    moved.loc[moved["y"] == 100, "train_loss"] = 0.0
    moved.loc[moved["y"] == 500, "train_loss"] += 1.0
    summary = shift_summary(shift(grid(1.0), moved)).set_index("metric").loc["train"]
    assert (summary["cells"], summary["n_both"], summary["n_base_only"]) == (2.0, 3, 1)


@pytest.mark.parametrize(
    ("values", "place", "position"),
    [
        ([0, 0, 4, 9], Place.INSIDE, 1.25),
        ([0, 3, 0, 9], Place.INSIDE, 1 / 3),
        ([5, 0, 2, 2], Place.INSIDE, 1.5),
        ([1, 3, 9, 9], Place.INSIDE, 0.0),
        ([0, NAN, 0, 2], Place.UNKNOWN, NAN),
        ([NAN, 0, 0, 2], Place.INSIDE, 2.5),
        ([0, 2, NAN, 9], Place.INSIDE, 0.5),
        ([0, NAN, 9, 9], Place.UNKNOWN, NAN),
        ([2, 3, NAN, 9], Place.UNKNOWN, NAN),
        ([2, 3, 9, 9], Place.BEFORE, NAN),
        ([NAN, 3, 9, 9], Place.UNKNOWN, NAN),
        ([9, 1, 1, 0], Place.BEYOND, NAN),
        ([0, 0, 0, NAN], Place.UNKNOWN, NAN),
        ([0, NAN, 0, 0], Place.UNKNOWN, NAN),
        ([NAN, 0, 0, 0], Place.BEYOND, NAN),
        ([9, 9, 9, NAN], Place.UNKNOWN, NAN),
        ([NAN, NAN, NAN, NAN], Place.UNKNOWN, NAN),
    ],
)
def test_a_line_is_walked_from_its_easy_end(values, place, position):
    found, where = crossing(np.array(values, dtype=float), 1.0)
    assert where is place
    np.testing.assert_allclose(found, position)
    assert crossing(np.array(values, dtype=float), NAN)[1] is Place.UNKNOWN


def test_maps_are_compared_on_the_columns_and_rows_that_both_have():
    fine = np.array([5.0, 7.0, 10, 20, 25, 30, 50, 70])
    base = grid(2.0, xs=fine)
    coarse = grid(2.0, ys=YS[1:])
    xs, ys = axes(on_shared_axes(base, coarse)[0])
    assert (xs.tolist(), ys.tolist()) == (XS.tolist(), YS[1:].tolist())
    found = of(shift(base, coarse), "train")
    assert found["line"].tolist() == YS[1:].tolist()
    np.testing.assert_allclose(found["base_value"], 10)


def test_a_column_with_few_shared_values_is_passed_over():
    method = grid(2.0).astype(float)
    method.loc[(method["x"] == 20) & (method["y"] > 100), "train_loss"] = NAN
    assert 20.0 not in axes(on_shared_axes(grid(2.0), method)[0])[0]


def test_each_map_may_have_thresholds_of_its_own():
    stricter = Thresholds(train=Threshold(rule="absolute", value=0.5), test=CUT.test)
    found = boundary_shift(grid(2.0), grid(2.0), (CUT, stricter), levels=(0.0,))
    np.testing.assert_allclose(of(found, "train")["cells"], -0.5)


def test_maps_that_share_nothing_have_no_lines():
    apart = grid(2.0, xs=XS + 1)
    table = shift(grid(2.0), apart)
    assert table.empty and shift_summary(table).empty
    with pytest.raises(ValueError, match="same columns and rows"):
        boundary_shift(grid(2.0), apart, (CUT, CUT))
