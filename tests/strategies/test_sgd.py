import pytest
import torch

from sciml_backend.run import BadRequest, Status
from sciml_backend.strategies.sgd import SGD


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.0), (0.9, 0.1)])
@pytest.mark.parametrize("schedule", ["cosine", "constant", "exponential"])
def test_follows_torch_in_every_row(make_rows, momentum, decay, schedule):
    objective = make_rows(3, torch.float64)
    strategy = SGD(steps=30, rate=1e-4, schedule=schedule, momentum=momentum, decay=decay)
    theta = objective.start()
    state = strategy.init(objective, theta)
    for _ in range(30):
        step = strategy.step(objective, theta, state)
        theta, state = step.theta, step.state
    assert step.status == [Status.BUDGET_SPENT] * 3
    for row in range(3):
        own = objective.start()[row].requires_grad_()
        optimiser = torch.optim.SGD([own], lr=1e-4, momentum=momentum, weight_decay=decay)
        falls = {
            "cosine": torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=30),
            "exponential": torch.optim.lr_scheduler.ExponentialLR(optimiser, gamma=0.01 ** (1 / 30)),
            "constant": torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0),
        }
        for _ in range(30):
            optimiser.zero_grad()
            objective.functions[row](own).backward()
            optimiser.step()
            falls[schedule].step()
        assert torch.allclose(theta[row], own, rtol=1e-9, atol=1e-12)


def test_a_momentum_of_one_is_refused():
    with pytest.raises(BadRequest, match="from 0 to below 1, got 1"):
        SGD(momentum=1.0)
