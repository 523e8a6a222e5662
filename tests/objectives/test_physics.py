"""The physics loss on both arithmetics, against automatic differentiation written the textbook way."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml_backend import catalog, sweep
from sciml_backend.equation import TIME, Coordinate, Equation, Field, Point, SpaceTime, Term, grid_points
from sciml_backend.models.mlp import MLP
from sciml_backend.objectives.physics import Physics
from sciml_backend.run import BadRequest, MapName
from tests.textbook import textbook_loss, textbook_residuals

PROBLEMS = sorted(name for name, entry in catalog.entries("problems").items() if issubclass(entry.cls, Equation))
HIGH = ("biharmonic_1d",)
"""Problems of an order that the kernel does not go to."""
ROWS = 3
POINTS = 75


def coefficients_of(problem: Equation) -> dict[str, list[float]]:
    axis = problem.axis
    rows = [problem.complete({axis.name: axis.axis[i]}) for i in range(ROWS)]
    return {name: [row[name] for row in rows] for name in rows[0]}


def make(name: str, **options: Any) -> Physics:
    problem = catalog.problem(name)
    options = {"dtype": torch.float64, "points": problem.points(POINTS, data_seed=0)} | options
    return Physics(problem, model_of(problem), coefficients=coefficients_of(problem), **options)


def model_of(problem: Equation) -> MLP:
    return MLP(width=13, depth=2, inputs=len(problem.domain))


MODEL = model_of(catalog.problem("convection"))


def weights(model: MLP = MODEL, *, rows: int = ROWS, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    start = torch.stack([model.init(seed) for seed in range(rows)]).to(dtype)
    return start + 0.1 * torch.randn(start.shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("fused", [True, False])
def test_loss_gradient_and_curvature_are_the_textbooks(name: str, fused: bool) -> None:
    objective = make(name, fused=fused)
    assert (objective.kernel != "torch") is (fused and name not in HIGH), "a residual of second order should be fused"
    theta, v = weights(), weights() - 1.0
    loss, gradient = objective.value_and_gradient(theta)
    products = objective.hessian_times(theta, v)
    assert torch.allclose(objective.value(theta), loss, rtol=1e-14)
    for row in range(ROWS):
        leaf = theta[row].clone().requires_grad_()
        expected = textbook_loss(objective, leaf, row)
        (slope,) = torch.autograd.grad(expected, leaf, create_graph=True)
        (bend,) = torch.autograd.grad(slope @ v[row], leaf)
        assert float(loss[row]) == pytest.approx(expected.item(), rel=1e-12)
        assert torch.allclose(gradient[row], slope, rtol=1e-9, atol=1e-12 * slope.abs().max().item())
        assert torch.allclose(products[row], bend, rtol=1e-8, atol=1e-11 * bend.abs().max().item())


@pytest.mark.parametrize("name", PROBLEMS)
def test_float32_is_float64_to_its_precision(name: str) -> None:
    theta = weights(dtype=torch.float32)
    loss, gradient = make(name, dtype=torch.float32).value_and_gradient(theta)
    exact_loss, exact = make(name).value_and_gradient(theta.double())
    assert torch.allclose(loss.double(), exact_loss, rtol=1e-5)
    assert float((gradient - exact).norm() / exact.norm()) < 1e-5


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rows_bits_do_not_depend_on_its_batch(fused: bool, dtype: torch.dtype) -> None:
    objective, theta = make("reaction_diffusion", fused=fused, dtype=dtype), weights(dtype=dtype)
    loss, gradient = objective.value_and_gradient(theta)
    for order in ([1], [2, 0], [0, 1, 2], [2, 2, 1, 0, 2]):
        part_loss, part = objective.rows(order).value_and_gradient(theta[order])
        assert torch.equal(part_loss, loss[order]) and torch.equal(part, gradient[order])


@pytest.mark.parametrize("fused", [True, False])
def test_a_nan_row_leaves_its_neighbours_alone(fused: bool) -> None:
    objective, theta = make("wave", fused=fused), weights()
    loss, gradient = objective.value_and_gradient(theta)
    theta[1, 5] = torch.nan
    with_nan, slopes = objective.value_and_gradient(theta)
    assert with_nan[1].isnan()
    for row in (0, 2):
        assert torch.equal(with_nan[row], loss[row]) and torch.equal(slopes[row], gradient[row])


@pytest.mark.parametrize("name", PROBLEMS)
def test_residuals_and_their_derivatives_agree(name: str) -> None:
    objective, theta, v = make(name), weights(), weights() - 1.0
    residuals = objective.residuals(theta)
    assert torch.allclose(sum(r.square().mean(-1) for r in residuals.values()), objective.value(theta), rtol=1e-12)
    plain = make(name, fused=False).residuals(theta)
    assert all(torch.allclose(residuals[k], plain[k], atol=1e-11 * float(plain[k].abs().max())) for k in plain)
    tangents = objective.residual_jvp(theta, v)
    w = {k: torch.sin(torch.arange(r.numel(), dtype=torch.float64)).reshape(r.shape) for k, r in residuals.items()}
    left = sum((w[k] * tangents[k]).sum(-1) for k in w)
    right = (objective.residual_vjp(theta, w) * v).sum(-1)
    assert torch.allclose(left, right, rtol=1e-9)
    gradient = objective.residual_vjp(theta, {k: 2 * r / r.shape[1] for k, r in residuals.items()})
    assert torch.allclose(gradient, objective.value_and_gradient(theta)[1], rtol=1e-9, atol=1e-10)


def test_given_other_coefficients_it_is_the_objective_built_with_them() -> None:
    problem, theta = catalog.problem("convection"), weights(rows=1)
    points = problem.points(POINTS, data_seed=0)
    at = {
        v: Physics(problem, MODEL, coefficients={"beta": [v]}, points=points, dtype=torch.float64) for v in (3.0, 40.0)
    }
    assert torch.equal(at[3.0].given(coefficients={"beta": [40.0]}).value(theta), at[40.0].value(theta))
    with pytest.raises(TypeError, match="cannot|can be given"):
        at[3.0].given(colour="red")


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0], [1]])
def test_terms_with_weights_multipliers_and_each_rows_own_points_are_the_textbooks(
    fused: bool, order: list[int]
) -> None:
    whole, theta, v = make("reaction_diffusion", fused=fused), weights(), weights() - 1.0
    residuals = whole.residuals(theta)
    generator = torch.Generator().manual_seed(2)
    scale = {"residual": torch.tensor([0.5, 2.0, 3.0]), "initial": torch.tensor([1.5, 0.0, 4.0])}
    multipliers = {
        name: torch.randn(residuals[name].shape, generator=generator, dtype=torch.float64)
        for name in ("residual", "boundary")
    }
    moved = whole.points["interior"] + 1e-2 * np.arange(3.0)[:, None, None]
    given = whole.given(points={"interior": moved}, weights=scale).given(multipliers=multipliers)
    part = given.rows(order)
    assert (part.kernel != "torch") is fused
    loss, gradient = part.value_and_gradient(theta[order])
    products = part.hessian_times(theta[order], v[order])
    again = part.given(weights={"boundary": torch.full((len(order),), 2.0)}).value(theta[order])
    for place, row in enumerate(order):
        leaf = theta[row].clone().requires_grad_()
        expected = torch.zeros((), dtype=torch.float64)
        found = textbook_residuals(given, leaf, row)
        for name, residual in found.items():
            expected = expected + (float(scale[name][row]) if name in scale else 1.0) * residual.square().mean()
            if name in multipliers:
                expected = expected + (multipliers[name][row] * residual).mean()
        (slope,) = torch.autograd.grad(expected, leaf, create_graph=True)
        (bend,) = torch.autograd.grad(slope @ v[row], leaf)
        boundary = found["boundary"].detach().square().mean()
        assert float(loss[place]) == pytest.approx(expected.item(), rel=1e-12)
        assert float(again[place] - loss[place]) == pytest.approx(float(boundary), rel=1e-9)
        assert torch.allclose(gradient[place], slope, rtol=1e-9, atol=1e-12 * slope.abs().max().item())
        assert torch.allclose(products[place], bend, rtol=1e-8, atol=1e-11 * bend.abs().max().item())


@pytest.mark.parametrize("name", PROBLEMS)
def test_hessian_products_for_training_are_as_exact_as_float32_is(name: str) -> None:
    theta, v = weights(dtype=torch.float32), (weights() - 1.0).float()
    exact = make(name).hessian_times(theta.double(), v.double())
    objective = make(name, dtype=torch.float32)
    for rows in ([0, 1, 2], [2, 0]):
        product = objective.rows(rows).hessian_at(theta[rows])(v[rows])
        error = (product - exact[rows]).norm(dim=1) / exact[rows].norm(dim=1)
        assert float(error.max()) < 1e-6
        assert torch.equal(product[0], objective.rows(rows[:1]).hessian_at(theta[rows[:1]])(v[rows[:1]])[0])
    nothing = objective.hessian_at(theta)(torch.zeros_like(v))
    assert not nothing.any()


def test_the_reference_solution_has_no_error_and_zero_has_all() -> None:
    objective = make("convection")
    nothing = torch.zeros(ROWS, MODEL.parameters, dtype=torch.float64)
    errors = objective.errors(nothing, heldout=True)
    assert set(errors) == {"test_error", "test_error_l1", "heldout_error"}
    assert all(torch.allclose(e, torch.ones(ROWS, dtype=torch.float64)) for e in errors.values())


def test_errors_are_those_of_numpy_and_the_published_test_set_counts_two_corners_twice() -> None:
    objective, theta = make("convection"), weights()
    problem = objective.problem
    x, t = problem.test_nodes().values()
    inner_x, inner_t = np.meshgrid(x[1:-1], t[1:])
    stacked = np.concatenate(
        [
            np.column_stack([inner_x.ravel(), inner_t.ravel()]),
            np.column_stack([x, np.zeros(129)]),
            np.column_stack([np.full(101, x[-1]), t]),
            np.column_stack([np.full(101, x[0]), t]),
        ]
    )
    assert len(stacked) == 13_031
    heldout = grid_points(problem.heldout_nodes())
    errors = objective.errors(theta, heldout=True)

    def relative(points: np.ndarray, row: int, order: int) -> float:
        truth = np.sin(points[:, 0] - objective.coefficients["beta"][row] * points[:, 1])
        off = objective.predict(theta, points)[row].numpy() - truth
        return float(np.linalg.norm(off, order) / np.linalg.norm(truth, order))

    for row in range(ROWS):
        assert float(errors["test_error"][row]) == pytest.approx(relative(stacked, row, 2), rel=1e-12)
        assert float(errors["test_error_l1"][row]) == pytest.approx(relative(stacked, row, 1), rel=1e-12)
        assert float(errors["heldout_error"][row]) == pytest.approx(relative(heldout, row, 2), rel=1e-12)


def test_a_network_with_another_number_of_inputs_is_refused() -> None:
    problem = catalog.problem("convection")
    points = problem.points(POINTS, data_seed=0)
    with pytest.raises(BadRequest, match="takes 3 inputs; it needs one for each"):
        Physics(problem, MLP(inputs=3), coefficients=coefficients_of(problem), points=points)


class Bent(SpaceTime):
    """u_t = sin u: no polynomial, so no kernel."""

    label, equation, data_axis = "bent", "", (10,)
    domain = (Coordinate("x", 0.0, 1.0, nodes=257), TIME)
    coefficients = catalog.problem("convection").coefficients

    def terms(self) -> tuple[Term, ...]:
        return (Term("residual", ("interior",), self.residual),)

    def residual(self, u: Field, c: Point) -> Any:
        return u.apply(t=1.0) - torch.sin(u.value) * c["beta"]

    def exact(self, at: Any, c: Any) -> Any:
        return np.zeros(())


class Methodical(Bent):
    """The same kind of residual, written with a tensor's methods."""

    def residual(self, u: Field, c: Point) -> Any:
        return u.apply(t=1.0) - u.value.square() * c["beta"]


