"""Claims on maps whose boundaries, regimes and seeds are known."""

import numpy as np
import pandas as pd
import pytest

from sciml_backend.regimes.claims import BASE, CLAIMS, Grid, Judgement, judged

XS, YS, SEEDS = (5, 10, 20, 30, 50, 70), (100, 500, 1000, 2000, 5000), 3
LOW, HIGH = (1e-3, 0.05), (1.0, 1.0)


def runs(*, boundary, least=lambda x: 0, spread=0.0, low=LOW, lost=(), extra=0):
    """Runs with a low training loss up to β = boundary and a low test error with at least ``least(β)`` points."""
    rng, rows = np.random.default_rng(0), []
    for y in YS:
        for x in XS:
            for seed in range(SEEDS + (extra if (x, y) == (20, 100) else 0)):
                trained = x <= boundary
                train = low[0] if trained else HIGH[0]
                test = low[1] if trained and y >= least(x) else HIGH[1]
                noise = 10 ** (spread * rng.standard_normal())
                gone = (x, y, seed) in lost
                rows.append(
                    {"x": x, "y": y, "seed": seed, "status": "diverged" if gone else "stalled",
                     "train_loss": np.nan if gone else train * noise, "test_error": np.nan if gone else test}
                )  # fmt: skip
    return pd.DataFrame(rows)


def found(maps):
    return {(f.claim.identifier, f.claim.measured): f for f in judged(maps, resamples=50)}


def of(findings, identifier, start=""):
    return next(f for (name, words), f in findings.items() if name == identifier and words.startswith(start))


def test_a_boundary_that_moved_two_cells_is_seen_and_one_that_did_not_is_too():
    findings = found({BASE: runs(boundary=20), "alm": runs(boundary=50), "cl": runs(boundary=50)})
    assert of(findings, "C03").value == pytest.approx(23, abs=1) and of(findings, "C03").judgement is Judgement.HOLDS
    shift = of(findings, "C04", "cells")
    assert shift.value == pytest.approx(2, abs=0.01) and shift.judgement is Judgement.HOLDS
    assert of(findings, "C05").value == 0 and of(findings, "C05").judgement is Judgement.HOLDS
    still = found({BASE: runs(boundary=20), "alm": runs(boundary=20)})
    assert of(still, "C04", "cells").judgement is Judgement.FAILS
    assert of(still, "C04", "β").judgement is Judgement.FAILS
    assert of(still, "C05").judgement is Judgement.MISSING and of(still, "C08").judgement is Judgement.MISSING


def test_a_boundary_beyond_the_map_is_no_coefficient_on_it():
    findings = found({BASE: runs(boundary=20), "alm": runs(boundary=70)})
    beyond, shift = of(findings, "C04", "β"), of(findings, "C04", "cells")
    assert np.isinf(beyond.value) and beyond.judgement is Judgement.FAILS
    assert shift.value == pytest.approx(2.7, abs=0.01) and shift.judgement is Judgement.HOLDS  # to the end, at least


def test_the_fewest_points_are_read_off_the_column_of_the_map():
    many = runs(boundary=70, least=lambda x: 5000 if x >= 30 else 0)
    few = runs(boundary=70, least=lambda x: 1000 if x >= 30 else 0)
    findings = found({BASE: runs(boundary=20), "alm": many, "cl": few})
    assert of(findings, "C06").value == 5000 and of(findings, "C06").judgement is Judgement.HOLDS
    assert of(findings, "C07", "least").value == 1000 and of(findings, "C07", "N_f of").value == 5
    assert of(findings, "C09").value == 4 * 3  # four rows too short of data at β = 30, 50 and 70


def test_improvements_are_means_over_the_baselines_regimes():
    better = runs(boundary=20, low=(0.4 * LOW[0], 0.5 * LOW[1]))
    findings = found({BASE: runs(boundary=20), "nncg": better})
    assert of(findings, "C11").value == pytest.approx(50) and of(findings, "C11").judgement is Judgement.HOLDS
    assert of(findings, "C12").value == pytest.approx(60) and of(findings, "C12").judgement is Judgement.HOLDS
    assert of(findings, "C13").value == 0 and of(findings, "C13").judgement is Judgement.HOLDS


