import numpy as np
import pytest
import torch

from sciml_backend.run import BadRequest, Status
from sciml_backend.strategies.lbfgs import LBFGS
from tests.strategies.following import follow

pytestmark = pytest.mark.usefixtures("arithmetic")


def torch_follow(objective, epochs, **settings):
    """What torch.optim.LBFGS makes of the only row of an objective: theta and loss after every epoch."""
    theta = objective.start()[0].requires_grad_()
    optimiser = torch.optim.LBFGS([theta], line_search_fn="strong_wolfe", history_size=100, **settings)

    def closure():
        optimiser.zero_grad()
        loss = objective.functions[0](theta)
        loss.backward()
        return loss

    for _ in range(epochs):
        optimiser.step(closure)
    return theta.detach(), closure().item(), optimiser


def follow_epochs(strategy, objective, epochs):
    """One row until so many epochs ended."""
    theta = objective.start()
    state = strategy.init(objective, theta)
    while state.epoch[0] < epochs:
        step = strategy.step(objective, theta, state)
        theta, state = step.theta, step.state
    return theta[0], step.loss[0], state


def test_follows_torch_for_20_iterations_in_every_row(make_rows):
    objective = make_rows(5, torch.float64)
    settings = {"tolerance_grad": 0.0, "tolerance_change": 0.0}
    strategy = LBFGS(epoch_evaluations=10**6, **settings)
    losses, thetas, _ = follow(strategy, objective, objective.start(), 20)
    for row in range(5):
        theta, loss, _ = torch_follow(objective.rows([row]), 1, max_iter=20, max_eval=10**6, **settings)
        assert torch.allclose(thetas[-1][row], theta, rtol=1e-8, atol=1e-10)
        assert losses[-1, row] == pytest.approx(loss, rel=1e-8, abs=1e-14)


