import numpy as np
import pytest
import torch

from sciml_backend.diagnostics.hessian_extremes import HessianExtremes
from sciml_backend.run import BadRequest


@pytest.mark.parametrize("at", ["initial", "final"])
def test_agrees_with_the_dense_hessian(objective, run, at):
    found = HessianExtremes(at=at, steps=60, vectors=3).compute(objective, **run)
    dense = objective.dense_hessian(run[f"theta_{at}"])
    exact, vectors = torch.linalg.eigh(dense)
    assert abs(found.numbers["lambda_max"] - float(exact[-1])) < 1e-9 * float(exact[-1])
    assert abs(found.numbers["lambda_min"] - float(exact[0])) <= found.numbers["lambda_min_residual"] + 1e-12
    assert abs(found.numbers["trace"] - float(dense.trace())) < 3 * found.numbers["trace_error"] + 1e-9
    leading = exact.abs().argsort(descending=True)[:3]
    np.testing.assert_allclose(found.arrays["eigenvalues"], exact[leading], rtol=1e-9)
    overlap = np.abs((found.arrays["eigenvectors"] * vectors[:, leading].T.numpy()).sum(axis=1))
    np.testing.assert_allclose(overlap, 1, rtol=1e-9)


def test_the_trace_is_unbiased_and_its_error_honest(objective, run):
    exact = float(objective.dense_hessian(run["theta_final"]).trace())
    found = [HessianExtremes(steps=6, seed=seed).compute(objective, **run).numbers for seed in range(40)]
    deviation = np.array([numbers["trace"] for numbers in found]) - exact
    stated = np.array([numbers["trace_error"] for numbers in found])
    assert abs(deviation.mean()) < 3 * deviation.std() / 40**0.5
    assert np.sqrt((stated**2).mean()) == pytest.approx(deviation.std(), rel=0.35)


def test_float32_curvature_of_a_small_network_is_refused(objective, run):
    single = {name: theta.float() for name, theta in run.items()}
    with pytest.raises(BadRequest, match="float64, got float32"):
        HessianExtremes().compute(objective, **single)


def test_a_diverged_run_is_refused(objective, run):
    broken = run | {"theta_final": torch.full_like(run["theta_final"], torch.nan)}
    with pytest.raises(BadRequest, match="diverged"):
        HessianExtremes().compute(objective, **broken)
    assert HessianExtremes(at="initial").compute(objective, **broken).numbers["lambda_max"] > 0
