"""Every page on an empty store, on a small one, and what their controls do."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from jobs import queue
from jobs.control import ControlStore
from pages import address, choice, diagnostics, services
from sciml_backend import catalog, catalog_record, paths, plan, sweep
from sciml_backend.run import Artifact, BadRequest, MapName, RunRecord, RunSpec, Status
from sciml_backend.store import spool
from tests.pages.conftest import run_record

VIEWS = (
    *("solution", "spectrum", "landscape", "sharpness", "stationary"),
    *("sharpening", "ntk", "jumps", "opinion", "provenance"),
)


def words(app):
    return " ".join(str(e.value) for kind in ("markdown", "caption", "info", "code") for e in getattr(app, kind))


def charts(app):
    return [json.loads(c.proto.spec) for c in app.get("plotly_chart")]


@pytest.mark.parametrize("page", ["", "compare", "families", "cell", "jobs", "methods"])
def test_every_page_runs_on_an_empty_store(store, visit, page):
    visit(page)


@pytest.mark.parametrize("page", ["", "compare", "families", "cell", "jobs", "methods"])
def test_every_page_runs_on_a_small_store(small, visit, page):
    visit(page)


def test_an_empty_map_says_what_to_do(store, visit):
    app = visit()
    assert "Nothing is stored" in app.info[0].value and not charts(app)
    next(b for b in app.button if b.label == "Show the published map").click()
    app.run()
    assert len(charts(app)) == 2


def test_both_panels_show_the_values_of_the_store(small, visit):
    train, test = charts(visit())
    heat = next(t for t in train["data"] if t["type"] == "heatmap")
    assert (train["layout"]["title"]["text"], test["layout"]["title"]["text"]) == ("Training loss", "Test error")
    assert heat["zmin"] < 1e-5 < heat["zmax"]
    names = {t.get("name") for t in train["data"]}
    assert {"not computed yet", "failed with an error", "diverged: no finite value"} <= names


def test_a_map_that_is_not_full_reads_the_published_thresholds_and_says_so(small, visit):
    app = visit()
    assert "2 of 144 cells are computed; until the map is full, the rule reads the published map's values." in words(
        app
    )
    assert "T test = 0.429" in words(app)


def test_a_moved_threshold_moves_boundaries_and_shares_and_is_in_the_address(store, visit):
    app = visit(source="published")
    before = words(app), charts(app)[0]
    app.slider(key="f_train").set_value(0.6)
    app.run()
    assert not app.exception
    assert app.query_params["f_train"] == "0.6"
    assert words(app) != before[0] and charts(app)[0] != before[1]
    again = visit(source="published", f_train="0.6")
    assert charts(again) == charts(app)


def test_an_address_names_map_rule_and_cell(small, visit):
    app = visit(x="5", y="100", rule="absolute", t_train="0.02", log="1")
    assert app.selectbox(key="x").value == 5 and app.selectbox(key="y").value == 100
    assert app.number_input(key="t_train").value == 0.02
    assert "Regime **I**, well-trained" in words(app)
    assert len(charts(app)) == 3


def test_an_address_of_nonsense_is_ignored(small, visit):
    assert address.PARAMETERS["radius"].read("0.05") == 0.05
    with pytest.raises(ValueError):
        address.PARAMETERS["radius"].read("0.1")
    app = visit(x="nan", y="lots", problem="nowhere", rule="range", f_train="2,5", variant="float16")
    assert app.selectbox(key="problem").value == "convection" and app.selectbox(key="x").value is None


@pytest.mark.parametrize("changes", [{"f_train": "7"}, {"low": "80"}, {"perturbation": "3"}, {"rule": "magic"}])
def test_a_number_out_of_range_in_the_address_is_no_error(store, visit, changes):
    assert len(charts(visit(source="published", **changes))) == 2


def test_a_preset_sets_rule_and_numbers(store, visit):
    app = visit(source="published")
    next(b for b in app.button if "Table 5" in b.label).click()
    app.run()
    assert (app.number_input(key="t_train").value, app.number_input(key="t_test").value) == (0.0038, 0.434)
    assert "T train = 3.80·10⁻³" in words(app)


def test_missing_cells_are_queued_with_an_estimate_that_says_what_it_rests_on(small, visit):
    app = visit(x="5", y="1000")
    app.radio[0].set_value("The selected cell")
    app.run()
    assert "About **4 s** on one worker." in words(app) and "6 stored runs of this map" in words(app)
    next(b for b in app.button if b.label == "Train 1 run").click()
    app.run()
    assert not app.exception
    (job,) = queue.jobs()
    assert (job.kind, job.n_cells) == ("train", 1)
    (spec,) = queue.cells(job.job_id)
    assert (spec.coefficients, spec.data, spec.seed) == ({"beta": 5.0}, 1000, 2)
    assert "queued or training" in {t.get("name") for t in charts(app)[0]["data"]}


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ({"problem": "wave", "strategy": "newton"}, "pinn/wave/newton@float64,depth=2,width=10"),
        ({"problem": "reaction", "strategy": "cl", "variant": "float64"}, "pinn/reaction/cl@float64"),
        ({"family": "mlp", "problem": "regression", "strategy": "adam"}, "mlp/regression/adam"),
    ],
)
def test_a_map_of_which_nothing_is_stored_is_asked_for_as_the_command_line_would(store, visit, chosen, name):
    from sciml_backend.plan import plan
    from sciml_backend.run import MapName

    app = visit(**chosen)
    next(b for b in app.button if b.label.startswith("Train ")).click()
    app.run()
    assert not app.exception
    (job,) = queue.jobs()
    asked = {spec.cell_id for spec in queue.cells(job.job_id)}
    assert asked == {spec.cell_id for spec in plan(MapName.parse(name), seeds=range(3))}


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_a_cell_shows_what_is_stored(small, visit, view):
    app = visit("cell", x="5", y="100", show=view)
    assert not app.button or "Compute" not in app.button[-1].label
    drawn = 2 if view in ("solution", "spectrum", "landscape", "stationary", "sharpening", "ntk") else 1
    assert app.session_state["show"] == view
    assert len(charts(app)) == drawn
    assert "2,900" in str(app.table[0].value)


def test_a_diagnostic_without_a_view_of_its_own_is_shown_by_its_numbers(small, visit, catalogue):
    own = {"label": "Roughness", "doc": "How rough it is.\n\nMore of it.", "settings": {}}
    services.provide(small, {**catalogue, "diagnostics": {**catalogue["diagnostics"], "roughness": own}})
    app = visit("cell", x="5", y="100", show="roughness")
    assert "How rough it is." in words(app) and "More of it." not in words(app)
    assert "Compute the roughness" in [button.label for button in app.button]
    assert visit("cell", x="5", y="100", show="horoscope").session_state["show"] == "solution"


def test_a_solution_of_one_variable_is_drawn_as_lines():
    def page():
        import numpy as np

        from pages import diagnostics
        from sciml_backend.run import Artifact

        x = np.linspace(0, 1, 5)
        numbers = {"test_error": 0.1, "largest_error": 0.2}
        arrays = {"x": x, "solution": x, "reference": x**2}
        diagnostics._solution(Artifact(cell_id="", kind="solution", numbers=numbers, arrays=arrays), None)

    app = AppTest.from_function(page).run()
    assert not app.exception
    (figure,) = charts(app)
    assert [line["name"] for line in figure["data"]] == ["reference", "predicted", "predicted − reference"]


def test_the_reproducing_command_is_as_the_command_line_takes_it(small, visit):
    app = visit("cell", x="5", y="100", show="provenance")
    code = app.code[0].value
    assert code == "python -m sciml_backend run pinn/convection/lbfgs --set beta=5 --data 100 --seed 0 --dtype float32"
    assert "kernel" in app.markdown[-1].value, "made-up runs name no kernel, so nothing is promised bit by bit"


def test_what_is_not_stored_is_computed_on_request(small, visit):
    app = visit("cell", x="5", y="1000", show="spectrum")
    next(b for b in app.button if b.label == "Compute the hessian spectrum").click()
    app.run()
    assert not app.exception
    (job,) = queue.jobs()
    assert (job.kind, job.spec["diagnostic"], job.n_cells) == ("diagnose", "spectrum", 1)
    assert not any(b.label.startswith("Compute") for b in app.button)


def test_a_result_that_did_not_stay_is_offered_again(small, visit, monkeypatch):
    spec = RunSpec(family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": 5}, data=1000)
    job_id = queue.submit_diagnostic(spec, "spectrum").job_id
    control = ControlStore(paths.control())
    for after in (queue.State.SUBMITTED, queue.State.RUNNING, queue.State.INGESTING, queue.State.SUCCEEDED):
        ticket = control.tickets(list(queue.State))[0]
        control.move(ticket, after, actor="test")
    assert queue.job(job_id).state is queue.State.SUCCEEDED

    def offered():
        app = visit("cell", x="5", y="1000", show="spectrum")
        return [b.label for b in app.button if b.label.startswith("Compute")]

    assert offered() == []
    monkeypatch.setattr(diagnostics, "DELIVERY_SECONDS", 0)
    assert offered() == ["Compute the hessian spectrum"]


def test_jobs_are_listed_cancelled_and_queued_again(small, visit):
    spec = RunSpec(family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": 9}, data=100)
    queue.submit_training([spec], requested_by="somebody")
    app = visit("jobs")
    assert "asked by somebody" in words(app)
    next(b for b in app.button if b.label == "Cancel").click()
    app.run()
    assert queue.jobs()[0].state == "cancelled"
    app.session_state[f"ended_{queue.jobs()[0].job_id}"] = True
    app.run()
    next(b for b in app.button if b.label == "Queue again").click()
    app.run()
    assert queue.jobs()[0].state == "queued" and not app.exception


def test_methods_name_every_entry_of_the_catalogue(store, visit, catalogue):
    said = words(visit("methods"))
    for kind in ("problems", "strategies", "diagnostics"):
        for entry in catalogue[kind].values():
            assert entry["label"] in said
    assert catalogue["problems"]["wave"]["equation"] in said


def test_methods_say_what_every_setting_means(store, visit, catalogue):
    settings = catalogue["diagnostics"]["landscape"]["settings"] | catalogue["models"]["mlp"]["settings"]
    assert settings["radius"]["doc"] and settings["width"]["doc"]
    shown = str([table.value.to_dict() for table in visit("methods").table])
    for name, setting in settings.items():
        assert name in shown and str(setting["default"]) in shown and setting["doc"] in shown


@pytest.mark.parametrize("text", ["pinn/convection/lbfgs", "pinn/reaction_diffusion/lbfgs@float64", "pinn/wave/adam"])
def test_pages_plan_the_runs_that_a_sweep_plans(store, text):
    name = MapName.parse(text)
    chosen = choice.choice(name, "computed")
    cells = [(chosen.x.values[1], chosen.y.values[2])]
    planned = sweep.plan(name, coefficients={chosen.x.name: [cells[0][0]]}, data=[int(cells[0][1])], seeds=range(3))
    assert choice.specs(chosen, cells, seeds=range(3)) == planned
    assert [s.cell_id for s in choice.specs(chosen, cells, seeds=range(3))] == [s.cell_id for s in planned]


PLUGIN = """
\"\"\"Convection of one's own.\"\"\"
from sciml_backend.problems.convection import Convection


