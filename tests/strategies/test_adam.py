import numpy as np
import pytest
import torch

from sciml_backend.run import BadRequest, Status
from sciml_backend.strategies.adam import Adam
from tests.strategies.following import follow, steps
from tests.strategies.terms import Terms


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_follows_torch_in_every_row(make_rows, schedule):
    objective = make_rows(3, torch.float64)
    strategy = Adam(steps=30, rate=1e-2, schedule=schedule)
    _, thetas, step = follow(strategy, objective, objective.start(), 20)
    assert step.status == [Status.RUNNING] * 3
    for row in range(3):
        theta = objective.start()[row].requires_grad_()
        optimiser = torch.optim.Adam([theta], lr=1e-2)
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=30)
        for _ in range(20):
            optimiser.zero_grad()
            objective.functions[row](theta).backward()
            optimiser.step()
            if schedule == "cosine":
                decay.step()
        assert torch.allclose(thetas[-1][row], theta, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_has_the_same_bits_in_any_company(make_networks, dtype):
    objective, strategy = make_networks(7, dtype), Adam(steps=100)
    together, thetas, _ = follow(strategy, objective, objective.start(), 60)
    for row in (0, 3, 6):
        alone = objective.rows([row])
        losses, solo, _ = follow(strategy, alone, alone.start(), 60)
        assert np.array_equal(losses[:, 0], together[:, row])
        assert torch.equal(solo[-1][0], thetas[-1][row])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_has_the_bits_of_torch(make_networks, dtype, monkeypatch):
    objective, strategy = make_networks(5, dtype), Adam(steps=60, rate=0.05)
    losses, thetas, _ = follow(strategy, objective, objective.start(), 50)
    monkeypatch.setattr("sciml_backend.strategies.adam.kernel", lambda *_, **__: None)
    by_torch, others, _ = follow(strategy, objective, objective.start(), 50)
    assert np.array_equal(losses, by_torch)
    assert torch.equal(thetas[-1], others[-1])


def test_ends_with_its_budget_and_counts_every_evaluation(make_networks):
    objective = make_networks(2, torch.float64)
    strategy, theta = Adam(steps=10), objective.start()
    state, counted = strategy.init(objective, theta), np.zeros(2)
    for _ in range(10):
        step = strategy.step(objective, theta, state)
        theta, state, counted = step.theta, step.state, counted + step.evaluations
    assert step.status == [Status.BUDGET_SPENT] * 2
    assert step.reason[0]
    assert counted.tolist() == [11, 11]
    loss, gradient = objective.value_and_gradient(theta)
    assert step.loss == pytest.approx(loss.numpy(), rel=0)
    assert step.gradient_norm == pytest.approx(gradient.abs().amax(1).numpy(), rel=0)


def test_a_diverging_row_keeps_its_last_finite_theta_and_leaves_the_others_alone(make_objective):
    def ends_at_one(x):
        return -x.sum() if x.sum() <= 1.0 else x.sum() * torch.nan

    def bowl(x):
        return ((x - 3.0) ** 2).sum()

    objective = make_objective([ends_at_one, bowl], [[0.4, 0.5], [0.0, 1.0]])
    theta, strategy = objective.start(), Adam(rate=0.03)
    state, ended = strategy.init(objective, theta), None
    for number in range(10):
        step = strategy.step(objective, theta, state)
        theta, state = step.theta, step.state
        if step.status[0] is Status.DIVERGED and ended is None:
            ended = number, theta[0].clone()
    assert ended is not None and ended[0] == 1
    assert 0.9 < ended[1].sum() <= 1.0
    alone = objective.rows([1])
    _, solo, _ = follow(strategy, alone, alone.start(), 10)
    assert torch.equal(theta[1], solo[-1][0])


def test_batches_of_points_grow_until_every_point_is_seen():
    fitted = {"residual": lambda theta, _, points: points[:, 0] * theta[0] + theta[1] - torch.sin(points[:, 0])}
    points = np.linspace(0.0, 3.0, 40)[:, None]
    objective = Terms(fitted, np.array([1.0, 2.0]), {"interior": points})
    theta, strategy = torch.ones(2, 2, dtype=torch.float64), Adam(steps=80, batch=5, growth=2.0, stages=4)
    seen, paid = [], 0.0
    for number, step in enumerate(steps(strategy, objective, theta, 80), 1):
        drawn = {n: points[np.random.default_rng(number).choice(40, n, replace=False)] for n in (5, 10, 20)}
        losses = {n: objective.given(points={"interior": some}) for n, some in (drawn | {40: points}).items()}
        found = [n for n, loss in losses.items() if np.allclose(loss.value_and_gradient(step.theta)[0], step.loss)]
        assert len(found) == 1
        seen, paid = seen + found, paid + step.evaluations
    assert seen == [5] * 19 + [10] * 20 + [20] * 20 + [40] * 21
    assert paid == pytest.approx((5 + sum(seen)) / 40)  # the first batch is that of the start
    _, alone, _ = follow(strategy, objective.rows([1]), theta[1:], 80)
    assert torch.equal(alone[-1][0], step.theta[1])
    *_, last = follow(Adam(steps=80, batch=5, growth=1e300, stages=4), objective, theta, 80)
    assert np.allclose(last.loss, objective.value_and_gradient(last.theta)[0])  # as many as there are, and no more


@pytest.mark.parametrize(
    "wrong", [{"steps": -1}, {"rate": -1.0}, {"schedule": "linear"}, {"beta2": 1.0}, {"batch": -1}, {"growth": 0.5}]
)
def test_refuses_settings_that_make_no_sense(wrong):
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        Adam(**wrong)
