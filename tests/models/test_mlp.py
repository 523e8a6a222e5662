"""Where every training starts."""

from __future__ import annotations

import hashlib

import pytest
import torch

from sciml_backend.linalg.taylor import StreamPlan, Streams
from sciml_backend.models.mlp import MLP
from sciml_backend.run import BadRequest


def test_initial_weights_are_xavier_normal_and_biases_zero():
    model = MLP()
    thetas = torch.stack([model.init(seed) for seed in range(40)])
    assert thetas.shape == (40, 5301) and thetas.dtype == torch.float32
    for block in model.layout:
        values = thetas[:, block.slice]
        if len(block.shape) == 1:
            assert not values.any()
        else:
            wanted = (2 / sum(block.shape)) ** 0.5
            assert float(values.std()) == pytest.approx(wanted, rel=0.05)
            assert abs(float(values.mean())) < 0.1 * wanted


def test_a_seed_gives_the_same_weights_on_every_machine():
    """Stored results rest on them: other weights are another protocol."""
    found = hashlib.sha256(MLP().init(0).numpy().tobytes()).hexdigest()
    assert found == "9f08bdb516a794ed113e4df447612552304c7fbf43c4647bdf635d55cc01ccc4"


@pytest.mark.parametrize("name", ["xxx", "xxxx", "ttt"])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_high_derivatives_are_those_of_nested_differentiation(name: str, dtype: torch.dtype, within: float) -> None:
    model = MLP(width=11, depth=3)
    theta = torch.stack([model.init(seed) for seed in range(2)]).to(dtype)
    points = torch.rand(7, 2, generator=torch.Generator().manual_seed(0), dtype=dtype)
    plan = StreamPlan(("x", "t"))
    for operator in ({name: 1.0}, {"x": 1.0, "tt": 2.0}):
        plan.ask(operator)
    streams, (high, low) = plan.layout(2)
    found = model.propagate(theta, points, streams.to(dtype, torch.device("cpu")))
    inputs = points.double().requires_grad_()
    value = model.propagate(theta.double(), inputs, Streams.value_only(2, 2).to(torch.float64, torch.device("cpu")))
    for row in range(2):
        u = value[row, 0]
        for letter in name:
            u = torch.autograd.grad(u.sum(), inputs, create_graph=True)[0][:, "xt".index(letter)]
        exact = u.detach()
        assert float((found[row, high] - exact).abs().max() / exact.abs().max()) < within
    alone = model.propagate(theta, points, _only({"x": 1.0, "tt": 2.0}, dtype))[:, -1]
    assert torch.allclose(found[:, low], alone, rtol=1e-5, atol=1e-6)


def _only(operator: dict[str, float], dtype: torch.dtype) -> Streams:
    plan = StreamPlan(("x", "t"))
    plan.ask(operator)
    return plan.layout(2)[0].to(dtype, torch.device("cpu"))


def test_a_frequency_that_nothing_has_is_refused() -> None:
    with pytest.raises(BadRequest, match="set features too"):
        MLP(frequency=3.0)
    MLP(frequency=3.0, features=2)
