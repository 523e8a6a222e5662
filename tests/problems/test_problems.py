"""Every problem of the catalogue: its reference solves its own equation, and its points are the protocol's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from sciml_backend import catalog
from sciml_backend.equation import Equation, SpaceTime, grid_points, open_grid, shape
from sciml_backend.run import BadRequest

PROBLEMS = sorted(name for name, entry in catalog.entries("problems").items() if issubclass(entry.cls, Equation))
PUBLISHED = [name for name in PROBLEMS if isinstance(catalog.problem(name), SpaceTime)]
STEP = 2e-3
STENCILS = {
    1: {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12},
    2: {-2: -1 / 12, -1: 4 / 3, 0: -5 / 2, 1: 4 / 3, 2: -1 / 12},
    4: {-3: -1 / 6, -2: 2, -1: -13 / 2, 0: 28 / 3, 1: -13 / 2, 2: 2, 3: -1 / 6},
}  # fourth-order central differences


@dataclass
class ReferenceField:
    """The reference solution as a field; derivatives by fourth-order differences."""

    problem: Equation
    points: np.ndarray
    c: dict[str, float]
    largest: float = 1.0

    @property
    def at(self) -> dict[str, torch.Tensor]:
        return dict(zip(self.problem.coordinates, torch.as_tensor(self.points).T, strict=True))

    def _solution(self, **moved: float) -> torch.Tensor:
        names = self.problem.coordinates
        at = {name: along + moved.get(name, 0.0) for name, along in zip(names, self.points.T, strict=True)}
        grid = self.problem.solution(at, self.c)
        return torch.as_tensor(grid[(np.arange(len(self.points)),) * len(names)])[None]

    @property
    def value(self) -> torch.Tensor:
        return self._solution()

    def apply(self, **operator: Any) -> torch.Tensor:
        total = torch.zeros(1, len(self.points), dtype=torch.float64)
        for name, factor in operator.items():
            order, letter = len(name), name[0]
            assert set(name) == {letter}
            for shift, weight in STENCILS[order].items():
                moved = self._solution(**{letter: shift * STEP})
                total = total + factor * weight / STEP**order * moved
        self.largest = max(self.largest, float(total.abs().max()))
        return total


def points_of(problem: Equation, name: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    chosen = problem.points(min(2000, problem.data_limit), data_seed=1)[name]
    if name == "interior" and "t" in problem.coordinates:  # the stencil stays inside
        chosen = chosen[(chosen[:, 1] > 0.05) & (chosen[:, 1] < 0.95)]
    chosen = chosen[rng.choice(len(chosen), min(40, len(chosen)), replace=False)]
    return chosen[np.argsort(chosen[:, -1], kind="stable")]


def coefficients_of(problem: Equation) -> dict[str, float]:
    axis = problem.axis
    return problem.complete({axis.name: axis.axis[len(axis.axis) // 2]})


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_reference_solution_kills_every_residual(name: str) -> None:
    problem = catalog.problem(name)
    c = coefficients_of(problem)
    columns = {k: torch.tensor([[v]], dtype=torch.float64) for k, v in c.items()}
    for term in problem.terms():
        if term.name == "velocity":  # one-sided at t = 0; the wave's own test covers it
            continue
        fields = [ReferenceField(problem, points_of(problem, where), c) for where in term.at]
        residual = term.residual(*fields, columns)
        assert float(residual.abs().max()) < 2e-4 * max(field.largest for field in fields), term.name


def test_a_wrong_coefficient_does_not() -> None:
    problem = catalog.problem("convection")
    c = coefficients_of(problem)
    field = ReferenceField(problem, points_of(problem, "interior"), c)
    wrong = {"beta": torch.tensor([[c["beta"] + 1]], dtype=torch.float64)}
    assert float(problem.terms()[0].residual(field, wrong).abs().max()) > 0.1


def test_the_wave_starts_at_rest() -> None:
    problem = catalog.problem("wave")
    c = coefficients_of(problem)
    x, h = np.linspace(0, 1, 50), 1e-5
    after, before = (problem.solution({"x": x, "t": np.array([t])}, c) for t in (h, -h))
    assert abs((after - before) / (2 * h)).max() < 1e-6


@pytest.mark.parametrize("name", PUBLISHED)
def test_points_are_the_protocols(name: str) -> None:
    problem = catalog.problem(name)
    points = problem.points(1000, data_seed=0)
    assert {k: len(v) for k, v in points.items()} == {"interior": 1000, "lower": 101, "upper": 101, "initial": 257}
    assert len(np.unique(points["interior"], axis=0)) == 1000
    assert points["interior"][:, 1].min() > 0 and 0 < points["interior"][:, 0].min()
    assert points["interior"][:, 0].max() < problem.domain[0].high
    again = problem.points(1000, data_seed=0)["interior"]
    assert np.array_equal(points["interior"], again)
    assert not np.array_equal(points["interior"], problem.points(1000, data_seed=1)["interior"])
    assert len(problem.points(25_500, data_seed=0)["interior"]) == 25_500


@pytest.mark.parametrize("name", sorted(set(PROBLEMS) - set(PUBLISHED)))
def test_points_in_one_dimension_are_nodes_of_the_grid(name: str) -> None:
    problem = catalog.problem(name)
    points, nodes = problem.points(100, data_seed=0), problem.nodes()["x"]
    assert points["interior"].shape == (100, 1) and len(np.unique(points["interior"])) == 100
    assert all(set(inside.ravel()) <= set(nodes) for inside in points.values())
    assert "ends" not in points or points["ends"].ravel().tolist() == [nodes[0], nodes[-1]]
    assert not set(problem.heldout_nodes()["x"]) & set(nodes)
    assert (problem.test_weights() == 1).all()


@pytest.mark.parametrize("name", PUBLISHED)
def test_grids_are_the_protocols(name: str) -> None:
    problem = catalog.problem(name)
    train, test, heldout = problem.nodes(), problem.test_nodes(), problem.heldout_nodes()
    assert (len(test["x"]), len(test["t"])) == (129, 101)
    assert set(test["x"]) <= set(train["x"])
    assert not set(heldout["x"]) & set(train["x"]) and not set(heldout["t"]) & set(train["t"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"beta": -1.0}, "between 0 and 100"),
        ({"beta": float("nan")}, "between 0 and 100"),
        ({}, "needs a value for beta"),
        ({"gamma": 1.0, "beta": 1.0}, "no coefficient 'gamma'"),
    ],
)
def test_bad_coefficients_are_one_sentence(given: dict[str, float], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        catalog.problem("convection").complete(given)


@pytest.mark.parametrize("n", [0, -5, 25_501])
def test_more_points_than_nodes_are_refused(n: int) -> None:
    with pytest.raises(BadRequest, match="25,500"):
        catalog.problem("convection").points(n, data_seed=0)


def test_known_values_of_the_solutions() -> None:
    x, t = np.array([0.3, 2.0]), np.array([0.0, 0.7])
    for (i, xi), (j, tj) in product(enumerate(x), enumerate(t)):
        u = catalog.problem("convection").solution({"x": x, "t": t}, {"beta": 30.0})[j, i]
        assert u == pytest.approx(np.sin(xi - 30 * tj))
        w = catalog.problem("wave").solution({"x": x / 7, "t": t}, {"c": 2.0, "beta": 3.0})[j, i]
        expected = np.sin(np.pi * xi / 7) * np.cos(2 * np.pi * tj)
        expected += 0.5 * np.sin(3 * np.pi * xi / 7) * np.cos(6 * np.pi * tj)
        assert w == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("convection", "380ae81115a09eb8"),
        ("wave", "dda3e413860df551"),
    ],
)
def test_a_data_seed_gives_the_same_points_on_every_machine(name: str, wanted: str) -> None:
    """Stored results rest on them: other points are another protocol."""
    found = hashlib.sha256()
    for points in catalog.problem(name).points(1000, data_seed=3).values():
        found.update(np.ascontiguousarray(points).tobytes())
    assert found.hexdigest()[:16] == wanted


def test_fields_on_a_grid_have_their_last_coordinate_first() -> None:
    nodes = {"x": np.array([0.0, 1.0, 2.0]), "y": np.array([5.0, 6.0]), "t": np.array([0.1, 0.2])}
    at = open_grid(nodes)
    field = at["x"] + 10 * at["y"] + 100 * at["t"]
    assert field.shape == shape(nodes) == (2, 2, 3)
    points = grid_points(nodes)
    assert np.array_equal(points @ [1, 10, 100], field.ravel()) and points[1].tolist() == [1.0, 5.0, 0.1]
