"""Maps whose transitions are steps of known sizes, and lines on which there is none."""

import numpy as np
import pandas as pd
import pytest

from sciml_backend.regimes import Threshold, Thresholds, sharpness, transitions

XS, YS = (1.0, 2.0, 8.0, 16.0), (100.0, 200.0, 400.0)
WHOLE = {"low": 0.0, "high": 100.0}
CUT = Thresholds(train=Threshold(value=0.5, **WHOLE), test=Threshold(value=0.5, **WHOLE))
NAN = np.nan


def runs(*maps, xs=XS, ys=YS, seeds=None):
    """One map (rows from the lowest y) of both metrics per seed; nan is a diverged run, None no run."""
    rows = [
        {"x": x, "y": y, "seed": seed, "train_loss": value, "test_error": value,
         "status": "diverged" if np.isnan(value) else "converged"}
        for seed, values in zip(range(len(maps)) if seeds is None else seeds, maps, strict=True)
        for y, line in zip(ys, values, strict=True)
        for x, value in zip(xs, line, strict=True)
        if value is not None
    ]  # fmt: skip
    return pd.DataFrame(rows)


STEEP = [[0, 0, 10, 10], [0, 2, 6, 10], [0, 2, 4, 8]]
"""Its range is 0 to 10, its threshold 5: steps of 10 (two doublings), 4 (two doublings) and 4 (one)."""


def test_a_step_is_a_share_of_the_range_per_cell_and_per_doubling():
    table = transitions(runs(STEEP), CUT)
    of_means = table[table["seed"].isna()]
    assert of_means["line"].tolist() == list(YS) and set(of_means["place"]) == {"INSIDE"}
    np.testing.assert_allclose(of_means["cells"], [1.0, 0.4, 0.4])
    np.testing.assert_allclose(of_means["doubling"], [0.5, 0.2, 0.4])
    found = sharpness(table)
    assert (found.largest, found.median, found.of_means, found.median_of_means) == pytest.approx((1.0, 0.4, 1.0, 0.4))
    assert (found.n_crossing, found.n_lines) == (3, 3)
    assert sharpness(table, per="doubling").median == pytest.approx(0.4)


def test_one_seed_has_no_error_and_means_alone_have_no_seed():
    one = sharpness(transitions(runs(STEEP), CUT))
    assert one.n_seeds == 1 and np.isnan([one.largest_error, one.median_error]).all()
    published = sharpness(transitions(runs(STEEP, seeds=[NAN]), CUT))
    assert published.n_seeds == 0 and np.isnan(published.largest) and published.of_means == pytest.approx(1.0)


def test_seeds_are_averaged_with_their_standard_error_and_their_mean_is_smoother():
    early, late = ([[0, *line]] * 3 for line in ([10, 10, 10], [0, 0, 10]))
    found = sharpness(transitions(runs(early, late, early), CUT))
    assert (found.largest, found.largest_error, found.n_seeds) == pytest.approx((1.0, 0.0, 3))
    assert found.of_means == pytest.approx(2 / 3)
    slow = [[0, 4, 6, 10]] * 3
    found = sharpness(transitions(runs(early, slow), CUT))
    assert found.largest == pytest.approx(0.6) and found.largest_error == pytest.approx(0.4)


def test_the_first_rise_counts_and_not_the_steepest():
    found = transitions(runs([[0, 6, 0, 10]] * 3), CUT)
    assert found["cells"].tolist() == pytest.approx([0.6] * 6)


def test_lines_without_a_transition_are_counted_and_have_no_number():
    found = transitions(runs([[0, 0, 10, 10], [0, 1, 2, 3], [9, 9, 9, 9]]), CUT)
    of_means = found[found["seed"].isna()]
    assert of_means["place"].tolist() == ["INSIDE", "BEYOND", "BEFORE"]
    assert of_means["cells"].isna().tolist() == [False, True, True]
    summed = sharpness(found)
    assert (summed.largest, summed.median, summed.n_crossing, summed.n_lines) == (1.0, 1.0, 1, 3)
    flat = sharpness(transitions(runs([[1, 1, 1, 1]] * 3), CUT))
    assert np.isnan([flat.largest, flat.of_means]).all() and (flat.n_crossing, flat.n_seeds) == (0, 0)


def test_a_missing_cell_hides_a_rise_and_a_lost_seed_leaves_its_cell_out():
    hidden = transitions(runs([[0, NAN, 10, 10], *STEEP[1:]]), CUT)
    assert hidden["place"].tolist() == ["UNKNOWN", "INSIDE", "INSIDE"] * 2
    lost = transitions(runs(STEEP, [[0, NAN, 10, 10], *STEEP[1:]]), CUT)
    assert lost["place"].tolist() == ["INSIDE"] * 6 + ["UNKNOWN", "INSIDE", "INSIDE"]


def test_seeds_of_a_part_of_the_map_and_thin_columns_take_no_part():
    part = [[0, 0, 9, None], [None] * 4, [None] * 4]
    found = sharpness(transitions(runs(STEEP, STEEP, part), CUT))
    assert found.n_seeds == 2
    thin = [[0, None, 10, 10], [0, 2, 10, 10], [0, None, 4, 8]]
    steps = transitions(runs(thin), CUT)
    np.testing.assert_allclose(steps[steps["seed"].isna()]["cells"], [1.0, 1.0, 0.4])


def test_along_y_the_walk_goes_from_many_data_to_few():
    falling = np.transpose([[10, 6, 0], [10, 4, 0], [10, 10, 0], [9, 9, 0]])
    found = transitions(runs(falling), CUT, along="y")
    of_means = found[found["seed"].isna()]
    assert of_means["line"].tolist() == list(XS)
    np.testing.assert_allclose(of_means["cells"], [0.6, 0.6, 1.0, 0.9])
    np.testing.assert_allclose(of_means["doubling"], of_means["cells"])  # the data double from row to row


def test_axes_without_positive_values_have_no_doubling():
    table = transitions(runs(STEEP, xs=(-1.0, 0.0, 1.0, 2.0)), CUT)
    assert table["cells"].notna().all() and table["doubling"].notna().tolist() == [False, False, True] * 2


def test_a_map_that_is_not_full_may_borrow_threshold_and_range():
    borrowed = Thresholds(train=CUT.train, test=CUT.test, reference=runs([[0, 0, 0, 20]] * 3))
    assert sharpness(transitions(runs(STEEP), borrowed)).n_crossing == 0
    half = Thresholds(train=CUT.train, test=CUT.test, reference=runs([[0, 0, 0, 8]] * 3))
    assert sharpness(transitions(runs(STEEP), half)).largest == pytest.approx(10 / 8)


def test_a_seed_is_whole_by_the_cells_that_take_part():
    more = [[*line, NAN if k == 0 else None] for k, line in enumerate(STEEP)]
    found = sharpness(transitions(runs(more, [[*line, None] for line in STEEP], xs=(*XS, 32.0)), CUT))
    assert found.n_seeds == 2
