"""Claims about families, judged on maps whose shares and steps are known."""

import numpy as np
import pandas as pd
import pytest

from sciml_backend.regimes import representatives
from sciml_backend.regimes.claims import Judgement
from sciml_backend.regimes.family_claims import CLAIMS, MAPS, Stored, judged_families
from sciml_backend.regimes.presets import FIGURE_1, FIGURE_1_FRACTIONS

XS, YS = (1.0, 2, 3, 4, 5, 6), (10.0, 20, 30, 40)
SHARP, SMOOTH = (0, 0, 0, 1, 1, 1), (0, 0.2, 0.4, 0.6, 0.8, 1)


def runs(line, *, seeds=3, over_trained=1, spread=0.0, keep=lambda x, y: True):
    """Test error ``line`` on every row; the training loss is low at the easy end and on the first rows."""
    rng = np.random.default_rng(0)
    rows = [
        {"x": x, "y": y, "seed": seed, "status": "converged",
         "train_loss": 1.0 if k > 2 and j >= over_trained else 0.0,
         "test_error": line[k] + spread * rng.standard_normal()}
        for j, y in enumerate(YS) for k, x in enumerate(XS) for seed in range(seeds) if keep(x, y)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def stored(runs, published=None):
    return Stored("own/name/adam@coarse", runs, runs.head(0) if published is None else published, XS, YS)


def found(maps):
    maps = {label: of if isinstance(of, Stored) else stored(of) for label, of in maps.items()}
    return {(f.claim.identifier, f.claim.needs): f for f in judged_families(maps, resamples=50)}


def test_a_regime_is_present_in_three_percent_of_the_cells():
    findings = found({"PINN": runs(SHARP), "NODE": runs(SHARP, over_trained=0)})
    pinn, node = findings["C01", ("PINN",)], findings["C01", ("NODE",)]
    assert pinn.value == pytest.approx(100 * 3 / 24) and pinn.judgement is Judgement.HOLDS
    assert node.value == 0 and node.judgement is Judgement.FAILS


def test_steps_are_compared_in_ranges_per_cell():
    findings = found({"PINN": runs(SHARP), "NODE": runs(SMOOTH), "PINO": runs(SHARP)})
    ahead = findings["C02", ("PINN", "NODE")]
    assert ahead.value == pytest.approx(0.8) and (ahead.low, ahead.high) == pytest.approx((0.8, 0.8))
    assert ahead.judgement is Judgement.HOLDS and findings["C02", ("PINN", "PINO")].value == 0
    swapped = found({"PINN": runs(SMOOTH), "NODE": runs(SHARP)})["C02", ("PINN", "NODE")]
    assert swapped.judgement is Judgement.FAILS


def test_a_cell_beside_the_plan_changes_nothing():
    maps = {"PINN": runs(SHARP), "NODE": runs(SMOOTH)}
    beside = maps["PINN"].head(1).assign(x=3.5)
    more = found({**maps, "PINN": pd.concat([maps["PINN"], beside])})
    assert more["C02", ("PINN", "NODE")].value == pytest.approx(0.8)
    assert more["C01", ("PINN",)].value == found(maps)["C01", ("PINN",)].value


def test_seeds_that_scatter_leave_an_order_open():
    noisy = found({"PINN": runs(SMOOTH, spread=0.2), "NODE": runs(SMOOTH, spread=0.2)})["C02", ("PINN", "NODE")]
    assert noisy.judgement is Judgement.OPEN and noisy.low < 0 < noisy.high


def test_an_interval_is_not_raised_by_the_noise_that_drawing_adds():
    noisy = found({"PINN": runs(SHARP), "NODE": runs(SMOOTH, spread=0.05)})["C02", ("PINN", "NODE")]
    assert noisy.high > 0.8 > noisy.value > noisy.low  # a smooth map has steps of 0.2, noise makes the largest larger


def test_published_maps_are_measured_on_the_planned_cells():
    fine = pd.concat([runs(SMOOTH), runs(SHARP).assign(x=lambda r: r["x"] + 0.5)])
    findings = found({"PINN": stored(runs(SHARP), fine), "NODE": stored(runs(SHARP).head(3), runs(SMOOTH))})
    assert findings["C01", ("PINN",)].published == pytest.approx(100 * 7 / 24)
    ahead = findings["C02", ("PINN", "NODE")]
    assert ahead.judgement is Judgement.MISSING and ahead.published == 0
    assert np.isnan(findings["C02", ("PINN", "PINO")].published)


def test_what_is_missing_is_named():
    holes = runs(SHARP, keep=lambda x, y: not (x > 4 and y > 20))
    assert found({"PINN": runs(SHARP, seeds=1)})["C01", ("PINN",)].missing == ("own/name/adam@coarse (0 of 24 cells)",)
    findings = found({"PINN": runs(SHARP), "PINO": holes, "NODE": runs(SHARP, keep=lambda x, y: y < 40)})
    assert findings["C02", ("PINO", "FNO")].missing == (
        "own/name/adam@coarse (20 of 24 cells)", "fno/advection_diffusion/adam",
    )  # fmt: skip
    assert findings["C01", ("NODE",)].missing == ("own/name/adam@coarse (18 of 24 cells)",)
    assert findings["C02", ("PINN", "PINO")].judgement is Judgement.MISSING
    assert findings["C01", ("PINN",)].missing == ()
    assert all(f.judgement is Judgement.MISSING for f in found({}).values())


def test_maps_without_a_transition_decide_nothing_of_it():
    flat = found({"PINN": runs(SHARP), "NODE": runs((1,) * 6)})["C02", ("PINN", "NODE")]
    assert np.isnan(flat.value) and flat.judgement is Judgement.OPEN


def test_families_and_their_maps_are_those_that_were_published():
    published = pd.read_csv("data/published/claims.csv").set_index("id")
    families = {f.upper() for f in FIGURE_1}
    assert set(published.loc["C01", "statement"].split(" appear in ")[1].split(", ")) == families
    assert {name.family.upper() for name in MAPS.values()} == families and set(FIGURE_1_FRACTIONS) < {*MAPS.values()}
    assert {claim.identifier for claim in CLAIMS} == {"C01", "C02"}
    assert published.loc["C01", "suggested_tolerance"] == "each regime >=3% of grid cells"
    assert published.loc["C02", "value"] == "PINN > PINO > FNO,NODE"


def maps(*rows):
    table = pd.DataFrame(rows, columns=["name", "source", "n_cells"])
    parts = table["name"].str.extract(r"(?P<family>\w+)/(?P<problem>\w+)/(?P<strategy>\w+)@?(?P<variant>.*)")
    return pd.concat([table, parts], axis=1)


def test_a_problem_is_represented_by_the_strategy_of_fig_1_once_that_has_16_computed_cells():
    table = maps(
        ("pinn/convection/alm", "computed", 144),
        ("pinn/convection/lbfgs", "computed", 30),
        ("pinn/reaction/alm", "computed", 20),
        ("pinn/reaction/cl", "computed", 30),
        ("pinn/convection/lbfgs", "published", 144),
        ("pinode/pendulum/adam", "computed", 64),
        ("pinode/pendulum/lbfgs", "computed", 64),
        ("pinode/pendulum/lbfgs@float64", "computed", 64),
        ("fno/poisson_2d/adam", "computed", 0),
        ("pino/darcy/adam@coarse", "computed", 16),
        ("pino/darcy/adam", "computed", 2),
        ("node/pendulum/adam", "computed", 15),
        ("node/pendulum/adam", "published", 64),
        ("resnet/digits/sgd", "computed", 2),
    )
    chosen = representatives(table)
    assert list(zip(chosen["name"], chosen["source"], strict=True)) == [
        ("node/pendulum/adam", "published"),
        ("pinn/convection/lbfgs", "computed"),
        ("pinn/reaction/cl", "computed"),
        ("pino/darcy/adam@coarse", "computed"),
        ("pinode/pendulum/lbfgs", "computed"),
        ("resnet/digits/sgd", "computed"),
    ]
    assert representatives(table.head(0)).empty
