"""Learned vector fields: the loss on both arithmetics against one written the textbook way, and rollouts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from sciml_backend import catalog, sweep
from sciml_backend.diagnostics.ntk import NTK, residual_jacobian
from sciml_backend.run import BadRequest, MapName, RunSpec

C = [2.0, 8.0]
STEP = 0.05


def planned(family: str, *, data: tuple[int, ...] = (30, 75), seeds: tuple[int, ...] = (0, 1), **more) -> list[RunSpec]:
    name = MapName(family, "pendulum", more.pop("strategy", "lbfgs"))
    return sweep.plan(name, coefficients={"inv_b": C}, data=data, seeds=seeds, **more)


def made(specs: list[RunSpec], *, fused: bool, dtype: torch.dtype = torch.float64) -> tuple:
    built = sweep.objective_of(specs, dtype="float64")
    objective = type(built)(built.model, built.source, dtype=dtype, fused=fused)
    assert (objective.kernel == "torch") is not fused
    return objective, sweep.initial_weights(specs).to(dtype)


def network(theta: Tensor, x: Tensor) -> Tensor:
    """Three tanh layers of 16, as a textbook writes them."""
    at, m = 0, x.shape[1]
    for n_in, n_out in ((m, 16), (16, 16), (16, 16), (16, m)):
        weight, bias = theta[at : at + n_in * n_out].view(n_out, n_in), theta[at + n_in * n_out :][:n_out]
        at += n_in * n_out + n_out
        x = x @ weight.T + bias
        x = torch.tanh(x) if at < len(theta) else x
    return x


def trajectory(inv_b: float, n: int, start: float) -> np.ndarray:
    found = solve_ivp(
        lambda _, s: [s[1], -s[1] / inv_b - np.sin(s[0])], (0, n * STEP), [start, 0.0], t_eval=np.arange(n) * STEP,
        rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    return found.y.T


def seen(states: np.ndarray, family: str) -> Tensor:
    if family == "pinode":
        return torch.as_tensor(states)
    a, w = states.T
    return torch.as_tensor(np.stack([np.sin(a) * np.cos(w), np.sin(a) * np.sin(w), -np.cos(a)], 1))


def textbook_loss(theta: Tensor, spec: RunSpec) -> Tensor:
    c = spec.coefficients["inv_b"]
    states = trajectory(c, spec.data, 1.7)
    points = seen(states, spec.family)
    f = network(theta, points[:-1])
    loss = (points[:-1] + STEP * f - points[1:]).square().mean()
    if spec.family == "pinode":
        slope = np.stack([states[:-1, 1], -states[:-1, 1] / c - np.sin(states[:-1, 0])], 1)
        loss = loss + STEP**2 * (f - torch.as_tensor(slope)).square().mean()
    return loss


@pytest.mark.parametrize("family", ["node", "pinode"])
@pytest.mark.parametrize("fused", [True, False])
def test_loss_gradient_and_curvature_are_the_textbooks(family: str, fused: bool) -> None:
    specs = planned(family)
    objective, theta = made(specs, fused=fused)
    assert theta.shape == (8, 659 if family == "node" else 626)
    values, gradients = objective.value_and_gradient(theta)
    v = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=theta.dtype)
    curved, dense = objective.hessian_times(theta, v), objective.rows([3]).hessian(theta[3:4])
    for row, spec in enumerate(specs):
        leaf = theta[row].clone().requires_grad_()
        loss = textbook_loss(leaf, spec)
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        assert values[row].item() == pytest.approx(loss.item(), rel=1e-7)
        assert torch.allclose(gradients[row], gradient, rtol=1e-6, atol=1e-9)
        product = torch.autograd.grad(gradient @ v[row], leaf)[0]
        assert torch.allclose(curved[row], product, rtol=1e-6, atol=1e-9)
    assert torch.allclose((dense @ v[3:4, :, None])[..., 0], curved[3:4], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_has_the_same_bits_alone_and_beside_longer_ones(dtype: torch.dtype) -> None:
    specs = planned("pinode", data=(20, 33, 400))
    objective, theta = made(specs, fused=True, dtype=dtype)
    batch = objective.minibatch(7, 32)
    together = [
        *objective.value_and_gradient(theta),
        *batch.value_and_gradient(theta),
        *objective.errors(theta).values(),
        objective.gauss_newton(theta),
    ]
    for row, spec in enumerate(specs):
        alone, own = made([spec], fused=True, dtype=dtype)[0], theta[row : row + 1]
        small = alone.minibatch(7, 32)
        parts = [*alone.value_and_gradient(own), *small.value_and_gradient(own), *alone.errors(own).values()]
        parts.append(alone.gauss_newton(own))
        assert all(torch.equal(a[row], b[0]) for a, b in zip(together, parts, strict=True))


def test_rows_that_are_computed_at_once_have_the_values_of_each() -> None:
    objective, theta = made(planned("pinode", data=(20, 33, 400)), fused=False)
    each = [*objective.value_and_gradient(theta), *objective.residuals(theta).values()]
    objective.device = torch.device("cuda")  # where no order of sums is kept; the tensors stay where they are
    for found, wanted in zip(
        [*objective.value_and_gradient(theta), *objective.residuals(theta).values()], each, strict=True
    ):
        assert torch.allclose(found, wanted, rtol=1e-6, atol=1e-9)


def test_batches_go_round_the_samples_in_turn() -> None:
    specs = planned("node", data=(20, 75), seeds=(0,))  # 19 and 74 samples: one batch, and three
    objective, theta = made(specs, fused=True)
    batches = [objective.minibatch(number, 32).value(theta) for number in range(4)]
    whole = objective.value(theta)
    short, long = [0, 1], [2, 3]
    assert all(torch.allclose(b[short], whole[short], rtol=1e-12) for b in batches)
    sizes = torch.tensor([32.0, 32.0, 10.0], dtype=torch.float64)
    mean = (torch.stack(batches[:3])[:, long] * sizes[:, None]).sum(0) / 74
    assert torch.allclose(mean, whole[long], rtol=1e-12)
    assert torch.equal(batches[0], batches[3]) and not torch.equal(batches[0][long], batches[1][long])
    shares = np.array([objective.minibatch(number, 32).share for number in range(4)])
    assert np.allclose(shares[:, short], 1.0)
    assert np.allclose(shares[:, long].T, np.array([32, 32, 10, 32]) / 74)


@pytest.mark.parametrize("family", ["node", "pinode"])
def test_curvature_of_a_batch_is_that_of_its_samples_alone(family: str) -> None:
    specs = planned(family, data=(30, 75), seeds=(0,))
    (objective, theta), (exact, there) = (made(specs, fused=True, dtype=d) for d in (torch.float32, torch.float64))
    v = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for number, size in ((0, 16), (1, 40)):
        part, truth = objective.minibatch(number, size), exact.minibatch(number, size)
        found, wanted = part.hessian_at(theta)(v.float()), truth.hessian_times(there, v)
        assert (found - wanted).norm() < 1e-4 * wanted.norm()
        row = part.rows([2])
        assert torch.allclose(row.hessian_at(theta[2:3])(v[2:3].float()), found[2:3], rtol=1e-5)
        assert torch.allclose(part.gauss_newton(theta), truth.gauss_newton(there), rtol=1e-4, atol=1e-6)
    whole = exact.hessian_times(there, v)
    assert (found - whole).norm() > 1e-2 * whole.norm()


@pytest.mark.parametrize("fused", [True, False])
def test_weights_multipliers_and_products_with_the_jacobian(fused: bool) -> None:
    specs = planned("pinode", seeds=(0,))
    objective, theta = made(specs, fused=fused)
    generator = torch.Generator().manual_seed(1)
    residuals = objective.residuals(theta)
    draw = {name: torch.randn(r.shape, generator=generator, dtype=r.dtype) for name, r in residuals.items()}
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    posed = objective.given(weights={"physics": weight}, multipliers={"data": draw["data"]})
    counts = torch.tensor([2.0 * (spec.data - 1) for spec in specs], dtype=torch.float64)
    wanted = residuals["data"].square().sum(1) + weight * residuals["physics"].square().sum(1)
    wanted = (wanted + (draw["data"] * residuals["data"]).sum(1)) / counts
    assert torch.allclose(posed.value(theta), wanted, rtol=1e-10)
    leaf = theta.clone().requires_grad_()
    gradient = torch.autograd.grad(posed.differentiable_value(leaf).sum(), leaf)[0]
    assert torch.allclose(posed.value_and_gradient(theta)[1], gradient, rtol=1e-8, atol=1e-12)
    v = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    forward, back = objective.residual_jvp(theta, v), objective.residual_vjp(theta, draw)
    assert torch.allclose(sum((draw[k] * forward[k]).sum(1) for k in draw), (back * v).sum(1), rtol=1e-9)
    again = posed.rows([2, 0])
    assert torch.allclose(again.value(theta[[2, 0]]), wanted[[2, 0]], rtol=1e-10)


@pytest.mark.parametrize("fused", [True, False])
def test_multipliers_go_with_their_samples_into_batches(fused: bool) -> None:
    objective, theta = made(planned("pinode", data=(20, 75), seeds=(0,)), fused=fused)
    generator = torch.Generator().manual_seed(1)
    draw = {k: torch.randn(r.shape, generator=generator, dtype=r.dtype) for k, r in objective.residuals(theta).items()}
    posed, plain = objective.given(multipliers=draw), objective

    def linear(number: int | None) -> Tensor:
        """What the multipliers add to the loss of a batch, or of all."""
        with_, without = (o if number is None else o.minibatch(number, 32) for o in (posed, plain))
        return with_.value(theta) - without.value(theta)

    sizes = torch.tensor([32.0, 32.0, 10.0], dtype=torch.float64)
    parts, long = torch.stack([linear(number) for number in range(3)])[:, 2:], linear(None)[2:]
    assert torch.allclose((parts * sizes[:, None]).sum(0) / 74, long, rtol=1e-9) and long.abs().min() > 1e-3


def test_other_coefficients_bring_other_trajectories() -> None:
    specs = planned("pinode", seeds=(0,))
    objective, theta = made(specs, fused=True)
    moved = objective.given(coefficients={"inv_b": np.full(4, 5.0)})
    other = [spec.but(coefficients={"inv_b": 5.0}) for spec in specs]
    assert torch.equal(moved.value(theta), made(other, fused=True)[0].value(theta))


@pytest.mark.parametrize("strategy", ["alm", "cl", "nncg", "hybrid"])
def test_a_run_of_any_strategy_is_the_same_bits_alone_and_in_a_batch(strategy: str) -> None:
    short = {
        "alm": {"iterations": 3, "inner.epoch_iterations": 20},
        "cl": {"lessons": 6, "inner.epoch_iterations": 20},
        "nncg": {"adam.steps": 40, "lbfgs.epoch_iterations": 20, "steps": 3, "products": 20},
        "hybrid": {"first.steps": 40, "window": 5, "threshold": 1.0, "then.max_epochs": 2},
    }[strategy]
    specs = planned("pinode", data=(20, 50), strategy=strategy, settings=short)
    together = {r.spec.cell_id: r for done in sweep.train(specs) for r in done}
    for spec in specs[::3]:
        ((alone,),) = list(sweep.train([spec]))
        assert alone.train_loss and alone.theta_final == together[spec.cell_id].theta_final, alone.reason


@pytest.mark.parametrize(
    "settings", [{"horizon": "whole"}, {"integrator": "rk4"}, {"weighting": "adaptive", "rounds": 3}], ids=str
)
def test_a_row_has_the_same_bits_beside_longer_ones_by_plain_torch_too(settings: dict) -> None:
    adapted = {"round_iterations": 4} if "weighting" in settings else {}
    short = {"max_epochs": 1, "epoch_iterations": 6, **adapted, **settings}
    specs = planned("pinode", data=(20, 45, 69), seeds=(0,), settings=short)
    together = {r.spec.cell_id: r for done in sweep.train(specs) for r in done}
    for spec in specs[:4]:
        ((alone,),) = list(sweep.train([spec]))
        assert alone.theta_final and alone.theta_final == together[spec.cell_id].theta_final, alone.reason


def test_the_tangent_kernel_knows_padding_from_residuals() -> None:
    """With all residuals chosen the loss is their sum of squares, and its Gauss-Newton matrix 2 JᵀJ."""
    (spec,) = planned("node", data=(20,), seeds=(0,), model={"width": 5, "depth": 1})[:1]
    objective, theta = made([spec], fused=True)
    residuals = objective.residuals(theta)
    assert residuals["data"].shape == (1, 32 * 3) and objective.present(residuals)["data"].sum() == 19 * 3
    jacobian = residual_jacobian(objective, theta[0], NTK(points=1000)._chosen(objective, theta[0]))
    assert jacobian.shape[0] == 19 * 3
    assert torch.allclose(2 * jacobian.T @ jacobian, objective.gauss_newton(theta)[0], atol=1e-10)


def test_a_growing_batch_ends_with_all_samples() -> None:
    specs = planned("node", data=(20, 75), seeds=(0,))
    objective, theta = made(specs, fused=True)
    assert torch.allclose(objective.minibatch(5, 10**9).value(theta), objective.value(theta), rtol=1e-12)


@pytest.mark.parametrize("integrator", ["euler", "midpoint", "rk4"])
def test_a_rollout_is_one_of_its_method(integrator: str) -> None:
    specs = planned("node", data=(30,), seeds=(0,), settings={"integrator": integrator, "horizon": "whole"})
    objective, theta = made(specs, fused=False)
    for row, spec in enumerate(specs):
        c = spec.coefficients["inv_b"]

        def f(x: Tensor, row: int = row) -> Tensor:
            return network(theta[row], x[None])[0]

        def rolled(start: Tensor, n: int) -> Tensor:
            path = [start]
            for _ in range(n - 1):
                x, k1 = path[-1], f(path[-1])
                k2 = f(x + STEP / 2 * k1)
                k3 = f(x + STEP / 2 * k2)
                slope = {"euler": k1, "midpoint": k2, "rk4": (k1 + 2 * k2 + 2 * k3 + f(x + STEP * k3)) / 6}[integrator]
                path.append(x + STEP * slope)
            return torch.stack(path)

        points = seen(trajectory(c, 30, 1.7), "node")
        wanted = (rolled(points[0], 30) - points)[1:].square().mean()
        assert float(objective.value(theta)[row]) == pytest.approx(float(wanted), rel=1e-7)
        truth = seen(trajectory(c, 400, 2.8), "node")
        path = rolled(truth[0], 400)
        error = ((path - truth).norm(dim=0) / truth.norm(dim=0)).mean()
        assert float(objective.errors(theta)["test_error"][row]) == pytest.approx(float(error), rel=1e-6)
        drawn = objective.solution(theta)
        assert np.allclose(drawn["solution"][row], path.T.detach(), rtol=1e-6) and len(drawn["t"]) == 400


def test_the_floor_is_the_loss_of_the_exact_field() -> None:
    """Published floors of the exact field: 6e-8 at 1/b = 1 over 20 s, 7e-7 over 1 s, 9.6e-7 at 1/b = 15 over 5 s."""
    specs = sweep.plan(MapName("pinode", "pendulum", "lbfgs"), coefficients={"inv_b": [1.0, 15.0]}, data=[20, 100, 400])
    floor = dict(
        zip(((s.coefficients["inv_b"], s.data) for s in specs), sweep.objective_of(specs).floor(), strict=True)
    )
    assert float(floor[1.0, 400]) == pytest.approx(6e-8, rel=0.1)
    assert float(floor[1.0, 20]) == pytest.approx(7e-7, rel=0.1)
    assert float(floor[15.0, 100]) == pytest.approx(9.6e-7, rel=0.1)


def test_without_forcing_the_energy_falls() -> None:
    problem = catalog.problem("pendulum")
    for c in (1.0, 15.0):
        angle, speed = problem.trajectory(400, {"inv_b": c}, start=problem.start).T
        energy = speed**2 / 2 - np.cos(angle)
        assert (np.diff(energy) <= 1e-9).all() and energy[-1] < energy[0]
        lost = np.trapezoid(speed**2 / c, dx=STEP)
        assert energy[0] - energy[-1] == pytest.approx(lost, rel=1e-3)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(BadRequest, match="integrator is euler or midpoint or rk4, got 'heun'"):
        planned("node", settings={"integrator": "heun"})
    with pytest.raises(BadRequest, match="written for the state angles"):
        planned("pinode", settings={"state": "sphere"})
    with pytest.raises(BadRequest, match="NODE is not trained by ropinn here; it is by sgd, adam"):
        planned("node", strategy="ropinn")
    with pytest.raises(BadRequest, match="N_t must be at least 2"):
        planned("node", data=(1,))
    with pytest.raises(BadRequest, match="one term only"):
        planned("node", settings={"weighting": "adaptive"})
