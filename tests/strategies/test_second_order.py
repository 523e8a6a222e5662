"""Newton and its cures against dense computations in float64, on saddles, valleys and small networks."""

import numpy as np
import pytest
import torch

from sciml_backend.plan import plan
from sciml_backend.run import BadRequest, MapName, Status
from sciml_backend.strategies.gauss_newton import GaussNewton
from sciml_backend.strategies.newton import Newton
from sciml_backend.strategies.saddle_free_newton import SaddleFreeNewton
from sciml_backend.strategies.trust_region import TrustRegion
from sciml_backend.sweep import initial_weights, objective_of, train
from tests.strategies.following import follow
from tests.strategies.terms import Terms, least_squares, rosenbrock

CURES = [SaddleFreeNewton, TrustRegion, GaussNewton]


def specs_of(strategy, seeds=(0,), beta=(5, 20)):
    return plan(
        MapName.parse(f"pinn/convection/{strategy}@float64"),
        coefficients={"beta": beta}, data=[30], seeds=seeds, model={"width": 6, "depth": 2},
    )  # fmt: skip


def exact_hessian(objective, theta):
    units = torch.eye(theta.shape[1], dtype=theta.dtype)
    return torch.stack([objective.hessian_times(theta, e.expand_as(theta).contiguous()) for e in units], -1)


@pytest.fixture
def pinns():
    specs = specs_of("newton")
    return objective_of(specs), initial_weights(specs)


def test_a_newton_step_solves_the_exact_system(pinns):
    objective, theta = pinns
    gradient = objective.value_and_gradient(theta)[1]
    values, vectors = torch.linalg.eigh(exact_hessian(objective, theta))
    strategy = Newton(cutoff=1e-4)  # what is kept is known to more than the two ways differ by
    kept = values.abs() > 1e-4 * values.abs().amax(1, keepdim=True)
    weights = torch.where(kept, 1 / values, 0.0) * torch.einsum("bij,bi->bj", vectors, gradient)
    expected = theta - torch.einsum("bij,bj->bi", vectors, weights)
    step = strategy.step(objective, theta, strategy.init(objective, theta))
    assert torch.allclose(step.theta, expected, rtol=1e-5, atol=1e-6 * float((expected - theta).abs().max()))
    assert (step.evaluations == 1 + 2 * theta.shape[1] + 1).all()


def test_a_gauss_newton_step_solves_the_damped_normal_equations(pinns):
    objective, theta = pinns
    gradient = objective.value_and_gradient(theta)[1]
    strategy, units = GaussNewton(), torch.eye(theta.shape[1], dtype=theta.dtype)
    columns = [objective.residual_jvp(theta, e.expand_as(theta).contiguous()) for e in units]
    normal = torch.zeros(2, len(units), len(units), dtype=torch.float64)
    for name, r in objective.residuals(theta).items():
        jacobian = torch.stack([column[name] for column in columns], -1)
        normal += 2 / r.shape[1] * jacobian.mT @ jacobian
    assert torch.allclose(objective.gauss_newton(theta), normal, rtol=1e-8, atol=1e-9)
    before = strategy.init(objective, theta)
    loss = before.loss.copy()
    step = strategy.step(objective, theta, before)
    for row in range(2):
        damping = 1e-3 * float(torch.linalg.eigvalsh(normal[row]).max())
        for rejected in range(5):
            p = -torch.linalg.solve(normal[row] + damping * torch.eye(len(units)), gradient[row])
            if float(objective.rows([row]).value((theta[row] + p)[None])) < loss[row]:
                break
            damping *= 2.0 ** (rejected + 1)
        assert torch.allclose(step.theta[row], theta[row] + p, rtol=1e-6, atol=1e-9)


def test_the_hessian_by_differences_is_the_exact_one(pinns):
    objective, theta = pinns
    exact, found = exact_hessian(objective, theta), objective.hessian(theta)
    assert float((found - exact).norm() / exact.norm()) < 1e-8
    single = objective_of([s.but(dtype="float32") for s in specs_of("newton")])
    assert float((single.hessian(theta.float()) - exact).norm() / exact.norm()) < 1e-6


def test_the_matrices_are_those_of_the_weighted_loss(pinns):
    objective, theta = pinns
    context = {
        "weights": {"boundary": torch.tensor([3.0, 5.0])},
        "multipliers": {"initial": torch.randn(2, 257, dtype=torch.float64)},
    }
    posed = objective.given(**context)
    exact = exact_hessian(posed, theta)
    assert float((posed.hessian(theta) - exact).norm() / exact.norm()) < 1e-8
    only = objective.given(weights={"boundary": torch.tensor([3.0, 5.0]), "residual": torch.zeros(2)})
    difference = only.gauss_newton(theta) - objective.given(weights={"residual": torch.zeros(2)}).gauss_newton(theta)
    boundary = objective.given(weights={name: torch.zeros(2) for name in ("residual", "initial")}).gauss_newton(theta)
    assert torch.allclose(difference, torch.tensor([2.0, 4.0])[:, None, None] * boundary, rtol=1e-9, atol=1e-12)


