"""Schedules as data: settings with dots, strategies within strategies, and the way back from a map's name."""

import pytest

from sciml_backend import catalog
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


@pytest.mark.parametrize("settings", [{"inner.history": 7}, {"inner": "adam", "inner.rate": 0.01}, {"growth": 1.5}])
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