class Slow(Convection):
    \"\"\"Convection by another name.\"\"\"

    label = "Slow convection"
"""


def test_the_sharpness_of_some_samples_does_not_stand_for_that_of_all(own_store, visit):
    run = run_record(5, 100, 0)
    spool.write_runs([run], paths.spool_new(), batch_id="sharp:0", axis="beta")

    def shown(number, **settings):
        found = Artifact(
            cell_id=run.spec.cell_id,
            kind="hessian_extremes",
            settings={"at": "final"} | settings,
            numbers={"lambda_max": number},
            finished_at=f"2026-01-01T00:00:0{settings['data'] == 0:d}+00:00",
        )
        spool.write_artifacts([found], paths.spool_new(), batch_id=f"sharp:{number}")
        own_store.ingest()
        return visit("cell", x="5", y="100").table[0].value.to_string()

    assert "λmax" not in shown(777.0, data=64)
    assert "888" in shown(888.0, data=0)


@pytest.fixture
def plugged(own_store, tmp_path, monkeypatch):
    """Pages that know a problem of somebody's own: write its text, and they see it."""
    (tmp_path / "problems").mkdir()
    monkeypatch.setenv("ATLAS_PLUGINS", str(tmp_path))

    def write(text):
        (tmp_path / "problems" / "slow.py").write_text(text)
        catalog.entries.cache_clear()
        services.provide(own_store, catalog_record.record())

    yield write
    catalog.entries.cache_clear()


