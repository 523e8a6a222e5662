"""On a GPU: every family's loss is that of the CPU, and every strategy trains there. Skipped where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml_backend import sweep
from sciml_backend.run import MapName, Status

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

OPERATOR = {"modes": 3, "width": 16, "layers": 2, "projection": 16, "second_projection": 0}
OF_PINN: dict[str, Any] = {"name": "pinn/convection", "coefficients": {"beta": [1.0, 5.0]}, "data": [100]}
OF_FNO: dict[str, Any] = {
    **{"name": "fno/poisson_2d", "coefficients": {"K": [1.0, 50.0]}, "data": [8]},
    **{"settings": {"grid": 32}, "model": OPERATOR},
}
OF_PINO: dict[str, Any] = {
    **{"name": "pino/darcy", "coefficients": {"r": [1.0, 2.0]}, "data": [6]},
    **{"settings": {"grid": 31}, "model": OPERATOR},
}
OF_PINODE: dict[str, Any] = {"name": "pinode/pendulum", "data": [40, 60]}
KINDS = {
    "convection": OF_PINN,
    "wave": {"name": "pinn/wave", "coefficients": {"c": [1.0, 2.0]}, "data": [100]},
    "biharmonic_1d": {"name": "pinn/biharmonic_1d", "data": [50]},
    "fno": OF_FNO,
    "pino": OF_PINO,
    "node": {"name": "node/pendulum", "data": [40, 60]},
    "pinode": OF_PINODE,
}
SHORT: dict[str, dict[str, Any]] = {
    "sgd": {"steps": 60, "rate": 1e-2},
    "adam": {"steps": 60},
    "lbfgs": {"max_epochs": 3},
    "alm": {"iterations": 3, "inner.epoch_iterations": 20},
    "cl": {"lessons": 5, "inner.epoch_iterations": 20},
    "ropinn": {"epochs": 3},
    "nncg": {"adam.steps": 40, "lbfgs.max_epochs": 2, "steps": 5, "rank": 4},
    "hybrid": {"window": 10, "threshold": 0.5, "first.steps": 60, "then.max_epochs": 2},
    "newton": {"steps": 3},
    "saddle_free_newton": {"steps": 3},
    "trust_region": {"steps": 5},
    "gauss_newton": {"steps": 5},
}
DENSE = ("newton", "saddle_free_newton", "trust_region", "gauss_newton")
TRAINED = [
    *(pytest.param(OF_PINN, name, id=f"pinn-{name}") for name in SHORT),
    *(pytest.param(OF_FNO, name, id=f"fno-{name}") for name in ("adam", "sgd", "lbfgs")),
    *(pytest.param(OF_PINO, name, id=f"pino-{name}") for name in ("adam", "lbfgs", "alm", "cl", "nncg")),
    *(pytest.param(OF_PINODE, name, id=f"pinode-{name}") for name in ("adam", "lbfgs", "alm", "cl", "nncg")),
]


def planned(kind: dict[str, Any], strategy: str, **more: Any) -> list[Any]:
    given = {**kind, **more, "settings": {**kind.get("settings", {}), **more.get("settings", {})}}
    return sweep.plan(MapName.parse(f"{given.pop('name')}/{strategy}"), seeds=[0, 1], **given)[:4]


def near(found: Tensor, wanted: Tensor, within: float) -> bool:
    return float((found.cpu() - wanted).norm()) <= within * float(wanted.norm())


@pytest.fixture(autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path_factory.getbasetemp() / "samples"))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_loss_gradient_curvature_and_errors_are_those_of_the_cpu(kind: dict[str, Any]) -> None:
    specs = planned(kind, "adam")
    theta = sweep.initial_weights(specs).double()
    v = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    here, there = (sweep.objective_of(specs, device=device, dtype="float64") for device in ("cpu", "cuda"))
    (value, gradient), (value_there, gradient_there) = (
        on.value_and_gradient(theta.to(on.device)) for on in (here, there)
    )
    assert near(value_there, value, 1e-12) and near(gradient_there, gradient, 1e-9)
    assert near(there.value(theta.cuda()), value, 1e-12)
    assert near(there.hessian_times(theta.cuda(), v.cuda()), here.hessian_times(theta, v), 1e-6)
    for name, error in here.errors(theta, heldout=True).items():
        assert near(there.errors(theta.cuda(), heldout=True)[name], error, 1e-8), name


@pytest.mark.parametrize(("kind", "strategy"), TRAINED)
def test_every_strategy_trains(kind: dict[str, Any], strategy: str) -> None:
    settings = {
        name: value
        for name, value in SHORT[strategy].items()
        if not (kind is OF_PINO and name == "inner.epoch_iterations")  # there Adam is the strategy within
    }
    if kind is OF_PINO and strategy in ("alm", "cl"):
        settings["inner.steps"] = 20
    small = {"dtype": "float64", "model": {"depth": 2, "width": 10}} if strategy in DENSE else {}
    specs = planned(kind, strategy, settings=settings, **small)
    records = [record for batch in sweep.train(specs, device="cuda") for record in batch]
    assert len(records) == len(specs) > 1
    for record in records:
        assert record.status is not Status.FAILED, record.reason
        assert record.device.startswith("cuda") and record.batch_rows == len(specs)
    first, last = (np.mean([r.curve.train_loss[at] for r in records if r.curve]) for at in (0, -1))
    assert np.isfinite(last) and (last < first or strategy in DENSE)