def test_a_residual_written_with_methods_takes_the_differentiable_path_too() -> None:
    points = Methodical().points(POINTS, data_seed=0)
    objective = Physics(Methodical(), MODEL, coefficients={"beta": [1.0]}, points=points, dtype=torch.float64)
    assert objective.kernel == "torch" and objective.value(weights(rows=1)).isfinite().all()


def test_a_residual_that_is_no_polynomial_takes_the_differentiable_path() -> None:
    problem = Bent()
    points = problem.points(POINTS, data_seed=0)
    objective = Physics(problem, MODEL, coefficients={"beta": [1.0, 2.0]}, points=points, dtype=torch.float64)
    assert objective.kernel == "torch"
    theta = weights(rows=2)
    leaf = theta.clone().requires_grad_()
    loss = objective.differentiable_value(leaf)
    (slope,) = torch.autograd.grad(loss.sum(), leaf)
    value, gradient = objective.value_and_gradient(theta)
    assert torch.allclose(value, loss) and torch.allclose(gradient, slope)


def test_memory_is_predicted() -> None:
    small, large = (make("wave", points=catalog.problem("wave").points(n, data_seed=0)) for n in (100, 20_000))
    assert 0 < small.memory(3) <= large.memory(3) < 100 * 2**20


class Burgers(Bent):
    """u_t + u u_x = nu u_xx, and a cubic term: operators shared between streams, products of slots."""

    def residual(self, u: Field, c: Point) -> Any:
        return u.apply(t=1.0, xx=-0.1) + u.value * u.apply(x=1.0) - c["beta"] * u.value**3 * u.at["x"]


