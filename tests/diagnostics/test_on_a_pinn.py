"""The diagnostics on a real physics-informed loss: a 2-8-8-1 network (105 parameters) after a little training."""

import numpy as np
import pytest
import torch

from sciml_backend.diagnostics.hessian_extremes import HessianExtremes
from sciml_backend.diagnostics.landscape import Landscape
from sciml_backend.diagnostics.pyhessian_opinion import PyHessianOpinion
from sciml_backend.diagnostics.spectrum import Spectrum
from sciml_backend.models.mlp import MLP
from sciml_backend.objectives.physics import Physics
from sciml_backend.problems.convection import Convection


@pytest.fixture(scope="module")
def loss():
    problem = Convection()
    points = problem.points(50, data_seed=0)
    return Physics(problem, MLP(width=8, depth=2), coefficients={"beta": [5.0]}, points=points, dtype=torch.float64)


@pytest.fixture(scope="module")
def trained(loss):
    initial = loss.model.init(0).double()
    theta = initial.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([theta], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        value, gradient = loss.value_and_gradient(theta.detach()[None])
        theta.grad = gradient[0]
        return value[0]

    optimiser.step(closure)
    return {"theta_initial": initial, "theta_final": theta.detach()}


@pytest.fixture(scope="module")
def dense(loss, trained):
    gradient = torch.func.jacrev(lambda t: loss.differentiable_value(t[None])[0])
    return torch.func.jacrev(gradient)(trained["theta_final"])


def test_extremes_agree_with_the_dense_hessian(loss, trained, dense):
    exact = torch.linalg.eigvalsh(dense)
    found = HessianExtremes(steps=70).compute(loss, **trained).numbers
    assert found["lambda_max"] == pytest.approx(float(exact[-1]), rel=1e-10)
    assert abs(found["lambda_min"] - float(exact[0])) <= found["lambda_min_residual"] + 1e-12
    assert abs(found["trace"] - float(dense.trace())) < 3 * found["trace_error"] + 1e-9 * abs(float(dense.trace()))


def test_negative_share_agrees_with_the_dense_hessian(loss, trained, dense):
    exact = torch.linalg.eigvalsh(dense)
    found = Spectrum(steps=60, probes=6).compute(loss, **trained).numbers
    share = float((exact < -found["noise_floor_final"]).double().mean())
    assert abs(found["negative_share_final"] - share) < 3.5 * found["negative_share_error_final"] + 1e-12


def test_pyhessian_agrees(loss, trained):
    ours = HessianExtremes().compute(loss, **trained).numbers
    theirs = PyHessianOpinion(steps=10, runs=1, tolerance=1e-7).compute(loss, **trained).numbers
    assert theirs["lambda_max"] == pytest.approx(ours["lambda_max"], rel=1e-4)
    samples = theirs["trace_samples"]
    error = np.hypot(ours["trace_error"], theirs["trace_error"])
    assert samples > 10 and abs(theirs["trace"] - ours["trace"]) < 3 * error


def test_curvature_of_the_landscape_is_the_eigenvalue(loss, trained):
    found = Landscape(normalise="none", points=3, radius=1e-4).compute(loss, **trained)
    values = 10 ** found.arrays["log10_loss"]
    second_difference = (values[2, 1] - 2 * values[1, 1] + values[0, 1]) / 1e-8
    assert second_difference == pytest.approx(found.numbers["curvature_first"], rel=1e-3)
