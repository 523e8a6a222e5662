"""Losses over samples of a solution operator: on both arithmetics, by hand, in batches, posed anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml_backend import catalog, sweep
from sciml_backend.objective import Objective
from sciml_backend.plan import axes_of
from sciml_backend.problems import darcy
from sciml_backend.run import BadRequest, MapName, RunSpec

SMALL = {"model": {"modes": 3, "width": 16, "layers": 2, "projection": 16}}
OF_DATA = {"name": "fno/poisson_2d/adam", "coefficients": {"K": [1.0, 50.0]}, "data": [8], "settings": {"grid": 32}}
OF_BOTH = {"name": "pino/darcy/adam", "coefficients": {"r": [2.0, 4.0]}, "data": [6], "settings": {"grid": 31}}


@pytest.fixture(autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path_factory.getbasetemp() / "samples"))


def planned(kind: dict[str, Any], **more: Any) -> list[RunSpec]:
    given = kind | {"settings": kind["settings"] | more.pop("settings", {})} | more
    model = SMALL["model"] | ({"second_projection": 0} if kind is OF_BOTH else {})
    return sweep.plan(MapName.parse(given.pop("name")), model=model, **given)


def made(kind: dict[str, Any], dtype: str = "float64", **more: Any) -> tuple[Any, Tensor]:
    specs = planned(kind, **more)
    objective = sweep.objective_of(specs, dtype=dtype)
    return objective, sweep.initial_weights(specs).to(objective.dtype)


def by_hand(objective: Objective, theta: Tensor, spec: RunSpec) -> dict[str, Tensor]:
    """The terms of one run's loss from its samples and the model's plain values."""
    problem, side = catalog.problem(spec.problem), int(spec.settings["grid"])
    samples = problem.samples(spec.data, spec.coefficients, grid=side)
    outputs = objective.model.apply(theta[None], torch.as_tensor(samples.inputs()).double())[0]
    targets = torch.as_tensor(samples.targets).double()
    if spec.family == "fno":
        return {"data": (outputs - targets).square().mean()}
    along = torch.sin(torch.pi * torch.linspace(0, 1, side, dtype=torch.float64))
    solutions = outputs * 1e-3 * along * along[:, None]
    data = (solutions - targets).flatten(1).norm(dim=1) / targets.flatten(1).norm(dim=1)
    residual = darcy.central_differences(solutions[:, 0], torch.as_tensor(samples.fields[:, 0]).double())
    return {"data": 5 * data.mean(), "physics": residual.flatten(1).square().mean(1).sqrt().mean()}


@pytest.mark.parametrize("kind", [OF_DATA, OF_BOTH], ids=["data", "both"])
def test_loss_gradient_and_curvature_are_those_of_the_plain_model(kind: dict[str, Any]) -> None:
    objective, theta = made(kind)
    assert objective.kernel != "torch"
    values, gradients = objective.value_and_gradient(theta)
    leaf = theta.clone().requires_grad_()
    plain = objective.differentiable_value(leaf)
    (wanted,) = torch.autograd.grad(plain.sum(), leaf)
    assert torch.allclose(values, plain.detach(), rtol=1e-10) and torch.allclose(objective.value(theta), values)
    assert torch.allclose(gradients, wanted, rtol=1e-8, atol=1e-12)
    for row, spec in enumerate(planned(kind)):
        wanted = float(sum(by_hand(objective, theta[row], spec).values()))
        assert float(values[row]) == pytest.approx(wanted, rel=1e-6)
    v = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=theta.dtype)
    step = 1e-5
    ahead, behind = (objective.value_and_gradient(theta + sign * step * v)[1] for sign in (1, -1))
    differences, product = (ahead - behind) / (2 * step), objective.hessian_times(theta, v)
    assert float((product - differences).norm() / product.norm()) < 1e-4
    single, _ = made(kind, dtype="float32")
    found = single.hessian_at(theta.float())(v.float()).double()
    assert float((found - product).norm() / product.norm()) < 1e-6


def test_the_output_bias_has_the_curvature_2_and_2_n_squared_as_published() -> None:
    """The published loss adds up over the nodes; its entry of the Hessian is 2 n², whatever the weights."""
    objective, theta = made(OF_DATA)
    assert objective.layout[-1].shape == (1,)
    unit = torch.zeros_like(theta)
    unit[:, -1] = 1
    assert torch.allclose(objective.hessian_times(theta, unit)[:, -1], torch.full((2,), 2.0, dtype=theta.dtype))
    assert 2 * objective.published_scale == 2 * 32**2


def test_training_error_and_test_error_are_relative_distances() -> None:
    objective, theta = made(OF_DATA)
    spec = planned(OF_DATA)[1]
    problem = catalog.problem("poisson_2d")
    for split, n, found in (
        ("train", 8, objective.training_error(theta)),
        ("validation", 256, objective.errors(theta)["test_error"]),
    ):
        samples = problem.samples(n, spec.coefficients, split=split, grid=32)
        outputs = objective.model.apply(theta[1:], torch.as_tensor(samples.inputs()).double())[0]
        targets = torch.as_tensor(samples.targets).double()
        wanted = ((outputs - targets).flatten(1).norm(dim=1) / targets.flatten(1).norm(dim=1)).mean()
        assert float(found[1]) == pytest.approx(float(wanted), rel=1e-6)


def test_batches_of_data_go_round_in_turn_and_those_of_both_are_drawn() -> None:
    in_turn, theta = made(OF_DATA, settings={"batch": 3})
    batches = [in_turn.minibatch(number, 3).value(theta) for number in range(3)]  # of 8 samples two full batches
    assert torch.equal(batches[0], batches[2]) and not torch.equal(batches[0], batches[1])
    assert in_turn.minibatch(1, 3).share == 3 / 8
    drawn, theta = made(OF_BOTH)
    assert drawn.minibatch(1, 3).share == 3 / 6
    assert torch.equal(drawn.minibatch(1, 3).value(theta), drawn.minibatch(1, 3).value(theta))
    assert not torch.equal(drawn.minibatch(1, 3).value(theta), drawn.minibatch(2, 3).value(theta))
    assert torch.equal(drawn.minibatch(5, 6).value(theta), drawn.value(theta))


def test_adaptive_weights_balance_the_terms_as_the_loss_has_them() -> None:
    (spec, _), rounds = planned(OF_BOTH), {"weighting": "adaptive", "rounds": 2, "round_iterations": 5}
    ((phase, *_), objective) = sweep.schedule_of(spec.but(settings=spec.settings | rounds)), sweep.objective_of([spec])
    theta = sweep.initial_weights([spec])
    found = phase.next(objective, theta, phase.context(objective, theta)).weight
    leaf = theta[0].double().requires_grad_()
    terms = by_hand(objective, leaf, spec)
    first, other = (torch.autograd.grad(terms[name], leaf, retain_graph=True)[0] for name in ("data", "physics"))
    ratio = float(first.abs().max() / other.abs().mean())
    assert float(found["data"]) == 1.0 and float(found["physics"]) == pytest.approx(0.1 + 0.9 * ratio, rel=1e-3)


def test_a_term_with_multipliers_is_a_penalty_and_a_price() -> None:
    objective, theta = made(OF_BOTH)
    residuals = objective.residuals(theta)
    assert {name: r.shape for name, r in residuals.items()} == {"data": (2, 6), "physics": (2, 6)}
    price = torch.rand(2, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    half = torch.tensor([1.0, 4.0], dtype=torch.float64)
    posed = objective.given(weights={"physics": half}, multipliers={"physics": price})
    h = residuals["physics"]
    wanted = 5 * residuals["data"].mean(1) + half * h.square().mean(1) + (price * h).mean(1)
    assert torch.allclose(posed.value(theta), wanted, rtol=1e-10)
    assert torch.allclose(posed.rows([1]).value(theta[1:]), wanted[1:], rtol=1e-10)
    chosen = np.sort(np.random.default_rng(4).choice(6, 2, replace=False))
    part = 5 * residuals["data"][:, chosen].mean(1) + half * h[:, chosen].square().mean(1)
    part = part + (price * h)[:, chosen].mean(1)
    assert torch.allclose(posed.minibatch(4, 2).value(theta), part, rtol=1e-10)


def test_products_with_the_jacobian_are_transposes_of_each_other() -> None:
    objective, theta = made(OF_BOTH)
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    w = {k: torch.randn(r.shape, generator=generator, dtype=r.dtype) for k, r in objective.residuals(theta).items()}
    forward, back = objective.residual_jvp(theta, v), objective.residual_vjp(theta, w)
    assert torch.allclose(sum((w[k] * forward[k]).sum(1) for k in w), (back * v).sum(1), rtol=1e-9)


@pytest.mark.parametrize("kind", [OF_DATA, OF_BOTH], ids=["data", "both"])
def test_a_product_with_few_residuals_takes_the_memory_of_their_samples(kind: dict[str, Any]) -> None:
    objective, theta = made(kind)
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    def product(w: dict[str, Tensor]) -> tuple[Tensor, int]:
        nonlocal kept
        kept = 0
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            return objective.residual_vjp(theta, w), kept

    residuals = objective.residuals(theta)
    ones, none = ({name: fill(r) for name, r in residuals.items()} for fill in (torch.ones_like, torch.zeros_like))
    single = {name: w.clone() for name, w in none.items()}
    single["data"][:, -1] = 1.0  # of the last sample
    (found, one), (_, all_of_them) = product(single), product(ones)
    assert one < 2 * all_of_them / planned(kind)[0].data
    unit = torch.zeros_like(theta)
    unit[:, -1] = 1.0
    assert torch.allclose(found[:, -1], objective.residual_jvp(theta, unit)["data"][:, -1], rtol=1e-9)
    assert not product(none)[0].any() and product({"data": ones["data"]})[0].any()


def test_another_coefficient_brings_other_samples() -> None:
    objective, theta = made(OF_BOTH)
    moved = objective.given(coefficients={"r": np.array([5.0, 4.0])})
    other = made(OF_BOTH, coefficients={"r": [5.0, 4.0]})[0]
    assert torch.equal(moved.value(theta), other.value(theta))


@pytest.mark.parametrize(("residual", "low", "high"), [("published", 0.3, 1.1), ("corrected", 0.0, 0.01)])
def test_the_floor_is_what_the_equation_makes_of_true_solutions(residual: str, low: float, high: float) -> None:
    objective, _ = made(OF_BOTH, settings={"residual": residual})
    floor = objective.floor()
    assert (floor > low).all() and (floor < high).all() and floor[0] < floor[1]


def test_steps_are_the_published_ones_for_the_amount_of_data() -> None:
    for n, batch, steps in ((128, 128, 1000), (512, 128, 2000), (1024, 128, 2400), (300, 128, 1500)):
        (spec,) = sweep.plan(MapName.parse("fno/poisson_2d/adam@coarse"), coefficients={"K": [1.0]}, data=[n])
        assert sweep.objective_of([spec]).published_steps(batch) == steps
    objective, _ = made(OF_BOTH)
    with pytest.raises(BadRequest, match="Nothing says how many steps"):
        objective.published_steps(32)


@pytest.mark.parametrize("kind", [OF_DATA, OF_BOTH], ids=["data", "both"])
def test_rows_that_step_together_each_have_their_own_samples(kind: dict[str, Any], monkeypatch: Any) -> None:
    objective, theta = made(kind, seeds=[0, 1])
    alone = objective.value_and_gradient(theta)
    one, two = (objective.memory(rows) for rows in (1, 2))
    monkeypatch.setattr(type(objective), "_together", True)
    for found, wanted in zip(objective.value_and_gradient(theta), alone, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-10, atol=0)
    assert objective.memory(2) - objective.memory(1) == two - one + objective._stepper.bytes


def test_predicted_memory_grows_with_the_samples_and_what_the_network_sees_of_them() -> None:
    few, many = (made(OF_DATA, data=[n], dtype="float32")[0] for n in (1000, 3000))
    samples = catalog.problem("poisson_2d").samples(8, {"K": 1.0}, grid=32)
    each = (samples.fields.nbytes + samples.targets.nbytes + samples.inputs().nbytes) / 8
    assert many.memory(1) - few.memory(1) >= 2000 * each
    assert few.memory(2) - few.memory(1) >= (1000 + few.problem.grids[few.side]) * each


def test_a_named_variant_is_named_and_reads_back() -> None:
    for name in ("fno/poisson_2d/adam@coarse", "pino/darcy/alm@coarse", "pino/darcy/adam@float64,coarse"):
        family = MapName.parse(name).family
        specs = sweep.plan(MapName.parse(name), coefficients=None if family == "fno" else {"r": [4.0]}, data=[20])
        assert {str(spec.map) for spec in specs} == {name}
        assert specs[0].model["modes"] == 12 and specs[0].settings["grid"] in (31, 32)
    (odd,) = sweep.plan(
        MapName.parse("pino/darcy/adam@coarse"), coefficients={"r": [4.0]}, data=[20], settings={"batch": 8}
    )
    assert str(odd.map) == "pino/darcy/adam@coarse,batch=8"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"settings": {"grid": 40}}, "128 or 32 nodes a side, got grid=40"),
        ({"coefficients": {"K": [3.0]}}, "K must be one of 1-2.5 "),
        ({"settings": {"grid": 32}, "model": {"modes": 20}}, "needs at least 40 grid points a side, got 32 x 32"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        sweep.plan(MapName.parse("fno/poisson_2d/adam"), **({"coefficients": {"K": [1.0]}, "data": [8]} | options))


def test_a_short_training_is_a_full_record_and_reproduces() -> None:
    specs = planned(OF_BOTH, settings={"steps": 4, "batch": 3}, coefficients={"r": [2.0]})
    ((one,),), ((two,),) = list(sweep.train(specs)), list(sweep.train(specs))
    assert one.theta_final == two.theta_final and one.iterations == 4 and one.heldout_error is None
    assert one.train_loss and one.test_error and one.test_error_l1
    found = sweep.diagnose(specs[0], "solution", theta_initial=None, theta_final=one.theta_final or b"")
    assert found.numbers["floor"] > 0.3 and found.arrays["solution"].shape == (31, 31)


def test_a_coarse_map_has_axes_of_its_own() -> None:
    coarse, full = (axes_of(MapName.parse(f"pino/darcy/adam{variant}")) for variant in ("@coarse", ""))
    assert (coarse.x, coarse.y) == ((1, 2, 4, 6, 10), (5, 20, 50, 100))
    assert len(full.x) == 8 and len(full.y) == 7
    assert len(sweep.plan(MapName.parse("fno/poisson_2d/adam@coarse"))) == 8 * 4
