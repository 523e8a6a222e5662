"""Streams: as many as an operator's order asks for, and no more."""

from __future__ import annotations

import pytest
import torch

from sciml_backend import catalog, sweep
from sciml_backend.linalg.polynomial import NotPolynomial, Polynomial
from sciml_backend.linalg.taylor import StreamPlan
from sciml_backend.run import MapName


@pytest.mark.parametrize(
    ("problem", "streams"),
    [
        ("convection", 2),
        ("reaction", 2),
        ("reaction_diffusion", 3),
        ("wave", 4),
        ("poisson_1d", 3),
        ("biharmonic_1d", 5),
    ],
)
def test_the_residual_carries_as_few_streams_as_it_can(problem: str, streams: int) -> None:
    name = MapName("pinn", problem, "lbfgs")
    axis = catalog.problem(problem).axis
    objective = sweep.objective_of(sweep.plan(name, coefficients={axis.name: [axis.axis[0]]}, data=[100]))
    term = objective._terms[0]  # type: ignore[attr-defined]
    assert term.term.name == "residual" and term.streams.count == streams


def test_mixed_and_repeated_operators_share_streams() -> None:
    plan = StreamPlan(("x", "t"))
    for operator in ({"t": 1.0, "xx": -2.0}, {"x": 1.0}, {"xt": 3.0}, {"x": torch.tensor([[1.0], [2.0]]), "t": 1.0}):
        plan.ask(operator)
    streams, carried = plan.layout(2)
    assert streams.count == 1 + 3 + 2  # value; ∂x, ∂t, a direction; two collapsed operators
    assert len(set(carried)) == 4
    assert streams.first[:, 2].tolist() == [[1.0, 1.0], [2.0, 1.0]]


@pytest.mark.parametrize("name", ["y", "xxt", "xxxxx", "xy", ""])
def test_a_derivative_it_cannot_take_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="first and second derivatives in x, t"):
        StreamPlan(("x", "t")).ask({name: 1.0})


@pytest.mark.parametrize("operator", [{"xxx": 2.0}, {"xxxx": 1.0, "x": 1.0}])
def test_a_high_derivative_is_asked_for_by_itself(operator: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="or is one third or fourth derivative in one of them"):
        StreamPlan(("x", "t")).ask(operator)


def test_high_derivatives_of_a_coordinate_share_a_jet() -> None:
    plan = StreamPlan(("x", "t"))
    for name in ("xxxx", "xx", "ttt", "xxx"):
        plan.ask({name: 1.0})
    streams, carried = plan.layout(1)
    assert streams.count == 1 + 1 + 1 + 2 * 4  # value; ∂x, ∂xx; two jets
    assert carried == [10, 2, 5, 9] and streams.jets[0].tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_polynomials_multiply_out() -> None:
    u, v = Polynomial.slot(0), Polynomial.slot(1)
    c = torch.tensor([[2.0], [3.0]])
    p = v - c * u * (1 - u) + 0.5 * u**3 - (-v) / 4 + torch.ones(5)
    assert set(p.terms) == {(1,), (0,), (0, 0), (0, 0, 0), ()}
    assert p.terms[(1,)].item() == 1.25 and p.terms[(0, 0)].flatten().tolist() == [2.0, 3.0]
    assert p.terms[(0,)].flatten().tolist() == [-2.0, -3.0] and p.degree == 3


@pytest.mark.parametrize(
    "expression", [lambda u: torch.sin(u), lambda u: u**-1, lambda u: 1.0 / u, lambda u: u / u, lambda u: u**0.5]
)
def test_what_is_no_polynomial_says_so(expression: object) -> None:
    with pytest.raises((NotPolynomial, TypeError)):
        expression(Polynomial.slot(0))  # type: ignore[operator]
