"""Every diagnostic on a neural ODE: the contracts hold for another family, and the numbers are those of its Hessian."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sciml_backend import catalog, sweep
from sciml_backend.run import Artifact, MapName, RunRecord


@pytest.fixture(scope="module", params=["node", "pinode"])
def trained(request: pytest.FixtureRequest) -> RunRecord:
    name = MapName(request.param, "pendulum", "lbfgs")
    small = {"width": 6, "depth": 2}
    (spec,) = sweep.plan(name, coefficients={"inv_b": [4.0]}, data=[30], model=small)
    ((record,),) = list(sweep.train([spec]))
    return record


def found(record: RunRecord, kind: str) -> Artifact:
    assert record.theta_initial and record.theta_final
    return sweep.diagnose(record.spec, kind, theta_initial=record.theta_initial, theta_final=record.theta_final)


@pytest.mark.parametrize("kind", sorted(catalog.entries("diagnostics")))
def test_every_diagnostic_has_finite_numbers(trained: RunRecord, kind: str) -> None:
    artifact = found(trained, kind)
    assert artifact.numbers and all(np.isfinite(value) for value in artifact.numbers.values())


def test_extremes_and_trace_are_those_of_the_dense_hessian(trained: RunRecord) -> None:
    objective = sweep.objective_of([trained.spec], dtype="float64")
    theta = sweep.from_bytes(trained.theta_final or b"", "float32").double()[None]
    values = torch.linalg.eigvalsh(objective.hessian(theta)[0])
    ours, opinion = found(trained, "hessian_extremes").numbers, found(trained, "pyhessian_opinion").numbers
    assert ours["lambda_max"] == pytest.approx(float(values[-1]), rel=1e-5)
    assert abs(ours["trace"] - float(values.sum())) < 4 * ours["trace_error"] + 1e-6 * float(values.abs().sum())
    assert opinion["lambda_max"] == pytest.approx(ours["lambda_max"], rel=0.01)


def test_the_floor_stands_beside_the_loss(trained: RunRecord) -> None:
    numbers = found(trained, "solution").numbers
    assert numbers["train_loss"] == pytest.approx(trained.train_loss, rel=1e-3) and 1e-8 < numbers["floor"] < 1e-5
