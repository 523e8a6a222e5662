"""The cost model of a map."""

from __future__ import annotations

import json

import pytest

from sciml_backend import catalog
from sciml_backend.benchmarks.cost import cost, write
from sciml_backend.run import BadRequest, MapName


def test_a_problem_with_few_nodes_has_a_cost_too() -> None:
    found = cost(MapName("pinn", "poisson_1d", "adam"))
    assert found["iterations"] == 20_000 and found["seconds_fixed"] + 1000 * found["seconds_per_point"] > 0


def test_steps_are_the_published_ones_where_a_family_takes_these(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path))
    monkeypatch.setattr("sciml_backend.benchmarks.cost.LONGEST", 0.0)
    assert cost(MapName("fno", "poisson_2d", "adam", "coarse"))["iterations"] == 2400  # of 1,024, its map's largest set


def test_what_is_measured_joins_what_is_known(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("sciml_backend.benchmarks.cost.LONGEST", 0.0)
    path = tmp_path / "costs.json"
    known = {"pinn/wave/sgd": {"seconds_fixed": 1.0}}
    path.write_text(json.dumps(known))
    name = MapName("node", "pendulum", "adam")
    found = write([name], path)
    assert list(found) == [str(name)] and json.loads(path.read_text()) == found | {
        "pinn/wave/sgd": {"seconds_fixed": 1.0}
    }
    with pytest.raises(BadRequest, match="NODE is not trained by alm"):
        write([MapName("node", "pendulum", "alm")], path)


def test_every_map_that_can_be_asked_for_is_one_of_the_record() -> None:
    trainings = list(catalog.trainings())
    assert ("node", "pendulum", "adam") in trainings and ("node", "pendulum", "alm") not in trainings
    assert len(set(trainings)) == len(trainings) > 80
