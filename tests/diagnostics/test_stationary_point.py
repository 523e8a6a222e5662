"""The report of a stationary point against the exact Hessian, and on the ends of Newton's method and of a cure."""

import numpy as np
import pytest
import torch

from sciml_backend.diagnostics.stationary_point import StationaryPoint
from sciml_backend.plan import plan
from sciml_backend.run import BadRequest, MapName
from sciml_backend.sweep import diagnose, from_bytes, initial_weights, objective_of, train


def spec_of(strategy, **model):
    (spec,) = plan(
        MapName.parse(f"pinn/convection/{strategy}@float64"), coefficients={"beta": [5]}, data=[60], model=model
    )
    return spec


def test_the_eigenvalues_are_the_exact_hessians():
    spec = spec_of("lbfgs", width=6, depth=2)
    objective, theta = objective_of([spec]), initial_weights([spec])
    units = torch.eye(theta.shape[1], dtype=torch.float64)
    exact = torch.cat([objective.hessian_times(theta, unit[None]) for unit in units])
    expected = torch.linalg.eigvalsh(exact).numpy()
    found = StationaryPoint(floor=1e-4).compute(objective, theta_initial=theta[0], theta_final=theta[0])
    assert np.allclose(found.arrays["eigenvalues"], expected, atol=1e-8 * expected[-1])
    floor = 1e-4 * np.abs(expected).max()
    assert np.abs(np.abs(expected) - floor).min() > 1e-2 * floor  # no eigenvalue sits at the floor itself
    assert found.numbers["negative"] == (expected < -floor).sum()
    assert found.numbers["negative"] + found.numbers["vanishing"] + found.numbers["positive"] == len(expected)
    columns = [objective.residual_jvp(theta, unit[None]) for unit in units]
    residuals = objective.residuals(theta)
    scaled = torch.cat([residuals[k][0] / residuals[k].shape[1] ** 0.5 for k in residuals])
    jacobian = torch.stack([torch.cat([c[k][0] / c[k].shape[1] ** 0.5 for k in c]) for c in columns], 1)
    fitted = jacobian @ torch.linalg.lstsq(jacobian, scaled[:, None], rcond=1e-2, driver="gelsd").solution
    share = float((fitted**2).sum() / (scaled**2).sum())
    assert found.numbers["reachable"] == pytest.approx(share, rel=1e-3)


def test_newton_ends_at_the_trivial_saddle_and_gauss_newton_far_from_it():
    reports = {}
    for strategy in ("newton", "gauss_newton"):
        spec = spec_of(strategy, width=10, depth=2)
        (record,) = [r for records in train([spec]) for r in records]
        reports[strategy] = diagnose(
            spec, "stationary_point", theta_initial=record.theta_initial, theta_final=record.theta_final
        ).numbers
        assert from_bytes(record.theta_final, "float64").shape == (151,)
    saddle, solved = reports["newton"], reports["gauss_newton"]
    assert saddle["negative"] > 0 and saddle["output"] < 0.02 and saddle["gradient_norm"] < 1e-4
    assert solved["output"] == pytest.approx(1.0, abs=0.1) and solved["loss"] < 1e-3 * saddle["loss"]


def test_what_does_not_fit_is_refused(monkeypatch):
    spec = spec_of("lbfgs")
    theta = initial_weights([spec])[0]
    monkeypatch.setattr("sciml_backend.memory.free", lambda device: 2**30)
    with pytest.raises(BadRequest, match="Hessian of 5,301 parameters needs 1.0 GiB, more than half of the 1.0 GiB"):
        StationaryPoint().compute(objective_of([spec]), theta_initial=theta, theta_final=theta)
    with pytest.raises(BadRequest, match="at must be initial or final"):
        StationaryPoint(at="middle")