def test_products_of_derivatives_are_fused_too() -> None:
    problem, theta = Burgers(), weights(rows=2)
    points = problem.points(POINTS, data_seed=0)
    fused, plain = (
        Physics(problem, MODEL, coefficients={"beta": [1.0, 2.0]}, points=points, dtype=torch.float64, fused=f)
        for f in (True, False)
    )
    assert fused.kernel != "torch"
    (loss, gradient), (expected, slope) = fused.value_and_gradient(theta), plain.value_and_gradient(theta)
    assert torch.allclose(loss, expected, rtol=1e-12) and torch.allclose(gradient, slope, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_network_on_fourier_features_has_the_textbooks_residuals(name: str) -> None:
    problem = catalog.problem(name)
    model = MLP(width=5, depth=2, features=3, frequency=0.4, inputs=len(problem.domain))
    points = problem.points(9, data_seed=0)
    objective = Physics(problem, model, coefficients=coefficients_of(problem), points=points, dtype=torch.float64)
    assert model.layout[0].shape == (5, 6) and objective.kernel == "torch"
    theta = torch.stack([model.init(seed).double() for seed in range(ROWS)])
    found = objective.residuals(theta)
    for row in range(ROWS):
        for term, expected in textbook_residuals(objective, theta[row], row).items():
            tolerance = 1e-8 * float(expected.detach().abs().max() + 1)
            assert torch.allclose(found[term][row], expected.detach(), rtol=1e-8, atol=tolerance)
    alone = objective.rows([1]).value_and_gradient(theta[1:2])
    together = objective.value_and_gradient(theta)
    assert torch.equal(alone[1][0], together[1][1]) and torch.equal(alone[0][0], together[0][1])


def jacobians(objective: Physics, theta: Tensor) -> dict[str, Tensor]:
    """Derivatives (B, n, P) of the residuals, column by column."""
    units = torch.eye(theta.shape[1], dtype=theta.dtype)
    columns = [objective.residual_jvp(theta, unit.expand_as(theta).contiguous()) for unit in units]
    return {name: torch.stack([column[name] for column in columns], -1) for name in columns[0]}


@pytest.mark.parametrize("name", ["convection", "biharmonic_1d"])
def test_gauss_newton_takes_fourier_features(name: str) -> None:
    problem = catalog.problem(name)
    model = MLP(width=4, depth=2, features=3, frequency=0.4, inputs=len(problem.domain))
    coefficients, points = coefficients_of(problem), problem.points(9, data_seed=0)
    objective = Physics(problem, model, coefficients=coefficients, points=points, dtype=torch.float64)
    theta = weights(model)
    found = objective.gauss_newton(theta)  # before anything else has drawn the features
    expected = sum(2 / j.shape[1] * j.mT @ j for j in jacobians(objective, theta).values())
    assert torch.allclose(found, torch.as_tensor(expected), rtol=1e-9, atol=1e-12 * float(found.abs().max()))


@pytest.mark.parametrize("fused", [True, False])
def test_some_rows_of_their_own_points_can_be_moved_again(fused: bool) -> None:
    problem = catalog.problem("convection")
    own = np.stack([problem.points(POINTS, data_seed=seed)["interior"] for seed in range(ROWS)])
    objective, theta = make("convection", fused=fused).given(points={"interior": own}), weights()
    some = objective.rows([2, 0]).rows([0])
    assert np.array_equal(some.points["interior"], own[[2]])
    batch = some.given(points={"interior": some.points["interior"][:, :10]})
    alone = make("convection", fused=fused).rows([2]).given(points={"interior": own[2, :10]})
    for found, expected in zip(batch.value_and_gradient(theta[[2]]), alone.value_and_gradient(theta[[2]]), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("fused", [True, False])
def test_matrices_of_one_run_take_any_number_of_rows_and_are_as_exact_in_float32(fused: bool) -> None:
    problem = catalog.problem("convection")
    one = {name: values[:1] for name, values in coefficients_of(problem).items()}
    model, points = MLP(width=5, depth=2), problem.points(9, data_seed=0)
    theta = weights(model).float()
    exact, single = (
        Physics(problem, model, coefficients=one, points=points, dtype=dtype, fused=fused)
        for dtype in (torch.float64, torch.float32)
    )
    units = torch.eye(theta.shape[1], dtype=torch.float64)
    by_products = [exact.hessian_times(theta.double(), unit.expand_as(theta).contiguous()) for unit in units]
    hessian = torch.stack(by_products, -1)
    normal = sum(2 / j.shape[1] * j.mT @ j for j in jacobians(exact, theta.double()).values())
    for objective, at in ((exact, theta.double()), (single, theta)):
        assert float((objective.hessian(at) - hessian).norm() / hessian.norm()) < 1e-8
        assert float((objective.gauss_newton(at) - normal).norm() / torch.as_tensor(normal).norm()) < 1e-10


@pytest.mark.parametrize("fused", [True, False])
def test_a_batch_is_drawn_from_the_interior_points_anew_for_every_number(fused: bool) -> None:
    problem = catalog.problem("convection")
    coefficients, points = coefficients_of(problem), problem.points(60, data_seed=0)
    build = partial(Physics, problem, model_of(problem), coefficients=coefficients, dtype=torch.float64, fused=fused)
    objective = build(points=points)
    theta = torch.stack([objective.model.init(seed) for seed in range(objective.runs)]).double()
    chosen = points["interior"][np.random.default_rng(5).choice(60, 20, replace=False)]
    wanted = build(points={**points, "interior": chosen}).value(theta)
    assert torch.equal(objective.minibatch(5, 20).value(theta), wanted)
    assert not torch.equal(objective.minibatch(6, 20).value(theta), wanted)
    assert torch.equal(objective.minibatch(6, 60).value(theta), objective.value(theta))
    price = torch.rand(objective.runs, 60, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    drawn = np.random.default_rng(5).choice(60, 20, replace=False)
    kept = build(points={**points, "interior": chosen}).given(multipliers={"residual": price[:, drawn]})
    priced = objective.given(multipliers={"residual": price}).minibatch(5, 20)
    assert torch.equal(priced.value(theta), kept.value(theta)) and not torch.equal(priced.value(theta), wanted)
    others = sum(points[name].shape[0] for name in points if name != "interior")
    assert objective.minibatch(5, 20).share == pytest.approx((20 + others) / (60 + others))


def test_a_curriculum_starts_where_the_problem_is_easiest(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = catalog.problem("convection")
    monkeypatch.setattr(type(problem), "coefficients", (replace(problem.axis, easiest=2.0),))
    (spec,) = sweep.plan(MapName.parse("pinn/convection/cl"), coefficients={"beta": [5.0]}, data=[20])
    assert sweep.objective_of([spec]).difficulty.easiest == 2.0
