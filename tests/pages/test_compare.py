"""The Compare page: on few and on many strategies, at a budget, by its controls and by its address."""

import json

import numpy as np
import pandas as pd
import pytest

from pages import comparison, costs
from pages.choice import Same
from sciml_backend import figures, paths
from sciml_backend.run import Curve, Status
from sciml_backend.store import spool
from tests.pages.conftest import opened, run_record

BETAS, DATA = (5, 10, 30), (100, 1000)


def record(strategy, beta, data, seed, loss, error, **changes):
    """A run of 75 evaluations that had ten times its loss after 25 of them."""
    spec = run_record(beta, data, seed).spec.but(strategy=strategy)
    curve = Curve([0, 20, 60], [0, 25, 75], [0.0, 1.0, 3.0], [9.0, 10 * loss, loss], [1.0, 1.0, error])
    outcome = {"spec": spec, "curve": curve, "train_loss": loss, "test_error": error, "evaluations": 75, "seconds": 3.0}
    return run_record(beta, data, seed, **outcome | changes)


def trained():
    """L-BFGS has low losses at β = 5, ALM at β = 5 and 10; there it is the better one, elsewhere both are equal."""
    low, high = (1e-5, 0.01), (1.0, 1.0)
    for data in DATA:
        for beta in BETAS:
            for seed in range(3):
                scatter = 1 + 0.1 * seed
                for strategy, reach in (("lbfgs", 5), ("alm", 10)):
                    loss, error = low if beta <= reach else high
                    yield record(strategy, beta, data, seed, scatter * loss, scatter * error)


@pytest.fixture(scope="session")
def two_strategies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    lost = {"status": Status.DIVERGED, "train_loss": None, "test_error": None}
    runs = [*trained(), record("alm", 5, 100, 3, 1.0, 1.0, **lost), record("cl", 5, 100, 0, 1e-6, 1e-3)]
    for store in opened(folder, runs):
        yield folder, store


@pytest.fixture
def two(two_strategies, given):
    """L-BFGS and ALM on 3 x 2 cells with 3 seeds each, one diverged run of ALM more, and one run of CL."""
    return given(*two_strategies)


ABSOLUTE = {"rule": "absolute", "t_train": "0.1", "t_test": "0.1"}


def words(app):
    return " ".join(str(e.value) for kind in ("markdown", "caption", "info", "subheader") for e in getattr(app, kind))


def charts(app):
    return [json.loads(c.proto.spec) for c in app.get("plotly_chart")]


def heat(chart):
    return next(t for t in chart["data"] if t["type"] == "heatmap")


def tables(app):
    return [table.value for table in app.table]


def test_a_single_strategy_is_not_compared(small, visit):
    app = visit("compare")
    assert "Only L-BFGS is stored of **PINN · 1D convection**, and a comparison takes two." in words(app)
    assert not charts(app)
    published = visit("compare", source="published")
    assert "Only L-BFGS is published for" in words(published)
    next(b for b in published.button if b.label == "Compare what is computed here").click()
    published.run()
    assert published.selectbox(key="source").value == "computed" and not published.exception
    assert "No strategy is stored of **PINN · 1D wave**" in words(visit("compare", problem="wave"))


def test_a_pair_is_drawn_and_summed_up(two, visit):
    app = visit("compare", method="alm", **ABSOLUTE)
    assert app.selectbox(key="base").value == "lbfgs" and len(charts(app)) == 4
    said = words(app)
    assert "ALM against L-BFGS" in said and "Runs at the end; T train = 0.1, T test = 0.1." in said
    assert "**Training loss**: lower in 2 of 6 cells, significantly in 2; higher in 1, significantly in 0." in said
    assert "ALM takes 1 times the evaluations of L-BFGS (median of 6 cells)." in said
    train, test, cost, _ = charts(app)
    names = {trace.get("name") for trace in train["data"]}
    assert {"boundary, L-BFGS", "boundary, ALM"} <= names
    assert "ALM: 1.1e-05 (mean of 3 seeds, 1 diverged)" in train["data"][-1]["hovertext"][0]
    assert cost["layout"]["yaxis"]["title"]["text"] == "ALM, evaluations"


def test_the_shift_of_the_boundaries_is_that_of_the_map(two, visit):
    app = visit("compare", method="alm", **ABSOLUTE)
    moved, lines = tables(app)[:2]
    assert moved.loc["as set", "training boundary"].startswith("+1 cells, β +")
    assert moved.loc["as set", "training boundary"].endswith("(2 of 2 rows)")
    assert moved.loc["as set", "train: smaller / larger β"] == "0 / 2"
    assert lines.loc["N_f = 100", "test, cells"] == "+1"
    app.segmented_control(key="lines").set_value("y")
    app.run()
    by_columns = tables(app)[1]
    assert by_columns.loc["β = 10", "train, L-BFGS"] == "> 1000" and by_columns.loc["β = 10", "train, ALM"] == "< 100"
    assert tables(app)[0].loc["as set", "train: smaller / larger N_f"] == "1 / 0"


def test_strategies_are_ranked_where_at_least_two_have_the_cell(two, visit):
    app = visit("compare", method="alm", **ABSOLUTE)
    winners = charts(app)[-1]
    texts = winners["data"][-1]["hovertext"]
    assert "not decidable: fewer than 2 seeds" in texts[0], "CL is lowest there, by one seed"
    assert "<b>ALM</b>: lowest, and significantly below the next" in texts[1]
    assert "exactly equal" in texts[2]
    counts, gains = tables(app)[2:]
    assert counts.loc["CL", "missing"] == "5" and "Counted over the 1 cells" in words(app)
    assert gains.loc["ALM in II", "significantly lower"] == "2" and gains.loc["CL in I", "not decidable"] == "1"


