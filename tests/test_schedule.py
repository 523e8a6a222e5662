"""Schedules as data: settings with dots, strategies within strategies, and the way back from a map's name."""

import pytest

from sciml_backend import catalog, sweep
from sciml_backend.plan import plan
from sciml_backend.run import BadRequest, MapName
from sciml_backend.schedule import build, settings_of
from sciml_backend.strategies.adam import Adam
from sciml_backend.strategies.lbfgs import LBFGS

STRATEGIES = sorted(catalog.entries("strategies"))


@pytest.mark.parametrize("identifier", STRATEGIES)
def test_every_setting_is_documented_and_its_default_can_be_said(identifier):
    known = settings_of(identifier)
    assert known and all(setting.doc for setting in known.values())
    assert build(identifier, {name: setting.default for name, setting in known.items()}) == build(identifier)


def test_a_strategy_within_has_settings_of_its_own():
    (alm,) = build("alm", {"inner.history": 7})
    assert isinstance(alm.inner, LBFGS) and alm.inner.history == 7 and alm.inner.epoch_iterations == 2000
    assert settings_of("alm")["inner.epoch_iterations"].default == 2000


def test_another_strategy_within_brings_its_own_settings():
    settings = {"inner": "adam", "inner.rate": 0.01}
    (alm,) = build("alm", settings)
    assert isinstance(alm.inner, Adam) and alm.inner.rate == 0.01
    assert "inner.history" not in settings_of("alm", settings)
    with pytest.raises(BadRequest, match=r"no setting 'inner.history'"):
        build("alm", {**settings, "inner.history": 7})


def test_another_strategy_may_train_before():
    adam, lbfgs = build("lbfgs", {"before": "adam", "before.steps": 7, "history": 5})
    assert isinstance(adam, Adam) and adam.steps == 7 and isinstance(lbfgs, LBFGS) and lbfgs.history == 5
    assert len(build("lbfgs", {"before": "none"})) == 1 and len(build("nncg", {"before": "sgd"})) == 4
    assert "before.rate" in settings_of("alm", {"before": "adam"}) and "before.rate" not in settings_of("alm")
    for settings, words in (
        ({"before": "nncg"}, "before is one strategy, and nncg has phases before it"),
        ({"before": "noone"}, "no strategy 'noone'"),
        ({"before.steps": 7}, "no setting 'before.steps'"),
        ({"before": "adam", "before.before": "sgd"}, "no setting 'before.before'"),
        ({"inner.before": "sgd"}, "no setting 'inner.before'"),
    ):
        with pytest.raises(BadRequest, match=words):
            build("alm", settings)


def test_what_trains_before_is_one_of_the_familys_strategies():
    for name, settings, words in (
        ("node/pendulum/adam", {"before": "ropinn"}, "NODE is not trained by ropinn here"),
        ("resnet/digits/sgd", {"before": "lbfgs"}, "is not trained by lbfgs here; it is by sgd, adam"),
    ):
        with pytest.raises(BadRequest, match=words):
            plan(MapName.parse(name), data=[100], settings=settings)


def test_a_family_may_have_one_train_before_and_whoever_asks_may_drop_it():
    (plain,) = plan(MapName.parse("pino/darcy/alm@coarse"), coefficients={"r": [2.0]}, data=[20])
    before, alm = sweep.schedule_of(plain)
    assert isinstance(before, Adam) and before.steps == 2000 and before.batch == 32 and alm.inner.steps == 100
    (alone,) = plan(MapName.parse("pino/darcy/alm@coarse,before=none"), coefficients={"r": [2.0]}, data=[20])
    assert len(sweep.schedule_of(alone)) == 1 and alone.cell_id != plain.cell_id


@pytest.mark.parametrize(
    "settings",
    [
        {"inner.history": 7},
        {"inner": "adam", "inner.rate": 0.01},
        {"growth": 1.5},
        {"before": "adam", "before.steps": 9},
    ],
)
def test_a_maps_name_brings_its_settings_back(settings):
    spec, *_ = plan(MapName.parse("pinn/convection/alm"), data=[100], settings=settings)
    assert dict(spec.settings) == settings
    (again, *_) = plan(spec.map, data=[100])
    assert again == spec


def test_what_is_unknown_or_impossible_is_refused():
    name = MapName.parse("pinn/convection/alm")
    for settings, words in (
        ({"inner": "alm_of_none"}, "no strategy 'alm_of_none'"),
        ({"inner.histories": 1}, "no setting 'inner.histories'"),
        ({"inner.history": 0}, "must be greater than 0"),
        ({"inner.history": "many"}, "of type int"),
    ):
        with pytest.raises(BadRequest, match=words):
            plan(name, data=[100], settings=settings)


@pytest.mark.parametrize(
    ("name", "usual", "other"),
    [
        ("node/pendulum/cl", "lbfgs", "adam"),
        ("pinode/pendulum/alm", "lbfgs", "adam"),
        ("pino/darcy/cl", "adam", "lbfgs"),
        ("pino/darcy/alm", "adam", "sgd"),
        ("pino/darcy/cl@coarse", "adam", "lbfgs"),
        ("pino/darcy/alm@coarse", "adam", "sgd"),
    ],
)
def test_what_a_family_sets_of_a_part_goes_when_another_part_is_asked_for(name, usual, other):
    asked = MapName.parse(name)
    axis = catalog.problem(asked.problem).axis.name
    one = {"coefficients": {axis: [2.0]}, "data": [20]}
    (plain,) = plan(asked, **one)
    (same,) = plan(asked, **one, settings={"inner": usual})
    (changed,) = plan(asked, **one, settings={"inner": other})
    held = [sweep.schedule_of(spec)[-1].inner for spec in (plain, same, changed)]
    assert [type(part).__module__.rpartition(".")[2] for part in held] == [usual, usual, other]
    assert plain.cell_id == same.cell_id != changed.cell_id
    (again,) = plan(changed.map, **one)
    assert again.cell_id == changed.cell_id
    setting = "inner.history" if other == "lbfgs" else "inner.rate"
    (finer,) = plan(asked, **one, settings={"inner": other, setting: 7 if other == "lbfgs" else 0.02})
    assert finer.settings[setting] and plan(finer.map, **one)[0].cell_id == finer.cell_id


@pytest.mark.parametrize("strategy", ["adam", "lbfgs", "alm", "cl", "nncg"])
def test_a_coarse_operator_fits_into_16_gib(strategy):
    (spec,) = plan(MapName("pino", "darcy", strategy, "coarse"), coefficients={"r": [2.0]}, data=[20])
    vectors = max(phase.vectors for phase in sweep.schedule_of(spec))
    assert vectors * sweep.model_of(spec).parameters * 4 < 16 * 2**30
