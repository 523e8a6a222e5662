"""The cost model of a map."""

from __future__ import annotations

import json

import pytest

from sciml_backend import catalog, sweep
from sciml_backend.benchmarks.cost import cost, write
from sciml_backend.run import BadRequest, MapName


def test_a_problem_with_few_nodes_has_a_cost_too() -> None:
    found = cost(MapName("pinn", "poisson_1d", "adam"))
    assert found["iterations"] == 20_000 and found["seconds_fixed"] + 1000 * found["seconds_per_point"] > 0


def test_steps_are_the_published_ones_where_a_family_takes_these(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path))
    monkeypatch.setattr("sciml_backend.benchmarks.cost.LONGEST", 0.0)
    assert cost(MapName("fno", "poisson_2d", "adam", "coarse"))["iterations"] == 2400  # of 1,024, its map's largest set


def test_iterations_are_expected_by_the_settings_of_a_strategy() -> None:
    def expected(name: str, coefficient: str, data: int) -> int:
        (spec,) = sweep.plan(MapName.parse(name), coefficients={coefficient: [4.0]}, data=[data])
        return sum(strategy.expected_iterations for strategy in sweep.schedule_of(spec))

    assert expected("pinn/convection/lbfgs", "beta", 100) == 4000  # mean of the stored runs: 3,611
    assert expected("node/pendulum/lbfgs", "inv_b", 100) == 500  # one epoch
    assert expected("pino/darcy/lbfgs@coarse", "r", 20) == 50 * 20
    assert expected("pino/darcy/alm@coarse", "r", 20) == 2000 + 10 * 100
    assert expected("pino/darcy/cl@coarse", "r", 20) == 8 * 200 // 2 + 2000  # at the middle of the axis
    assert expected("pinn/convection/alm", "beta", 100) == 50 * 500


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