def test_maps_of_the_baseline_s_variant_come_first_and_have_colours_of_their_own():
    variants = [f"pinn/convection/{strategy}@float64" for strategy in ("adam", "alm", "cl", "lbfgs", "sgd")]
    plain = [f"pinn/convection/{strategy}" for strategy in ("adam", "alm", "cl", "hybrid", "lbfgs", "nncg")]
    mixed = tuple(name for pair in zip(variants, plain, strict=False) for name in pair) + (plain[-1],)
    assert comparison.ordered(mixed, "") == (*plain, *variants)
    assert comparison.ordered(mixed, "float64") == (*variants, *plain)
    assert len({figures.colour(place) for place in range(len(plain))}) == len(plain)


def test_chosen_strategies_alone_take_part(two, visit):
    app = visit("compare", method="alm", among="lbfgs,alm,nothing", metric="train_loss", **ABSOLUTE)
    assert app.query_params["among"] == "lbfgs;alm"
    assert tables(app)[2].index.tolist() == ["L-BFGS", "ALM"]
    assert tables(app)[2].loc["ALM", ["I", "II"]].tolist() == ["4", "2"]
    assert "Lowest training loss" in charts(app)[-1]["layout"]["title"]["text"]


def test_runs_are_read_at_a_budget_and_thresholds_stay(two, visit):
    app = visit("compare", method="alm", unit="evaluations", n_evaluations="100")
    assert "Runs at 100 evaluations of each run" in words(app)
    whole = heat(charts(app)[0])["z"]
    app = visit("compare", method="alm")
    assert heat(charts(app)[0])["z"] == whole, "all runs end within 100 evaluations"
    app = visit("compare", method="alm", unit="seconds", n_seconds="2")
    early = charts(app)[0]["data"][-1]["hovertext"]
    assert "L-BFGS: 0.00011 (mean of 3 seeds)" in early[0]
    assert "ALM: 2.5 (mean of 4 seeds)" in early[0], "the fourth diverged later"


def test_costs_until_trained_say_who_gets_there(two, visit):
    app = visit("compare", method="alm", until="trained", cost="seconds", **ABSOLUTE)
    assert "It is reached by L-BFGS in 2 and ALM in 4 of 6 cells." in words(app)
    assert charts(app)[2]["layout"]["xaxis"]["title"]["text"] == "L-BFGS, seconds"


def test_each_map_may_be_judged_by_its_own_values(two, visit):
    one, own = (visit("compare", method="alm", rule="percentile", yardstick=y) for y in ("base", "own"))
    assert "L-BFGS: T train" not in words(one) and "L-BFGS: T train" in words(own)


@pytest.mark.parametrize("gain", ["means", "paired", "factor"])
def test_improvements_come_in_three_forms(two, visit, gain):
    values = heat(charts(visit("compare", method="alm", gain=gain))[0])
    assert values["zmax"] == (2 if gain == "factor" else 100)


def test_a_chosen_cell_shows_the_curves_of_both(two, visit):
    app = visit("compare", method="alm", x="10", y="1000")
    curves = charts(app)[2]
    assert {t["name"] for t in curves["data"]} == {"L-BFGS", "ALM"} and len(curves["data"]) == 12
    assert curves["layout"]["xaxis"]["title"]["text"] == "loss-and-gradient evaluations"


def test_the_view_is_in_the_address_and_nonsense_is_ignored(two, visit):
    app = visit("compare", base="alm", method="cl", gain="factor", unit="weeks", n_evaluations="many", x="5", y="100")
    assert (app.selectbox(key="base").value, app.selectbox(key="method").value) == ("alm", "cl")
    assert app.segmented_control(key="unit").value == "end"
    app.segmented_control(key="unit").set_value("evaluations")
    app.run()
    app.select_slider(key="n_evaluations").set_value(500.0)
    app.run()
    assert not app.exception
    address = dict(app.query_params.items())
    assert address.items() >= {"base": "alm", "unit": "evaluations", "n_evaluations": "500"}.items()
    again = visit("compare", **address)
    assert charts(again) == charts(app) and words(again) == words(app)


def test_unknown_strategies_in_the_address_fall_back_to_known_ones(two, visit):
    app = visit("compare", base="nobody", method="nothing")
    assert app.selectbox(key="base").value == "lbfgs" and app.selectbox(key="method").value == "alm"


def test_a_run_that_was_lost_early_is_not_a_cheap_one():
    spent = {"base": (100.0, 110.0, 120.0), "method": (3.0, 4.0, 20_000.0)}
    runs = pd.DataFrame(
        {"map": name, "x": 5.0, "y": 100.0, "evaluations": cost, "status": "diverged" if cost < 10 else "stalled"}
        for name, costs_of in spent.items()
        for cost in costs_of
    )
    cells = Same(runs[["x", "y"]].drop_duplicates())
    (found,) = costs._costs(Same(runs), cells, ("base", "method"), "evaluations", whole=True).to_dict("records")
    assert found == {"x": 5.0, "y": 100.0, "base": 110.0, "method": np.inf}


def test_cells_that_too_few_seeds_leave_open_are_counted(visit, own_store):
    runs = [record(strategy, beta, 100, 0, 0.1, 0.1) for strategy in ("lbfgs", "alm") for beta in (5, 10)]
    spool.write_runs(runs, paths.spool_new(), batch_id="one:0", axis="beta")
    own_store.ingest()
    said = words(visit("compare", method="alm", **ABSOLUTE))
    assert "higher in 0, significantly in 0, 2 not decidable with fewer than 2 seeds." in said
