"""The Families page: which maps it shows, one rule for all of them, what it says of them, and its address."""

import json
from itertools import product

import pytest

from pages import results
from pages.address import PARAMETERS
from sciml_backend.run import RunSpec, Status
from tests.pages.conftest import opened, run_record

BETAS, DATA = (5, 10, 30), (100, 500, 1000)


def pendulum(damping, data, seed, error):
    spec = RunSpec(
        family="node", problem="pendulum", strategy="adam", coefficients={"inv_b": damping}, data=data, seed=seed
    )
    return run_record(5, data, seed, spec=spec, train_loss=error / 100, test_error=error)


def cells():
    return product(zip(BETAS, range(3), strict=True), DATA, range(2))


def pinns():
    """Both metrics jump at β = 30."""
    for (beta, k), data, seed in cells():
        yield run_record(beta, data, seed, test_error=(0.1, 0.1, 1.0)[k], train_loss=(0.1, 0.1, 1.0)[k])


def nodes():
    """The error rises evenly."""
    return (pendulum(float(damping), data, seed, (0.1, 0.5, 0.9)[k]) for (damping, k), data, seed in cells())


@pytest.fixture(scope="session")
def two_families(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    lost = {"status": Status.DIVERGED, "train_loss": None, "test_error": None}
    for store in opened(folder, [*pinns(), *nodes(), run_record(50, 100, 0, **lost)]):
        yield folder, store


@pytest.fixture
def two(two_families, given):
    """PINN and NODE on 3 x 3 cells with 2 seeds each, beside the published maps."""
    return given(*two_families)


OWN = {"maps": "pinn/convection/lbfgs,node/pendulum/adam", "rule": "absolute", "t_train": "0.4", "t_test": "0.4"}


def words(app):
    return " ".join(str(e.value) for kind in ("markdown", "caption", "info") for e in getattr(app, kind))


def charts(app):
    return [json.loads(c.proto.spec) for c in app.get("plotly_chart")]


def links(app):
    return [e.proto for e in app.get("page_link")]


def test_published_maps_stand_in_and_say_so(store, visit):
    n_problems = len(results.maps().drop_duplicates(["family", "problem"]))
    app = visit("families")
    assert len(charts(app)) == n_problems + 2 >= 5, "a map of each, the dots and the matrix"
    said = words(app)
    assert said.count("· published") == n_problems and "does not cross its threshold" in said
    assert set(app.table[0].value["seeds"]) == {"0"} and set(app.table[0].value["largest"]) == {"–"}


def test_maps_that_have_begun_stand_behind_published_ones(two, visit):
    app = visit("families")
    names = [link.label.strip("*").split(" · ")[1] for link in links(app)]
    said = dict(zip(names, [caption.value for caption in app.caption][: len(names)], strict=True))
    assert said["PINN"].startswith("L-BFGS · published") and said["PINODE"].startswith("L-BFGS · published")
    assert said["NODE"].startswith("Adam · ") and "published" not in said["NODE"]
    published = visit("families", maps="published:pinn/convection/lbfgs,pinn/convection/lbfgs")
    assert [link.label for link in links(published)] == ["**1 · PINN · 1D convection**", "**2 · PINN · 1D convection**"]
    captions = [c.value for c in published.caption]
    assert captions[0].startswith("L-BFGS · published") and captions[1].startswith("L-BFGS · 6% computed")


def test_one_rule_labels_every_map_and_steps_are_measured(two, visit):
    app = visit("families", **OWN)
    assert [c.value.split("  \n")[1] for c in app.caption[:2]] == ["I 67%, II 33%, III 0%, IV 0%"] + [
        "I 33%, II 0%, III 67%, IV 0%"
    ]
    table = app.table[0].value
    assert table.index.tolist() == ["1 · PINN · 1D convection · L-BFGS", "2 · NODE · Damped pendulum · Adam"]
    # Ranges are p5 to p95 of the nine cells' values: the whole 0.9 and 0.8, as three of nine are at either end.
    assert table["largest"].tolist() == ["1 ± 0", "0.5 ± 0"]
    assert table["lines that cross"].tolist() == ["3 of 3", "3 of 3"]
    app.segmented_control(key="metric").set_value("train_loss").run()
    assert not app.exception and app.table[0].value.loc["2 · NODE · Damped pendulum · Adam", "seeds"] == "0"


def test_the_matrix_says_how_thresholds_carry_over(two, visit):
    app = visit("families", **OWN)
    assert "All cells keep it: these thresholds carry over exactly." in words(app)
    app.segmented_control(key="carried").set_value("range").run()
    matrix = charts(app)[-1]["data"][0]
    assert matrix["text"][0][0] == "100" and app.query_params["carried"] == "range"
    one = visit("families", maps="node/pendulum/adam")
    assert "It takes a second map" in words(one)


def test_a_panel_leads_to_its_regime_map_with_these_thresholds(two, visit):
    (pinn, node) = links(visit("families", **OWN))
    assert "family=node" in node.query_string and "rule=absolute" in node.query_string
    assert "family" not in pinn.query_string, "what is the default is left out"


def test_a_click_offers_the_cell_on_its_regime_map_once(two, visit):
    app = visit("families", **OWN)
    app.session_state["open_map"] = {"family": "node", "problem": "pendulum", "strategy": "adam", "x": "5", "y": "100"}
    app.run()
    (link,) = links(app)
    assert "family=node" in link.query_string and "x=5&y=100" in link.query_string
    assert len(links(app.run())) == 2


def test_the_view_is_in_the_address_and_nonsense_is_ignored(two, visit):
    app = visit("families", maps="node/pendulum/adam,nothing/of/it", per="mile", lines="y", whose="paper")
    assert app.multiselect(key="maps").value == ["node/pendulum/adam"]
    assert app.segmented_control(key="per").value == "cells"
    address = dict(app.query_params.items())
    assert address == {"maps": "node/pendulum/adam", "lines": "y", "whose": "paper"}


def test_variants_with_commas_come_back_from_an_address(two, visit):
    names = ["newton@float64,depth=2,width=10", "lbfgs", "lbfgs@depth=2"]
    assert PARAMETERS["among"].read(",".join(names)) == names


def test_a_store_without_any_map_says_what_to_do(two, visit, monkeypatch):
    nothing = results.maps().head(0)
    monkeypatch.setattr(results, "maps", lambda: nothing)
    app = visit("families")
    assert "No map is stored yet" in app.info[0].value and not charts(app)
