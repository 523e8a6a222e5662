"""NysNewton-CG against Newton's step from a dense Hessian, in float64."""

import numpy as np
import pytest
import torch

from sciml_backend.plan import plan
from sciml_backend.run import MapName, Status
from sciml_backend.strategies.nncg import NNCG
from sciml_backend.sweep import initial_weights, objective_of
from tests.strategies.terms import Terms, least_squares, rosenbrock

EXACT = {"products": 400, "tolerance_cg": 1e-13}


@pytest.fixture
def pinns():
    specs = plan(
        MapName.parse("pinn/convection/nncg@float64"),
        coefficients={"beta": [5, 20]}, data=[30], seeds=[0], model={"width": 6, "depth": 2},
    )  # fmt: skip
    return objective_of(specs), initial_weights(specs)


def dense(objective, theta):
    n = theta.shape[1]
    units = torch.eye(n, dtype=theta.dtype)
    return torch.stack([objective.hessian_times(theta, e.expand_as(theta).contiguous()) for e in units], -1)


def test_a_direction_solves_the_damped_system_of_the_dense_hessian(pinns):
    objective, theta = pinns
    strategy = NNCG(rank=10, damping=50.0, **EXACT)  # so much that the system is positive definite at the start
    state = strategy.init(objective, theta)
    gradient = state.gradient.clone()
    hessian = dense(objective, theta)
    assert float(torch.linalg.eigvalsh(hessian + 50 * torch.eye(hessian.shape[1])).min()) > 0
    expected = torch.linalg.solve(hessian + 50 * torch.eye(hessian.shape[1]), gradient)
    step = strategy.step(objective, theta, state)
    assert torch.allclose(step.state.direction, expected, rtol=1e-6, atol=1e-9)
    for row in range(2):  # Armijo: the longest of 1, 1/2, 1/4 … that is good enough
        moved = (theta - step.theta)[row]
        measured = float((moved @ expected[row]) / (expected[row] @ expected[row]))
        length = 2.0 ** round(np.log2(measured))
        slope, one = float(gradient[row] @ expected[row]), objective.rows([row])
        start = float(one.value(theta[row : row + 1]))
        assert measured == pytest.approx(length, rel=1e-6)
        assert step.loss[row] <= start - 0.1 * length * slope
        if length < 1:
            longer = (theta[row] - 2 * length * expected[row])[None]
            assert float(one.value(longer)) > start - 0.1 * 2 * length * slope


def test_a_quadratic_is_solved_in_one_step_and_the_count_of_gradients_is_kept():
    objective = Terms(least_squares(), np.array([1.0, 5.0]))
    strategy, theta = NNCG(rank=3, damping=1e-9, **EXACT), torch.ones(2, 5, dtype=torch.float64)
    state = strategy.init(objective, theta)
    step = strategy.step(objective, theta, state)
    assert float(objective.value_and_gradient(step.theta)[1].abs().max()) < 1e-6
    # init, the preconditioner of rank 3, conjugate gradients of at most 5 steps and their start, one trial
    assert (step.evaluations >= 1 + 2 * 3 + 2 * 2 + 1).all() and (step.evaluations <= 1 + 2 * 3 + 2 * 9 + 1).all()


def test_rosenbrocks_valley_is_walked_to_its_end():
    objective = Terms(rosenbrock(), np.array([1.0]))
    strategy, theta = NNCG(rank=2, damping=1e-3, steps=500, **EXACT), torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    state = strategy.init(objective, theta)
    for _ in range(500):
        step = strategy.step(objective, theta, state)
        theta, state = step.theta, step.state
        if step.status[0].finished:
            break
    assert step.status == [Status.CONVERGED] and torch.allclose(theta, torch.ones_like(theta), atol=1e-5)


def test_a_direction_that_leads_upwards_gives_way_to_the_gradient():
    saddle = {"residual": lambda theta, *_: torch.stack([theta[0] ** 2 - 1, 0.1 * theta[1]])}
    objective = Terms(saddle, np.array([1.0]))
    theta = torch.tensor([[0.05, 0.0]], dtype=torch.float64)  # the curvature along the first axis is about -2
    strategy = NNCG(rank=2, damping=1e-2, steps=3, **EXACT)
    state = strategy.init(objective, theta)
    state.direction = torch.tensor([[3.0, 0.0]], dtype=torch.float64)
    losses = []
    for _ in range(3):
        step = strategy.step(objective, theta, state)
        theta, state = step.theta, step.state
        losses.append(float(step.loss[0]))
    assert state.fallbacks[0] >= 1 and losses == sorted(losses, reverse=True)
    assert "along the gradient" in step.reason[0]


def test_a_rows_bits_do_not_depend_on_its_batch_nor_on_a_lost_neighbour():
    specs = plan(
        MapName.parse("pinn/convection/nncg"), coefficients={"beta": [5, 20]}, data=[30], seeds=[0, 1],
        model={"width": 6, "depth": 2}, settings={"rank": 5, "refresh": 2, "products": 7},
    )  # fmt: skip
    strategy = NNCG(rank=5, refresh=2, products=7)

    def steps(chosen, spoiled=()):
        objective, theta = objective_of(chosen), initial_weights(chosen)
        theta[list(spoiled), 3] = torch.nan
        state = strategy.init(objective, theta)
        for _ in range(3):
            step = strategy.step(objective, theta, state)
            theta, state = step.theta, step.state
        return step

    together = steps(specs)
    for row in (0, 3):
        alone = steps([specs[row]])
        assert torch.equal(alone.theta[0], together.theta[row]) and alone.evaluations[0] == together.evaluations[row]
    spoiled = steps(specs, spoiled=[1])
    assert spoiled.status[1] is Status.DIVERGED
    assert torch.equal(spoiled.theta[[0, 2, 3]], together.theta[[0, 2, 3]])
