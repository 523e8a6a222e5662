"""Every strategy of the catalogue on a quadratic and on Rosenbrock's valley: the minimum, company, lost rows."""

import numpy as np
import pytest
import torch

from sciml_backend import catalog
from sciml_backend.run import Status
from sciml_backend.schedule import build
from tests.strategies.terms import Terms, rosenbrock

STRATEGIES = sorted(catalog.entries("strategies"))
SHORT = {
    "sgd": {"steps": 3000, "rate": 2e-3},
    "adam": {"steps": 3000, "rate": 2e-2},
    "lbfgs": {"max_epochs": 20},
    "alm": {"iterations": 15},
    "ropinn": {"epochs": 30},
    "nncg": {"adam.steps": 50, "lbfgs.max_epochs": 1, "rank": 2, "damping": 1e-4, "steps": 300},
    "hybrid": {"first.steps": 3000, "first.rate": 1e-2},
}
FIRST_ORDER = ("sgd", "adam")


def consistent():
    """A quadratic whose residual and boundary terms all vanish at the same point."""
    generator = torch.Generator().manual_seed(5)
    a, c = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (9, 2))
    there = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    return {
        "residual": lambda theta, hard, _: (a @ (theta - there)) * (1 + hard / 10),
        "boundary": lambda theta, *_: c @ (theta - there),
    }, there


def problem(kind, rows):
    points = {"interior": np.zeros((1, 1))}
    coefficients = np.linspace(1.0, 3.0, rows)
    if kind == "quadratic":
        residuals, minimum = consistent()
        start = torch.zeros(rows, 4, dtype=torch.float64)
    else:
        residuals, minimum = rosenbrock(), torch.ones(2, dtype=torch.float64)
        start = torch.tensor([[-1.2, 1.0]], dtype=torch.float64).repeat(rows, 1)
    start = start + 0.01 * torch.arange(rows)[:, None]
    return Terms(residuals, coefficients, points), start, minimum


def end(name, objective, theta, *, most=6000):
    """Where each row ends after all phases, and with which status; a lost row takes no part in later phases."""
    status = [Status.RUNNING] * len(theta)
    rows = np.arange(len(theta))
    theta = theta.clone()
    for phase in build(name, SHORT.get(name)):
        own, here = objective.rows(rows), theta[rows]
        state, left = phase.init(own, here), np.arange(len(rows))
        for _ in range(most):
            step = phase.step(own, here, state)
            here, state = step.theta, step.state
            done = np.array([s.finished for s in step.status])
            for place in np.flatnonzero(done):
                theta[rows[left[place]]], status[rows[left[place]]] = here[place], step.status[place]
            on = np.flatnonzero(~done)
            if not len(on):
                break
            own, here, state, left = own.rows(on), here[on], state.rows(on), left[on]
        rows = np.array([row for row in rows if status[row] is not Status.DIVERGED])
    return theta, status


@pytest.mark.parametrize("kind", ["quadratic", "rosenbrock"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_it_ends_at_the_minimum(name, kind):
    objective, start, minimum = problem(kind, 2)
    theta, status = end(name, objective, start)
    assert all(s.finished and s is not Status.DIVERGED for s in status)
    before, after = (objective.value_and_gradient(at)[0] for at in (start, theta))
    if name in FIRST_ORDER:
        assert (after < 1e-2 * before).all()
    else:
        assert torch.allclose(theta, minimum.expand_as(theta), atol=1e-4), (theta, status)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_lost_row_harms_no_other_and_company_changes_no_bit(name):
    objective, start, _ = problem("rosenbrock", 3)
    spoiled = start.clone()
    spoiled[1, 0] = torch.nan
    theta, status = end(name, objective, spoiled, most=40)
    assert status[1] is Status.DIVERGED
    for row in (0, 2):
        alone, _ = end(name, objective.rows([row]), start[row : row + 1], most=40)
        assert torch.equal(alone[0], theta[row])
