"""The neural tangent kernel against dense differentiation, and against what it is to predict."""

import numpy as np
import pytest
import torch

from sciml_backend import catalog, memory
from sciml_backend.diagnostics.ntk import NTK, residual_jacobian, spectrum
from sciml_backend.models.mlp import MLP
from sciml_backend.objectives.physics import Physics
from sciml_backend.run import BadRequest


def made(name, *, fused=True, n=12, width=9):
    problem = catalog.problem(name)
    model = MLP(width=width, depth=2, inputs=len(problem.domain))
    axis = problem.axis
    c = problem.complete({axis.name: axis.axis[1]})
    return Physics(
        problem,
        model,
        coefficients={k: [v] for k, v in c.items()},
        points=problem.points(n, data_seed=0),
        dtype=torch.float64,
        fused=fused,
    )


def scaled(objective, theta):
    """All residuals, such that the loss is the square of their norm, by plain differentiable torch."""
    parts = [objective._term_residual(term, theta[None])[0] / term.n**0.5 for term in objective._terms]
    return torch.cat(parts)


def ends(objective):
    initial = objective.model.init(0).double()
    drift = torch.randn(initial.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return {"theta_initial": initial, "theta_final": initial + 0.05 * drift}


@pytest.mark.parametrize(
    ("name", "fused"), [("regression", False), ("poisson_1d", True), ("biharmonic_1d", False), ("convection", True)]
)
def test_it_is_that_of_the_dense_jacobian(name, fused):
    objective = made(name, fused=fused)
    given = ends(objective)
    dense = [torch.func.jacrev(lambda t: scaled(objective, t))(theta) for theta in given.values()]
    kernels = [j @ j.T for j in dense]
    found = NTK(points=1000).compute(objective, **given)
    for end, kernel in zip(("initial", "final"), kernels, strict=True):
        exact = torch.linalg.eigvalsh(kernel).flip(0).numpy()
        np.testing.assert_allclose(found.arrays[f"eigenvalues_{end}"], exact, atol=1e-13 * exact[0])
        assert found.numbers[f"trace_{end}"] == pytest.approx(float(kernel.trace()), rel=1e-10)
    drift = (kernels[1] - kernels[0]).norm() / kernels[0].norm()
    assert found.numbers["drift"] == pytest.approx(float(drift), rel=1e-9)
    assert found.numbers["residuals"] == len(kernels[0])


def test_it_predicts_a_step_of_gradient_descent():
    """r moves by -2 α K r, to first order in the rate α."""
    objective, rate = made("poisson_1d"), 1e-9
    theta = objective.model.init(0).double()
    n = {name: torch.arange(r.shape[1]) for name, r in objective.residuals(theta[None]).items()}
    jacobian = residual_jacobian(objective, theta, n)
    before = scaled(objective, theta)
    after = scaled(objective, theta - rate * objective.value_and_gradient(theta[None])[1][0])
    expected = -2 * jacobian @ (jacobian.T @ before)
    assert torch.allclose((after - before) / rate, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_small_eigenvalues_are_exact_down_to_the_floor():
    """A Jacobian of known singular values over ten decades: those of its kernel span twenty."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, 11, generator=generator, dtype=torch.float64)).Q for n in (20, 300))
    wanted = torch.logspace(0, -10, 11, dtype=torch.float64)
    values, floor = spectrum(left * wanted @ right.T)
    np.testing.assert_allclose(values[:11].sqrt(), wanted, rtol=1e-4)
    assert (values[11:] < floor).all() and floor < 1e-20 < 1.01 * float(values[10])


def test_some_points_estimate_the_kernel_of_all():
    objective = made("regression", n=200, width=20)
    given = ends(objective)
    all_, some = (NTK(points=n).compute(objective, **given).numbers for n in (200, 80))
    assert (all_["residuals"], some["residuals"]) == (200, 80)
    assert some["trace_initial"] == pytest.approx(all_["trace_initial"], rel=0.1)
    assert some["lambda_max_initial"] == pytest.approx(all_["lambda_max_initial"], rel=0.1)
    assert some["drift"] == pytest.approx(all_["drift"], rel=0.2)


def test_a_kernel_too_large_for_memory_is_refused_before_it_is_made(monkeypatch):
    objective = made("regression")
    monkeypatch.setattr(memory, "free", lambda device: 1000)
    with pytest.raises(BadRequest, match="12 residuals and 118 parameters needs .* ask for fewer points"):
        NTK().compute(objective, **ends(objective))


def test_a_diverged_run_has_no_kernel():
    objective = made("regression")
    given = ends(objective)
    given["theta_final"][3] = torch.nan
    with pytest.raises(BadRequest, match="diverged"):
        NTK().compute(objective, **given)
