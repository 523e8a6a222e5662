"""The diagnostics on losses over samples: neural operators and residual networks, tiny and large."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor
from torch.nn.functional import cross_entropy

from sciml_backend import memory, sweep
from sciml_backend.diagnostic import hessian_at
from sciml_backend.diagnostics.basin_jumps import BasinJumps
from sciml_backend.diagnostics.pyhessian_opinion import PyHessianOpinion
from sciml_backend.kernels import build
from sciml_backend.objective import Objective
from sciml_backend.problems.digits import Digits
from sciml_backend.problems.poisson_2d import Poisson2D
from sciml_backend.run import BadRequest, MapName, RunSpec

FNO: dict[str, Any] = {"map": "fno/poisson_2d/adam", "coefficients": {"K": [1.0]}, "settings": {"grid": 32}}
RESNET: dict[str, Any] = {"map": "resnet/digits/sgd", "coefficients": {"replaced": [0.5]}, "settings": {}}
TINY = {"fno": {"modes": 2, "width": 2, "layers": 2, "projection": 3}, "resnet": {"width": 1}}
LARGE = {"fno": {"modes": 8}, "resnet": {"width": 8}}
N, SEEN = 6, 4


@pytest.fixture(autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path_factory.getbasetemp() / "samples"))


def planned(kind: dict[str, Any], sizes: dict[str, Any], **settings: Any) -> RunSpec:
    name = MapName.parse(kind["map"])
    (spec,) = sweep.plan(
        name,
        coefficients=kind["coefficients"],
        data=[N],
        model=sizes[name.family],
        settings=kind["settings"] | settings,
    )
    return spec


def weights(spec: RunSpec) -> Tensor:
    """Initial weights, moved a little so that no layer is at a special point."""
    theta = sweep.initial_weights([spec])[0]
    return theta + 0.02 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(0))


def diagnosed(spec: RunSpec, kind: str, **settings: Any) -> Any:
    return sweep.diagnose(
        spec, kind, theta_initial=None, theta_final=sweep.to_bytes(weights(spec)), settings={"data": SEEN} | settings
    )


def by_hand(spec: RunSpec, theta: Tensor) -> Any:
    """The loss of the first samples, or of some at equal distances, as a function of weights (P,), in float64."""
    model = sweep.model_of(spec)
    if spec.family == "fno":
        samples = Poisson2D().samples(N, spec.coefficients, grid=32)
        chosen = np.array([0, 1, 3, 4])  # 4 of 6
        inputs, targets = (torch.as_tensor(part[chosen]).double() for part in (samples.inputs(), samples.targets))
        return lambda t: (model.apply(t[None], inputs)[0] - targets).square().mean()
    found = Digits().labelled(N, spec.coefficients)
    images, labels = torch.as_tensor(found.images).double(), torch.as_tensor(found.classes)
    held = model.statistics(theta, images)  # type: ignore[attr-defined]
    return lambda t: cross_entropy(model.scores(t, images[:SEEN], held), labels[:SEEN])  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [FNO, RESNET], ids=["fno", "resnet"])
def test_curvature_of_a_subset_is_that_of_the_dense_hessian(kind: dict[str, Any]) -> None:
    spec = planned(kind, TINY)
    theta = weights(spec).double()
    loss = by_hand(spec, theta)
    dense = torch.func.jacrev(torch.func.grad(loss), chunk_size=256)(theta)
    exact = torch.linalg.eigvalsh(dense)
    found = diagnosed(spec, "hessian_extremes")
    n = found.numbers
    assert found.settings["data"] == SEEN
    assert n["lambda_max"] == pytest.approx(float(exact[-1]), rel=1e-6)
    assert abs(n["lambda_min"] - float(exact[0])) <= n["lambda_min_residual"] + 1e-6 * float(exact[-1])
    assert abs(n["trace"] - float(dense.trace())) < 4 * n["trace_error"] + 1e-6 * float(exact[-1])
    assert n.get("published_scale") == (1024 if spec.family == "fno" else None)
    density = diagnosed(spec, "spectrum", steps=30, probes=2)
    assert density.numbers["lambda_max_initial"] != density.numbers["lambda_max_final"]
    assert density.numbers["lambda_max_final"] == pytest.approx(float(exact[-1]), rel=1e-4)
    first = float((density.arrays["nodes_final"] * density.arrays["weights_final"]).sum(1).mean())
    assert abs(first * len(exact) - float(dense.trace())) < 4 * float(dense.norm())  # of two start vectors
    theirs = diagnosed(spec, "pyhessian_opinion", steps=2, runs=1, iterations=200, tolerance=1e-6)
    assert theirs.numbers["lambda_max"] == pytest.approx(float(exact[exact.abs().argmax()]), rel=1e-3)
    plane = diagnosed(spec, "landscape", points=3, steps=30)
    assert plane.numbers["loss"] == pytest.approx(float(loss(theta)), rel=1e-6)
    assert plane.numbers["curvature_first"] == pytest.approx(float(exact[exact.abs().argmax()]), rel=1e-6)


@pytest.mark.parametrize("kind", [FNO, RESNET], ids=["fno", "resnet"])
def test_large_networks_are_measured_in_float32_with_few_vectors(kind: dict[str, Any]) -> None:
    spec = planned(kind, LARGE)
    theta = weights(spec)
    assert theta.numel() > 100_000
    found = diagnosed(spec, "hessian_extremes", steps=12, samples=2)
    assert set(found.arrays) == {"eigenvalues"}, "their eigenvectors would fill the store"
    exact, here = sweep.objective_of([spec], dtype="float64").subset(SEEN), theta.double()[None]

    def product(v: np.ndarray) -> np.ndarray:
        return exact.hessian_times(here, torch.as_tensor(v).reshape(1, -1))[0].numpy()

    size = theta.numel()
    start = np.random.default_rng(0).standard_normal(size)
    wanted = eigsh(LinearOperator((size, size), product, dtype=float), 1, which="LM", v0=start, tol=1e-7)[0][0]
    off = abs(float(found.arrays["eigenvalues"][0]) - wanted)
    assert off < found.numbers["lambda_max_residual"] + 1e-6 * abs(wanted)  # the residual is measured, noise and all
    density = diagnosed(spec, "spectrum", data=1, steps=100, probes=2)
    assert density.arrays["nodes_final"].shape == (2, 30) and np.isfinite(density.arrays["density_final"]).all()
    plane = diagnosed(spec, "landscape", points=3, steps=3)
    assert np.isfinite(plane.arrays["log10_loss"]).all() and plane.arrays["log10_loss"].shape == (3, 3)


@pytest.mark.skipif(build.library("fourier_operator") is None, reason="no compiler")
def test_products_in_a_large_operator_are_made_of_gradients_and_more_exact_than_float32() -> None:
    spec = planned(FNO, LARGE)
    theta, objective = weights(spec), sweep.objective_of([spec]).subset(SEEN)
    v = torch.randn(2, len(theta), generator=torch.Generator().manual_seed(1))
    found = hessian_at(objective, theta)(v).double()
    rows = theta.double().expand(2, -1)
    wanted = sweep.objective_of([spec], dtype="float64").subset(SEEN).hessian_times(rows, v.double())
    plain = objective.hessian_times(rows.float(), v).double()
    error, of_plain = (float((product - wanted).norm() / wanted.norm()) for product in (found, plain))
    assert error < min(1e-7, of_plain)


@pytest.mark.parametrize("kind", ["hessian_extremes", "spectrum", "landscape", "sharpening", "pyhessian_opinion"])
def test_what_does_not_fit_into_memory_is_refused_before_it_is_computed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = planned(RESNET, LARGE, steps=1)
    monkeypatch.setattr(memory, "free", lambda device: 4_000_000)
    with pytest.raises(BadRequest, match="more than half of the 0.0 GiB that are free"):
        diagnosed(spec, kind)


@pytest.mark.parametrize("kind", [FNO, RESNET], ids=["fno", "resnet"])
def test_where_residuals_make_no_dense_matrix_none_is_computed(
    kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def products(self: Objective, theta: Tensor, v: Tensor) -> Tensor:
        raise AssertionError("The Hessian is computed.")

    spec = planned(kind, TINY)
    monkeypatch.setattr(type(sweep.objective_of([spec])), "hessian_times", products)
    with pytest.raises(BadRequest, match="choose another"):
        sweep.diagnose(spec, "stationary_point", theta_initial=None, theta_final=sweep.to_bytes(weights(spec)))


def test_sharpening_is_refused_before_its_run_is_trained_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda device: 4_000_000)
    with pytest.raises(BadRequest, match="more than half of the 0.0 GiB that are free"):
        diagnosed(planned(RESNET, LARGE, steps=10**9), "sharpening")


def test_a_way_that_does_not_fit_into_memory_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = planned(RESNET, LARGE, steps=10**9, batch=1)
    monkeypatch.setattr(memory, "free", lambda device: 5 * weights(spec).nbytes)
    with pytest.raises(BadRequest, match="of its training do not fit"):
        diagnosed(spec, "sharpening", steps=2)


def test_a_large_networks_points_are_measured_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = planned(RESNET, LARGE, steps=1, batch=SEEN)
    ((record,),) = list(sweep.train([spec]))
    settings = {"data": 1, "points": 2, "steps": 6}
    given: dict[str, Any] = {"theta_initial": None, "theta_final": record.theta_final or b"", "settings": settings}
    with monkeypatch.context() as few:
        few.setattr(memory, "free", lambda device: 2 * 6 * len(record.theta_final or b""))
        found = sweep.diagnose(spec, "sharpening", **given)
    for at, end in enumerate(("initial", "final")):
        alone = sweep.diagnose(spec, "hessian_extremes", **given | {"settings": {"at": end, "data": 1, "samples": 2}})
        assert found.arrays["lambda_max"][at] == pytest.approx(alone.numbers["lambda_max"], rel=0.05)


@pytest.mark.parametrize("kind", [FNO, RESNET], ids=["fno", "resnet"])
def test_sharpening_follows_a_large_network(kind: dict[str, Any]) -> None:
    spec = planned(kind, LARGE, steps=1, batch=SEEN)
    ((record,),) = list(sweep.train([spec]))
    found = sweep.diagnose(
        spec,
        "sharpening",
        theta_initial=None,
        theta_final=record.theta_final or b"",
        settings={"data": 1, "points": 2, "steps": 2},
    )
    assert found.numbers["reproduced"] == 1 and np.isfinite(found.arrays["lambda_max"]).all()


def test_basin_jumps_are_steps_of_plain_sgd() -> None:
    spec = planned(RESNET, TINY)
    found = diagnosed_jumps(spec, iterations=20, batch=2)
    objective, theta = sweep.objective_of([spec], dtype="float64"), weights(spec).double()[None]
    for number in range(20):
        loss, gradient = objective.minibatch(number, 2).value_and_gradient(theta)
        moved = theta - 0.1 * gradient
        assert found.arrays["length"][number] == pytest.approx(float((moved - theta).norm()), rel=1e-9)
        assert found.arrays["loss"][number] == pytest.approx(float(loss[0]))
        theta = moved
    inverse = 1 / found.arrays["length"]
    own = inverse[inverse >= found.numbers["lowest"] * (1 - 1e-12)]
    assert found.numbers["alpha"] == pytest.approx(1 + len(own) / np.log(own / own.min()).sum())
    assert found.numbers["longest"] == found.arrays["length"].max()


def diagnosed_jumps(spec: RunSpec, **settings: Any) -> Any:
    theta = sweep.to_bytes(weights(spec))
    return sweep.diagnose(spec, "basin_jumps", theta_initial=None, theta_final=theta, settings=settings)


def test_jumps_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadRequest, match="rate must be positive"):
        BasinJumps(rate=0.0)
    with pytest.raises(BadRequest, match="take a smaller one"):
        diagnosed_jumps(planned(FNO, TINY), rate=1e200, iterations=10)


def test_a_jump_that_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = planned(RESNET, TINY)
    in_double = sweep.objective_of([spec], dtype="float64")
    monkeypatch.setattr(memory, "free", lambda device: 2 * in_double.minibatch(0, 2).memory(1))
    assert diagnosed_jumps(spec, iterations=10, batch=2).arrays["length"].shape == (10,)
    with pytest.raises(BadRequest, match="take a smaller batch"):
        diagnosed_jumps(spec, iterations=10, batch=N)


@pytest.mark.parametrize("kind", [FNO, RESNET])
def test_a_second_opinion_that_does_not_fit_is_refused(kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = planned(kind, TINY)
    objective, theta = sweep.objective_of([spec], dtype="float64"), sweep.initial_weights([spec])[0].double()
    opinion = PyHessianOpinion(steps=2, iterations=2)
    assert objective.graph_bytes > objective.subset(1).graph_bytes > 0
    monkeypatch.setattr(memory, "free", lambda device: 2 * objective.graph_bytes - 2)
    with pytest.raises(BadRequest, match="take some of them, such as --with data=64"):
        opinion.compute(objective, theta_initial=theta, theta_final=theta)
    found = opinion.compute(objective.subset(1), theta_initial=theta, theta_final=theta)
    assert np.isfinite(found.numbers["trace"])
