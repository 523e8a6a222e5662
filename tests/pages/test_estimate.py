"""Estimates of time rest on the runs they name."""

import pandas as pd
import pytest

from pages.estimate import cost, duration


def runs(rows, iterations=1000):
    return pd.DataFrame([{"y": y, "seconds": s, "iterations": iterations, "device": "cpu"} for y, s in rows])


def test_a_line_through_the_stored_times():
    found = cost(runs([(100, 2.0), (1000, 11.0), (10000, 101.0)]), None)
    assert (found.fixed, found.per_point) == pytest.approx((1.0, 0.01))
    assert found.of([100, 200]) == pytest.approx(5.0)
    assert "3 stored runs" in found.basis and "N = 100 to 10000" in found.basis


def test_runs_that_happened_to_be_long_do_not_make_points_dear():
    short, long = runs([(100, 2.0), (1000, 11.0)]), runs([(10000, 505.0)], iterations=5000)
    found = cost(pd.concat([short, long]), None)
    assert found.per_point / found.fixed == pytest.approx(0.01, rel=1e-3)
    assert found.fixed == pytest.approx(7000 / 3 * 1e-3, rel=1e-3)


def test_times_of_a_busy_machine_grow_with_the_data_as_in_the_record_at_least():
    found = cost(runs([(100, 15.0), (2000, 12.0)]), {"seconds_fixed": 1, "seconds_per_point": 0.004})
    assert found.per_point == 0.004
    assert cost(runs([(100, 5.0), (10000, 4.0)]), None).per_point == 0


def test_like_amounts_of_data_are_scaled_and_far_ones_called_a_guess():
    found = cost(runs([(20000, 60.0), (25000, 75.0)]), None)
    assert (found.fixed, found.per_point) == pytest.approx((0.0, 0.003))
    assert "a guess" in found.doubt([100, 20000]) and "N = 100" in found.doubt([100, 20000])
    assert not found.doubt([10000, 50000])


def test_no_part_of_the_cost_is_negative():
    assert cost(runs([(100, 0.1), (10000, 300.0)]), None).fixed == 0


def test_without_runs_the_record_decides_and_without_it_nothing_is_said():
    empty = runs([]).reindex(columns=["y", "seconds", "iterations", "device"])
    assert cost(empty, {"seconds_fixed": 1, "seconds_per_point": 0.5}).of([2]) == 2
    assert cost(empty, None) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (59, "59 s"), (150, "2.5 min"), (7200, "2 h"), (1e6, "12 days")]
)
def test_durations_are_read_at_a_glance(seconds, words):
    assert duration(seconds) == words