def test_seeds_that_scatter_leave_a_claim_open_and_its_interval_is_of_the_stored_runs():
    scattered = runs(boundary=20, spread=1.5)
    findings = found({BASE: runs(boundary=20), "nncg": scattered})
    finding = of(findings, "C13")
    assert finding.judgement in (Judgement.OPEN, Judgement.FAILS) and finding.low < finding.value < finding.high
    cell = scattered[(scattered["x"] == 5) & (scattered["y"] == 100)]["train_loss"]
    rng = np.random.default_rng(1)
    drawn = {round(Grid.of(scattered).resampled(rng).means()[0][0, 0], 12) for _ in range(300)}
    pairs = {np.mean([a, b]) for a in cell for b in cell}
    assert len(drawn) == 6 and all(any(np.isclose(d, t, atol=1e-11) for t in pairs) for d in drawn)


def test_drawn_means_vary_as_means_do():
    values = np.random.default_rng(0).standard_normal((1, 200, 3))
    grid = Grid(np.arange(200.0), np.zeros(1), values, values, np.full((1, 200), 3))
    rng = np.random.default_rng(1)
    drawn = np.array([grid.resampled(rng).means()[0] for _ in range(2000)])
    expected = (values.var(-1, ddof=1) / 3).mean()
    assert drawn.var(0).mean() == pytest.approx(expected, rel=0.02)


def test_lost_runs_and_unequal_numbers_of_seeds_are_no_values():
    uneven = runs(boundary=20, extra=4, lost={(5, 100, 0), (10, 100, 0), (10, 100, 1), (10, 100, 2)})
    grid = Grid.of(uneven)
    assert grid.runs.max() == 7 and grid.runs.min() == 3
    train, _ = grid.means()
    assert np.isnan(train[0, 1]) and train[0, 0] == pytest.approx(LOW[0]) and train[0, 2] == pytest.approx(LOW[0])
    rng = np.random.default_rng(0)
    for _ in range(20):
        again = grid.resampled(rng).means()[0]
        assert np.isnan(again[0, 1]) and not np.isnan(again[1:]).any() and not np.isnan(again[0, 2])


@pytest.mark.parametrize(
    ("kept", "undecided"),
    [
        (lambda r: r["x"] < 25, {"C06", "C07"}),
        (lambda r: r["x"] == 30, {"C10"}),
        (lambda r: r["y"] < 600, {"C03"}),
    ],
    ids=["without the coefficient that is asked for", "one column", "few points only"],
)
def test_maps_of_which_little_is_computed_leave_claims_open(kept, undecided):
    whole = runs(boundary=20, least=lambda x: 500)
    findings = judged({c: whole[kept(whole)] for c in (BASE, "alm", "cl", "ropinn", "nncg")}, resamples=5)
    assert undecided <= {f.claim.identifier for f in findings if f.judgement is Judgement.OPEN}


def test_maps_without_common_cells_and_lost_maps_decide_nothing():
    whole = runs(boundary=20)
    easy, hard = whole[whole["x"] < 25], whole[whole["x"] > 25]
    lost = whole.assign(train_loss=np.nan, test_error=np.nan, status="diverged")
    for other in (hard, lost):
        base = easy if other is hard else whole
        findings = judged({BASE: base, **{c: other for c in ("alm", "cl", "ropinn", "nncg")}}, resamples=5)
        assert all(f.judgement is Judgement.OPEN for f in findings if f.claim.needs), findings


def test_one_seed_alone_decides_nothing():
    whole = runs(boundary=20, least=lambda x: 500)
    single = whole[whole["seed"] == 0]
    findings = judged(dict.fromkeys((BASE, "alm", "cl", "ropinn", "nncg"), single), resamples=5)
    assert all(f.judgement is Judgement.OPEN for f in findings), findings
    alone = whole[(whole["seed"] == 0) | (whole["x"] != 70)]  # a column of one seed is left out of value and interval
    beyond = of(found({BASE: alone, "alm": runs(boundary=50).merge(alone[["x", "y", "seed"]])}), "C04", "β")
    assert np.isinf(beyond.value)


def test_claims_are_those_that_were_published():
    published = pd.read_csv("data/published/claims.csv")
    assert {claim.identifier for claim in CLAIMS} == set(published["id"][2:13])
