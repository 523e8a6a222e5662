"""Who is lowest, by how sure a margin, and what lost seeds, ties and single seeds make of it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sciml_backend.regimes import against, gains, regime_counts, seed_means, seed_medians, winners
from sciml_backend.regimes.seeds import scores, welch
from sciml_backend.regimes.thresholds import Threshold, Thresholds

NAN = np.nan


def runs(**values):
    """Runs of one cell by map: numbers are test errors, strings are the status of a lost run."""
    rows = [
        {"map": name, "x": 5.0, "y": 100.0, "seed": seed, "status": value if isinstance(value, str) else "stalled"}
        | {"test_error": NAN if isinstance(value, str) else value}
        for name, seeds in values.items()
        for seed, value in enumerate(seeds)
    ]
    return pd.DataFrame(rows).assign(train_loss=lambda frame: frame["test_error"])


def one(**values):
    found = winners(runs(**values))
    assert len(found) == 1
    return found.iloc[0]


def test_p_is_that_of_welchs_test_on_logarithms():
    first, second = [0.01, 0.02, 0.015], [0.1, 0.05, 0.2, 0.04, 0.3]
    found = one(a=first, b=second)
    expected = stats.ttest_ind(np.log10(first), np.log10(second), equal_var=False).pvalue
    assert found["p"] == pytest.approx(expected, rel=1e-9)
    assert (found["winner"], found["runner_up"], found["state"]) == ("a", "b", "WON")
    assert found["lowest"] == pytest.approx(stats.gmean(first)) and found["next"] == pytest.approx(stats.gmean(second))


def test_a_lead_within_the_spread_of_seeds_is_not_significant():
    found = one(a=[0.01, 1.0, 0.1], b=[0.02, 1.1, 0.3])
    assert (found["winner"], found["state"]) == ("a", "LEADS") and found["p"] > 0.05


def test_one_unlucky_seed_does_not_decide_a_geometric_mean():
    assert one(a=[1e-4, 1e-4, 1.0], b=[0.1, 0.1, 0.1])["winner"] == "a"


def test_the_test_is_between_the_two_lowest_of_all():
    found = one(c=[9.0, 9.1], a=[0.01, 0.011], b=[0.5, 0.51])
    assert (found["winner"], found["runner_up"], found["n_maps"]) == ("a", "b", 3)


def test_the_lowest_is_low_by_the_threshold_of_its_own_map():
    values = runs(a=[0.2, 0.2], b=[0.4, 0.4])
    for thresholds, low in (({"a": 0.1, "b": 1.0}, False), ({"a": 0.3, "b": 0.1}, True), ({}, True)):
        assert winners(values, thresholds=thresholds).iloc[0]["low"] == low
    assert not winners(runs(a=["diverged"] * 2, b=["failed"] * 2), thresholds={"a": 1.0}).iloc[0]["low"]


def test_equal_strategies_tie():
    found = one(a=[0.5, 0.6], b=[0.5, 0.6], c=[0.7, 0.8])
    assert (found["state"], found["winner"], found["p"]) == ("TIED", "", 1.0)


def test_a_single_seed_decides_nothing():
    assert one(a=[0.001], b=[0.5, 0.6])["state"] == "UNDECIDABLE"
    assert one(a=[0.001, 0.002], b=[0.5])["state"] == "UNDECIDABLE"
    assert np.isnan(one(a=[0.001], b=[0.5, 0.6])["p"])


def test_a_cell_of_one_strategy_is_not_compared():
    assert winners(runs(a=[0.1, 0.2])).empty
    assert winners(runs(a=[0.1, 0.2]).iloc[:0]).empty


def test_a_lost_seed_counts_as_the_worst_of_its_cell():
    found = scores(runs(a=[0.01, 0.01, "diverged"], b=[0.1, 1.0, 0.1]), "test_error").set_index("map")
    assert 10 ** found.loc["a", "mean"] == pytest.approx((0.01 * 0.01 * 1.0) ** (1 / 3))
    assert found.loc["a", ["n", "n_lost"]].tolist() == [3, 1]
    assert one(a=[0.01, "diverged", "failed"], b=[0.1, 1.0, 0.1])["winner"] == "b"


def test_who_lost_all_seeds_wins_nothing():
    found = one(a=["diverged"] * 3, b=[0.5, 0.6, 0.7])
    assert (found["winner"], found["state"], found["n_lost_next"]) == ("b", "UNRIVALLED", 3)
    assert np.isnan(found["p"]) and np.isinf(found["next"])
    assert one(a=["diverged"] * 2, b=["failed"] * 2)["state"] == "LOST"


def test_runs_of_which_nothing_is_known_are_left_out():
    unread = runs(a=[0.1, 0.2], b=[0.5, 0.6, NAN])
    assert winners(unread).iloc[0]["n_next"] == 2


def test_a_test_without_spread_is_sure_of_any_difference():
    first, second = (scores(runs(a=[v, v]), "test_error") for v in (0.1, 0.2))
    assert welch(first, second).tolist() == [0.0] and welch(first, first).tolist() == [1.0]


def test_verdicts_against_a_baseline():
    found = against(
        runs(
            base=[0.10, 0.11],
            better=[0.01, 0.011],
            lower=[0.09, 0.11],
            worse=[1.0, 1.1],
            one=[0.1],
            same=[0.1, 0.11],
            lost=["diverged", "failed"],
        ),
        "base",
    )
    assert dict(zip(found["map"], found["verdict"], strict=True)) == {
        "better": "BETTER", "lower": "LOWER", "worse": "WORSE", "one": "UNDECIDABLE", "same": "EQUAL",
        "lost": "LOST",
    }  # fmt: skip
    (row,) = against(runs(base=["diverged", "failed"], method=[0.1, 0.2]), "base").itertuples()
    assert row.verdict == "RESCUED" and np.isnan(row.p)


def test_a_verdict_is_between_two_maps_whatever_else_is_stored():
    two = runs(base=[0.30, 0.31, 0.32], method=[0.05, 0.06, "diverged"])
    more = pd.concat([two, runs(hopeless=[1e6, 1e7])])
    alone, beside = (against(found, "base").set_index("map").loc["method"] for found in (two, more))
    assert alone["verdict"] == "LOWER" and alone.equals(beside)
    assert against(two[two["map"] == "base"], "base").empty


def test_cells_are_counted_on_common_ground():
    thresholds = Thresholds(train=Threshold(rule="absolute", value=1.0), test=Threshold(rule="absolute", value=1.0))
    base = pd.DataFrame({"x": [1.0, 2, 3, 4], "y": 5.0, "train_loss": [0, 2, 0, 0], "test_error": [0, 2, 2, 0]})
    other = pd.DataFrame({"x": [1.0, 2, 3], "y": 5.0, "train_loss": [0, 0, NAN], "test_error": [0, 0, NAN]})
    other = other.assign(n_diverged=[0, 0, 3])
    found = regime_counts({"base": base, "other": other}, {"base": thresholds, "other": thresholds})
    assert found.loc["base"].to_dict() == {"I": 1, "II": 1, "III": 1, "IV": 0, "lost": 0, "missing": 0}
    assert found.loc["other"].to_dict() == {"I": 2, "II": 0, "III": 0, "IV": 0, "lost": 1, "missing": 1}
    assert regime_counts({}, {}).empty


def test_gains_are_counted_in_the_baselines_regimes():
    cells = pd.concat([runs(base=[0.1, 0.11], other=v).assign(x=x) for x, v in ((1.0, [1, 1.1]), (2.0, [0.01, 0.011]))])
    labels = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": 100.0, "label": ["I", "II", "II"]})
    found = gains(against(cells, "base"), labels).set_index(["map", "regime"])
    assert found.loc[("other", "I"), ["WORSE", "BETTER", "cells"]].tolist() == [1, 0, 1]
    assert found.loc[("other", "II"), ["WORSE", "BETTER", "cells"]].tolist() == [0, 1, 1]


def test_means_and_medians_of_seeds():
    found = runs(a=[0.1, 0.3, "diverged", "failed"])
    row = seed_means(found).iloc[0]
    assert row[["train_loss", "n_seeds", "n_diverged", "n_failed"]].tolist() == pytest.approx([0.2, 2, 1, 1])
    assert seed_medians(found, "test_error")["test_error"].tolist() == [np.inf]
    assert seed_medians(found[:3], "test_error")["test_error"].tolist() == [0.3]
    published = seed_means(found[:1].assign(seed=pd.array([None], dtype="Int64")))
    assert np.isnan(published["n_seeds"].iloc[0])
