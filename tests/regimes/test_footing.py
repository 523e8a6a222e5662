"""Until a map is full its thresholds rest on what was published of it, and say so."""

import pandas as pd
import pytest

from sciml_backend.regimes import Threshold, Thresholds, footing

PLAN = {"xs": (1, 2), "ys": (10, 20)}


def cells(*n_seeds, x=(1.0, 2.0, 1.0, 2.0), y=(10.0, 10.0, 20.0, 20.0)):
    n = len(n_seeds)
    loss = [0.1 * k if seeds else None for k, seeds in enumerate(n_seeds)]
    return pd.DataFrame({"x": x[:n], "y": y[:n], "train_loss": loss, "test_error": loss, "n_seeds": n_seeds})


PUBLISHED = cells(1, 1, 1, 1).assign(train_loss=[0.0, 1.0, 2.0, 3.0])


def test_a_full_map_reads_its_own_values():
    found = footing(cells(3, 3, 1, 2), published=PUBLISHED, **PLAN)
    assert (found.thresholds, found.filled, found.note) == (Thresholds(), 1.0, "")
    assert found.thresholds.reference is None


def test_a_map_that_is_not_full_reads_the_published_map_by_the_same_rule():
    asked = Thresholds(train=Threshold(value=0.4))
    grid = cells(3, 0, 1)
    found = footing(grid, asked, published=PUBLISHED, **PLAN)
    assert found.filled == 0.5
    assert found.note == "2 of 4 cells are computed; until the map is full, the rule reads the published map's values."
    assert found.thresholds.of(grid) == asked.of(PUBLISHED) != asked.of(grid)


@pytest.mark.parametrize("grid", [cells(3, 0, 1), cells(3, 0, 1, 0)])
def test_rows_without_a_value_do_not_count(grid):
    assert footing(grid, **PLAN).filled == 0.5


def test_cells_off_the_plan_do_not_count():
    beside = pd.concat([cells(3, 3, 3, 3), cells(1, x=(1.5,))], ignore_index=True)
    assert footing(beside, **PLAN).note == ""
    assert footing(beside).filled == pytest.approx(5 / 6)


def test_absolute_thresholds_stay_as_they_are():
    one = Threshold(rule="absolute", value=1.0)
    asked = Thresholds(train=one, test=one)
    found = footing(cells(1), asked, published=PUBLISHED, **PLAN)
    assert found.thresholds.reference is None and found.note == "1 of 4 cells are computed."


def test_a_map_of_which_nothing_was_published_says_that_its_thresholds_will_move():
    found = footing(cells(1), **PLAN)
    assert found.thresholds == Thresholds() and "will move" in found.note


def test_a_map_on_which_nothing_was_learned_says_so_whether_full_or_not():
    failed = cells(3, 3, 1, 2).assign(test_error=[1.0, 1.2, 0.99, 1.0])
    assert footing(failed, **PLAN).note.startswith("No cell has a test error clearly below 1")
    in_part = footing(failed.head(2), **PLAN).note
    assert in_part.startswith("2 of 4 cells") and "No cell has a test error clearly below 1" in in_part
    a_little = failed.assign(test_error=[0.943, 1.02, 1.09, 1.0])  # gradient descent on convection, beta 5 to 50
    assert "No cell" in footing(a_little, **PLAN).note
    assert "No cell" not in footing(failed.assign(test_error=[1.0, 0.5, 1.0, 1.0]), **PLAN).note
    assert "No cell" not in footing(cells(0, 0, 0, 0), **PLAN).note


def test_a_threshold_by_which_worse_than_zero_counts_as_low_says_so():
    errors = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": 1.0, "train_loss": 0.1, "test_error": [0.5, 1.5, 9.0]})
    assert "above 1, the error of predicting zero" in footing(errors).note
    assert not footing(errors.assign(test_error=[0.1, 0.2, 1.0])).note