def test_pages_plan_the_runs_of_a_plugin_as_it_is_now(plugged, own_store):
    name = MapName.parse("pinn/slow/lbfgs")
    axes = {"coefficients": {"beta": [5.0]}, "data": [100], "seeds": range(2)}

    def both():
        found = choice.specs(choice.choice(name, "computed"), [(5.0, 100)], seeds=range(2))
        return found, sweep.plan(name, **axes)

    plugged(PLUGIN)
    found, planned = both()
    assert found == planned and planned[0].plugin and not planned[0].variant
    outcome = {"status": Status.CONVERGED, "reason": "", "train_loss": 1e-5, "test_error": 0.01}
    spool.write_runs([RunRecord(spec=planned[0], **outcome)], paths.spool_new(), batch_id="plugin:0", axis="beta")
    own_store.ingest()
    plugged(PLUGIN + "\n# changed\n")
    changed, planned_anew = both()
    assert changed == planned_anew
    assert {s.cell_id for s in changed}.isdisjoint(s.cell_id for s in found)


@pytest.mark.parametrize("names", [["adam@float64,coarse"], ["a@coarse,batch=64", "b@float64,coarse"], ["a", "b"], []])
def test_lists_of_maps_come_back_from_a_link(names):
    assert address.PARAMETERS["maps"].read(address.query({"maps": names}).get("maps", "")) == names
    assert address.PARAMETERS["maps"].read("a,b@nu=5.0,c=2.0") == ["a", "b@nu=5.0,c=2.0"], "as links were"