@pytest.mark.parametrize("row", range(4))
def test_follows_torch_through_epochs_and_their_tolerances(make_rows, row):
    objective = make_rows(4, torch.float64).rows([row])
    theta, loss, state = follow_epochs(LBFGS(), objective, 3)
    expected, expected_loss, optimiser = torch_follow(objective, 3)
    known = optimiser.state[optimiser._params[0]]
    assert state.iteration[0] == known["n_iter"]
    assert torch.allclose(theta, expected, rtol=1e-5, atol=1e-7)
    assert loss == pytest.approx(expected_loss, rel=1e-5, abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_has_the_same_bits_in_any_company(make_networks, dtype, arithmetic):
    steps = 200 if arithmetic == "kernel" else 60
    objective = make_networks(7, dtype)
    strategy = LBFGS(history=10)
    together, thetas, _ = follow(strategy, objective, objective.start(), steps)
    for row in (0, 3, 6):
        alone = objective.rows([row])
        losses, solo, _ = follow(strategy, alone, alone.start(), steps)
        assert np.array_equal(losses[:, 0], together[:, row])
        assert torch.equal(solo[-1][0], thetas[-1][row])


def test_a_row_has_the_same_bits_after_others_were_taken_out(make_networks):
    objective, strategy = make_networks(6, torch.float32), LBFGS(history=10)
    whole, thetas, _ = follow(strategy, objective, objective.start(), 50)
    _, early, step = follow(strategy, objective, objective.start(), 20)
    kept = np.array([4, 1])
    rest = objective.rows(kept)
    theta, state = step.theta[kept], step.state.rows(kept)
    for _ in range(30):
        step = strategy.step(rest, theta, state)
        theta, state = step.theta, step.state
    assert np.array_equal(step.loss, whole[-1, kept])
    assert torch.equal(theta, thetas[-1][kept])


def test_a_diverging_row_keeps_its_last_finite_theta_and_leaves_the_others_alone(make_objective):
    def falls_off(x):
        return -x.sum() if x.sum() <= 1.0 else x.sum() * torch.nan

    def bowl(x):
        return ((x - 3.0) ** 2).sum()

    def nowhere(x):
        return x.sum() * torch.nan

    objective = make_objective([falls_off, bowl, nowhere], [[0.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
    theta, strategy = objective.start(), LBFGS()
    state = strategy.init(objective, theta)
    assert np.isfinite(state.gradient_norm[:2]).all()
    status = [Status.RUNNING] * 3
    for _ in range(5):
        step = strategy.step(objective, theta, state)
        theta, state = step.theta, step.state
        status = [new if old is Status.RUNNING else old for old, new in zip(status, step.status, strict=True)]
    assert status == [Status.DIVERGED, Status.CONVERGED, Status.DIVERGED]
    assert torch.equal(theta[0], objective.start()[0])
    assert torch.equal(theta[2], objective.start()[2])
    alone = objective.rows([1])
    _, solo, _ = follow(strategy, alone, alone.start(), 5)
    assert torch.equal(theta[1], solo[-1][0])


def test_an_infinite_loss_shortens_the_step(make_objective):
    def wall(x):
        return torch.where(x.sum() < 0.0, torch.tensor(torch.inf, dtype=x.dtype), (x**2).sum() + x.sum())

    objective = make_objective([wall], [[0.5, 0.5]])
    losses, thetas, step = follow(LBFGS(), objective, objective.start(), 3)
    assert np.isfinite(losses).all()
    assert losses[-1, 0] < 0.5
    assert step.status[0] is not Status.DIVERGED


def run_to_the_end(strategy, objective, theta):
    state, evaluations = strategy.init(objective, theta), 0
    while True:
        step = strategy.step(objective, theta, state)
        theta, state, evaluations = step.theta, step.state, evaluations + step.evaluations[0]
        if step.status[0].finished:
            return step, evaluations


def test_reasons_to_stop(make_rows, make_networks, make_objective):
    objective = make_rows(1, torch.float64)
    step, _ = run_to_the_end(LBFGS(), objective, objective.start())
    assert step.status[0] in (Status.CONVERGED, Status.STALLED, Status.BUDGET_SPENT)
    assert step.loss[0] < 1e-4
    objective = make_networks(1, torch.float64)
    step, _ = run_to_the_end(LBFGS(max_epochs=2), objective, objective.start())
    assert step.status[0] is Status.BUDGET_SPENT and step.state.iteration[0] == 40
    objective = make_networks(1, torch.float32)
    step, _ = run_to_the_end(LBFGS(), objective, objective.start())
    assert step.status[0] is Status.STALLED and step.reason[0]
    bowl = make_objective([lambda x: (x**2).sum()], [[0.0, 0.0]])
    step, evaluations = run_to_the_end(LBFGS(), bowl, bowl.start())
    assert step.status[0] is Status.CONVERGED and evaluations == 1


@pytest.mark.parametrize("flat", [2, 9])
def test_a_run_stalls_after_three_idle_epochs_in_a_row_and_not_before(make_objective, flat):
    """The loss stays as it is, whatever its gradient says, for so many epochs; then it is a bowl."""
    state = None

    def moody(x):
        stuck = state is None or state.epoch[0] < flat
        return 1.0 + (x - x.detach()).sum() if stuck else 0.01 * (x**2).sum()

    objective = make_objective([moody], [[1.0, 2.0]])
    theta, strategy = objective.start(), LBFGS()
    state = strategy.init(objective, theta)
    for _ in range(100):
        step = strategy.step(objective, theta, state)
        theta, state = step.theta, step.state
        if step.status[0].finished:
            break
    if flat < 3:
        assert step.loss[0] < 1e-6
    else:
        assert (step.status[0], step.loss[0], state.epoch[0]) == (Status.STALLED, 1.0, 3)


def test_evaluations_are_counted_one_for_one(make_networks):
    objective, calls = make_networks(3, torch.float64), []

    class Counting(type(objective)):
        def value_and_gradient(self, theta):
            calls.append(len(theta))
            return super().value_and_gradient(theta)

        def rows(self, index):
            fewer = super().rows(index)
            return Counting(fewer.functions, fewer.starts)

    counting = Counting(objective.functions, objective.starts)
    theta, strategy, counted = objective.start(), LBFGS(), 0
    state = strategy.init(counting, theta)
    for _ in range(40):
        step = strategy.step(counting, theta, state)
        theta, state, counted = step.theta, step.state, counted + step.evaluations.sum()
    assert counted == sum(calls)


@pytest.mark.parametrize("wrong", [{"history": 0}, {"max_epochs": 0}, {"epoch_evaluations": 1}])
def test_refuses_settings_that_make_no_sense(wrong):
    with pytest.raises(BadRequest, match=next(iter(wrong))):
        LBFGS(**wrong)
