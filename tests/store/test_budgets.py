"""Runs read at a budget: their curves' last point within it, and what it took to reach a loss."""

import pandas as pd
import pytest

from sciml_backend import paths
from sciml_backend.run import BadRequest, Curve, Status
from sciml_backend.store import queries, spool

LBFGS, FLOAT64 = "pinn/convection/lbfgs", "pinn/convection/lbfgs@float64"
CURVE = Curve([0, 20, 40, 60], [0, 25, 50, 75], [0.0, 1.0, 2.0, 3.0], [8.0, 0.5, 0.2, 0.01], [1.0, 0.9, 0.8, 0.1])
SPENT = {"curve": CURVE, "evaluations": 75, "seconds": 3.0}


@pytest.fixture
def deliver(store, record):
    def put(*records):
        spool.write_runs(records, paths.spool_new(), batch_id="budgets:0", axis="beta")
        store.ingest()
        return store

    return put


def row(found):
    assert len(found) == 1
    return found.iloc[0].to_dict()


def test_at_the_end_are_the_stored_values(deliver, record):
    store = deliver(record(5, **SPENT))
    found = row(queries.runs_at(store, [LBFGS]))
    end = {"map": LBFGS, "x": 5.0, "y": 100.0, "seed": 0, "status": "converged", "train_loss": 0.01, "test_error": 0.1}
    assert found == end | {"evaluations": 75, "seconds": 3.0}
    assert row(queries.runs_at(store, [LBFGS], budget=75)) == found
    assert row(queries.runs_at(store, [LBFGS], budget=3.0, unit="seconds")) == found


@pytest.mark.parametrize(
    ("budget", "unit", "point"),
    [(74, "evaluations", 2), (50, "evaluations", 2), (24.9, "evaluations", 0), (0, "evaluations", 0)]
    + [(1.99, "seconds", 1), (2.0, "seconds", 2)],
)
def test_within_a_budget_the_last_logged_point_counts(deliver, record, budget, unit, point):
    found = row(queries.runs_at(deliver(record(5, **SPENT)), [LBFGS], budget=budget, unit=unit))
    assert found["status"] == "running"
    assert (found["train_loss"], found["test_error"]) == (CURVE.train_loss[point], CURVE.test_error[point])
    assert (found["evaluations"], found["seconds"]) == (CURVE.evaluations[point], CURVE.seconds[point])


def test_a_run_has_its_first_value_when_nothing_was_logged_within_the_budget(deliver, record):
    late = Curve([1, 20], [9, 25], [0.4, 1.0], [8.0, 0.01], [1.0, 0.1])
    store = deliver(record(5, curve=late, evaluations=25, seconds=1.0))
    assert row(queries.runs_at(store, [LBFGS], budget=3))["train_loss"] == 8.0


def test_a_divergence_counts_from_when_it_happened(deliver, record):
    lost = {"status": Status.DIVERGED, "train_loss": 1e9, "test_error": None}
    store = deliver(record(5, **SPENT | lost))
    after, before = (row(queries.runs_at(store, [LBFGS], budget=budget)) for budget in (75, 74))
    assert after["status"] == "diverged" and pd.isna(after["train_loss"]) and pd.isna(after["test_error"])
    assert (before["status"], before["train_loss"]) == ("running", 0.2)


def test_a_run_without_a_history_has_no_value_before_its_end(deliver, record):
    store = deliver(record(5, **SPENT | {"curve": Curve()}))
    assert row(queries.runs_at(store, [LBFGS]))["train_loss"] == 0.01
    found = row(queries.runs_at(store, [LBFGS], budget=10))
    assert found["status"] == "running" and pd.isna(found["train_loss"]) and pd.isna(found["evaluations"])
    assert pd.isna(row(queries.cost_to_reach(store, [LBFGS], 1.0))["evaluations"])


def test_several_maps_are_told_apart_and_unknown_ones_are_left_out(deliver, record):
    store = deliver(record(5, **SPENT), record(5, dtype="float64", variant="float64", train_loss=0.5, **SPENT))
    found = queries.runs_at(store, [LBFGS, FLOAT64, "pinn/convection/nothing"])
    assert found["map"].tolist() == [LBFGS, FLOAT64] and found["train_loss"].tolist() == [0.01, 0.5]
    assert queries.runs_at(store, []).empty and queries.cost_to_reach(store, ["pinn/convection/nothing"], 1.0).empty


def test_means_at_the_end_are_those_of_the_map(deliver, record):
    lost = {"status": Status.DIVERGED, "train_loss": 1e9, "test_error": None}
    store = deliver(record(5, seed=0, **SPENT), record(5, seed=1, train_loss=0.03), record(5, seed=2, **lost))
    means = queries.runs_at(store, [LBFGS]).groupby(["x", "y"])["train_loss"].mean()
    assert means.tolist() == queries.regime_grid(store, LBFGS)["train_loss"].tolist() == pytest.approx([0.02])


def test_published_values_have_no_history_and_any_budget_holds_them(store):
    ends, early = (queries.runs_at(store, [LBFGS], source="published", budget=b) for b in (None, 1))
    assert len(ends) == 144
    pd.testing.assert_frame_equal(ends, early)


@pytest.mark.parametrize(("loss", "point"), [(0.5, 1), (0.4, 2), (0.01, 3), (9.0, 0)])
def test_cost_to_reach_is_that_of_the_first_point_low_enough(deliver, record, loss, point):
    found = row(queries.cost_to_reach(deliver(record(5, **SPENT)), [LBFGS], loss))
    assert (found["evaluations"], found["seconds"]) == (CURVE.evaluations[point], CURVE.seconds[point])


def test_what_is_never_reached_has_no_cost(deliver, record):
    found = row(queries.cost_to_reach(deliver(record(5, **SPENT)), [LBFGS], 0.001))
    assert pd.isna(found["evaluations"]) and pd.isna(found["seconds"])


def test_a_budget_that_makes_no_sense_is_refused(store):
    with pytest.raises(BadRequest, match="in evaluations or seconds; got 'hours'"):
        queries.runs_at(store, [LBFGS], budget=1, unit="hours")
    with pytest.raises(BadRequest, match="at least 0 seconds; got -1"):
        queries.runs_at(store, [LBFGS], budget=-1, unit="seconds")