def test_what_keeps_job_control_from_working_is_said_and_maps_stay(small, visit):
    visit()
    paths.control().write_bytes(b"no database at all, but long enough to be read as one" * 20)
    said = [error.value for error in visit(source="published").error]
    assert said and all(text.startswith("Job control in ") and "put a backup back" in text for text in said)
    paths.control().unlink()


@pytest.mark.parametrize("variant", ["", "coarse", "coarse,batch=64", "float64,coarse"])
def test_a_variant_made_of_a_named_one_has_its_axes(store, variant):
    name = MapName("fno", "poisson_2d", "adam", variant)
    assert choice.choice(name, "computed").y.values == plan.axes_of(name).y


def test_a_link_names_a_coefficient_with_every_digit():
    value = 100 / 3
    assert float(address.query({"x": value})["x"]) == value and address.query({"x": 5.0})["x"] == "5"


def test_a_job_that_cannot_be_queued_twice_is_refused_in_one_sentence(small):
    spec = RunSpec(family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": 9}, data=100)
    queue.submit_training([spec])
    with pytest.raises(BadRequest):
        queue.submit_training([spec])


def test_a_choice_survives_a_visit_to_other_pages(small, visit):
    app = visit(x="5", y="100", f_train="0.4")
    for page in ("methods", "jobs", "regime_map"):
        app.query_params.clear()
        app.switch_page(f"pages/{page}.py")
        app.run()
    assert not app.exception
    assert (app.selectbox(key="strategy").value, app.selectbox(key="x").value) == ("lbfgs", 5)
    assert app.query_params["f_train"] == "0.4"
