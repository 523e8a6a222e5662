"""Curvature along a training, against the dense Hessian and against the run's own curve."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sciml_backend import sweep
from sciml_backend.run import BadRequest, MapName, RunRecord

NAME = MapName("pinn", "convection", "lbfgs")


@pytest.fixture(scope="module")
def record() -> RunRecord:
    options = {"model": {"width": 6, "depth": 2}, "settings": {"max_epochs": 4}}
    specs = sweep.plan(NAME, coefficients={"beta": [5.0]}, data=[60], **options)  # type: ignore[arg-type]
    return next(iter(sweep.train(specs)))[0]


def measured(record: RunRecord, **settings: int) -> sweep.Artifact:
    weights = {"theta_initial": record.theta_initial or b"", "theta_final": record.theta_final or b""}
    return sweep.diagnose(record.spec, "sharpening", settings=settings, **weights)


def test_it_follows_the_run_it_is_of(record: RunRecord) -> None:
    found = measured(record)
    assert found.numbers["reproduced"] == 1.0
    assert found.arrays["iteration"].tolist() == record.curve.iteration
    assert np.allclose(found.arrays["train_loss"], record.curve.train_loss, rtol=1e-4)


def test_every_point_is_the_dense_hessians_largest_eigenvalue(record: RunRecord) -> None:
    found = measured(record, steps=60)
    objective = sweep.objective_of([record.spec], dtype="float64")
    path = sweep.retraced(record.spec)
    for i, theta in enumerate(path.theta):
        identity = torch.eye(theta.numel(), dtype=torch.float64)
        dense = objective.hessian_times(theta.expand_as(identity), identity)
        assert found.arrays["lambda_max"][i] == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-6)


def test_fewer_points_keep_both_ends(record: RunRecord) -> None:
    chosen = measured(record, points=2).arrays["iteration"].tolist()
    assert chosen == [record.curve.iteration[0], record.curve.iteration[-1]]


def test_a_senseless_setting_is_refused(record: RunRecord) -> None:
    with pytest.raises(BadRequest, match="at least 2"):
        measured(record, points=1)
