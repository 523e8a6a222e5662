"""Live curves: bounded, thinned evenly, of one batch at a time."""

import json
import math

from jobs.curves import MOST_POINTS, MOST_ROWS, LiveCurves, note


def rows(iteration, cells=("a", "b"), loss=0.01):
    same = {"iteration": iteration, "train_loss": loss, "test_error": 0.5}
    return [{"cell_id": cell, **same} for cell in cells]


def grown(n, **settings):
    curves = LiveCurves()
    for k in range(n):
        curves.add(rows(20 * k, **settings))
    return curves.to_json()


def test_a_curve_is_the_decimal_logarithm_of_the_loss():
    assert grown(2) == {"iteration": [0, 20], "log10_loss": {"a": [-2.0, -2.0], "b": [-2.0, -2.0]}}


def test_thousands_of_points_are_thinned_evenly_with_first_and_last_kept():
    iteration = grown(5000)["iteration"]
    assert MOST_POINTS / 2 <= len(iteration) <= MOST_POINTS
    assert (iteration[0], iteration[-1]) == (0, 20 * 4999)
    assert len({b - a for a, b in zip(iteration[:-2], iteration[1:-1], strict=True)}) == 1


def test_a_row_that_ended_keeps_its_curve_until_the_next_batch():
    curves = LiveCurves()
    for training in (rows(20), rows(40, "b"), []):
        curves.add(training)
    assert curves.to_json()["log10_loss"] == {"a": [-2.0, None], "b": [-2.0, -2.0]}
    curves.add(rows(60, "cd"))
    assert curves.to_json() == {"iteration": [60], "log10_loss": {"c": [-2.0], "d": [-2.0]}}


def test_a_new_phase_of_the_same_rows_begins_anew_and_a_repeated_message_adds_nothing():
    curves = LiveCurves()
    for iteration in (20, 40, 40, 20):
        curves.add(rows(iteration))
    assert curves.to_json()["iteration"] == [20]


def test_no_number_is_a_gap():
    curves = LiveCurves()
    for k, loss in enumerate([math.nan, math.inf, 0.0, None]):
        curves.add(rows(k + 1, "a", loss))
    assert curves.to_json()["log10_loss"]["a"] == [None] * 4


def test_a_note_stays_small_whatever_a_batch_holds():
    curves = LiveCurves()
    largest = 0
    for k in range(300):
        training = rows(100_000 + 200 * k, [f"{cell:036x}" for cell in range(2000)], loss=1.2345678e-300)
        kept = note({"event": "progress", "pid": 1, "done": 3, "training": training}, curves)
        largest = max(largest, len(json.dumps(kept, separators=(",", ":"))))
    assert (kept["n_training"], len(kept["training"]), kept["done"]) == (2000, MOST_ROWS, 3)
    assert "event" not in kept and largest <= 32_000