SADDLE = {"residual": lambda theta, *_: torch.stack([theta[0] ** 2 - 1, 0.1 * theta[1]])}


def test_newton_stops_at_the_saddle_and_says_so_and_its_cures_do_not():
    start = torch.tensor([[0.05, 0.4]], dtype=torch.float64)  # the saddle is at 0, the minima at ±1
    objective = Terms(SADDLE, np.array([1.0]))
    _, thetas, last = follow(Newton(), objective, start, 50)
    assert torch.allclose(last.theta, torch.zeros_like(start), atol=1e-6)
    assert last.status == [Status.CONVERGED] and "1 negative, 0 vanishing and 1 positive" in last.reason[0]
    for cure in CURES:
        losses, _, last = follow(cure(), objective, start, 200)
        assert torch.allclose(last.theta.abs(), torch.tensor([[1.0, 0.0]], dtype=torch.float64), atol=1e-4), cure
        assert (np.diff(losses[:, 0]) <= 0).all(), cure


@pytest.mark.parametrize("cure", CURES)
def test_rosenbrocks_valley_is_walked_to_its_end(cure):
    theta = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    _, _, last = follow(cure(), Terms(rosenbrock(), np.array([1.0])), theta, 200)
    assert last.status[0].finished and torch.allclose(last.theta, torch.ones_like(theta), atol=1e-4)


@pytest.mark.parametrize("strategy", [Newton(), TrustRegion(), GaussNewton(damping=1e-12)])
def test_a_quadratic_takes_one_step(strategy):
    objective = Terms(least_squares(), np.array([1.0, 5.0]))
    theta = 0.1 * torch.ones(2, 5, dtype=torch.float64)
    step = strategy.step(objective, theta, strategy.init(objective, theta))
    assert float(objective.value_and_gradient(step.theta)[1].abs().max()) < 1e-7


@pytest.mark.parametrize("name", ["newton", "saddle_free_newton", "trust_region", "gauss_newton"])
def test_a_rows_bits_do_not_depend_on_its_batch_nor_on_a_lost_neighbour(name):
    specs = specs_of(name, seeds=[0, 1])
    strategy = {"newton": Newton, "saddle_free_newton": SaddleFreeNewton, "trust_region": TrustRegion}.get(
        name, GaussNewton
    )()

    def end(chosen, spoiled=()):
        theta = initial_weights(chosen)
        theta[list(spoiled), 3] = torch.nan
        return follow(strategy, objective_of(chosen), theta, 4)[2]

    together, spoiled = end(specs), end(specs, spoiled=[1])
    for row in (0, 3):
        assert torch.equal(end([specs[row]]).theta[0], together.theta[row])
    assert spoiled.status[1] is Status.DIVERGED
    assert torch.equal(spoiled.theta[[0, 2, 3]], together.theta[[0, 2, 3]])


def test_newton_trains_a_pinn_to_the_trivial_saddle_and_gauss_newton_to_a_solution():
    ends = {}
    for name in ("newton", "gauss_newton"):
        specs = plan(
            MapName.parse(f"pinn/convection/{name}@float64"), coefficients={"beta": [5]}, data=[100], seeds=[0],
            model={"width": 10, "depth": 2},
        )  # fmt: skip
        (ends[name],) = [record for records in train(specs) for record in records]
    assert ends["newton"].status.finished and ends["newton"].train_loss == pytest.approx(0.49805, rel=1e-3)
    assert ends["newton"].test_error == pytest.approx(1.0, abs=1e-2)
    assert ends["gauss_newton"].train_loss < 1e-4 and ends["gauss_newton"].test_error < 0.1


def test_a_large_network_is_refused_before_anything_is_trained():
    with pytest.raises(BadRequest, match="at most 1,000 parameters and this one has 5,301"):
        plan(MapName.parse("pinn/convection/newton"), coefficients={"beta": [5]}, data=[100])
    with pytest.raises(BadRequest, match="at most 1,000"):
        plan(MapName.parse("pinn/convection/alm"), settings={"inner": "newton"})
    (one,) = plan(
        MapName.parse("pinn/convection/newton@float64,depth=2,width=10"), coefficients={"beta": [5]}, data=[100]
    )
    assert one.variant == "float64,depth=2,width=10"


@pytest.mark.parametrize(
    ("strategy", "settings", "sentence"),
    [
        (Newton, {"cutoff": -1.0}, "cutoff of Newton must be at least 0, got -1.0"),
        (TrustRegion, {"radius": 1e-300}, "radius of Trust-region Newton must be greater than 1e-09, got 1e-300"),
        (TrustRegion, {"radius": 200.0}, "largest of Trust-region Newton must be at least 200, got 100.0"),
    ],
)
def test_settings_that_no_step_can_be_made_with_are_refused(strategy, settings, sentence):
    with pytest.raises(BadRequest, match=sentence):
        strategy(**settings)
