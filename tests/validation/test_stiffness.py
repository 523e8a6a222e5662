"""Curvature against frequency: an operator of order p multiplies the loss's curvature by ω^{2p}.

Kopaničáková and Riccietti (2026), arXiv:2601.10222. Networks fitted to sin ωπx are put under the losses
mean (∂^p u - ∂^p sin ωπx)² of p = 0 (regression), 1, 2 and 4, without boundary terms, in float64. Minutes on one core.
"""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from torch import Tensor

from sciml_backend.engine.train import train
from sciml_backend.equation import Coefficient, Equation, Field, Interval, Point, Term
from sciml_backend.linalg.lanczos import lanczos
from sciml_backend.linalg.probes import gaussian
from sciml_backend.models.mlp import MLP
from sciml_backend.objectives.physics import Physics
from sciml_backend.schedule import build

ORDERS = (0, 1, 2, 4)
OMEGAS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
SEEDS = range(10)
MODEL = MLP(width=50, depth=2, inputs=1)
SAMPLES = 200


class Operator(Equation):
    """∂^p u = ∂^p sin ωπx, with no conditions."""

    label, equation = "operator", ""
    domain, data_axis = Interval.domain, Interval.data_axis
    coefficients = (Coefficient(name="omega", label="ω", low=0.0, high=100.0, axis=OMEGAS),)

    def __init__(self, order: int):
        self.order = order

    def terms(self) -> tuple[Term, ...]:
        return (Term("residual", ("interior",), self.residual),)

    def residual(self, u: Field, c: Point) -> Any:
        k = c["omega"] * pi
        found = u.apply(**{"x" * self.order: 1.0}) if self.order else u.value
        return found - k**self.order * torch.sin(k * u.at["x"] + self.order * pi / 2)

    def exact(self, at: Any, c: Any) -> Any:
        return np.sin(c["omega"] * pi * at["x"])


def loss(order: int, omega: float) -> Physics:
    problem = Operator(order)
    points = problem.points(SAMPLES, data_seed=0)
    return Physics(problem, MODEL, coefficients={"omega": [omega]}, points=points, dtype=torch.float64)


def fitted(omega: float, seed: int) -> Tensor:
    """A network that was fitted to sin ωπx."""
    objective = loss(0, omega)
    (outcome,) = train(objective, build("lbfgs", {"max_epochs": 60}), MODEL.init(seed).double()[None])
    assert float(objective.value(outcome.theta[None])) < 1e-3
    return outcome.theta


def sharpness(theta: Tensor, order: int, omega: float) -> float:
    """λmax of the loss's Hessian."""
    objective = loss(order, omega)
    start = gaussian(1, theta, generator=torch.Generator().manual_seed(0))
    krylov = lanczos(lambda v: objective.hessian_times(theta[None], v), start, steps=20)
    return float(krylov.ritz_values[0, int(krylov.steps) - 1])


def along_the_mode(theta: Tensor, order: int, omega: float) -> float:
    """eᵀKe: the kernel K = JJᵀ along the operator's sine e, the rate at which gradient descent shrinks that error."""
    objective = loss(order, omega)
    x = torch.as_tensor(objective.points["interior"])[:, 0]
    mode = torch.sin(omega * pi * x + order * pi / 2)
    w = mode / mode.norm() / SAMPLES**0.5
    return float(objective.residual_vjp(theta[None], {"residual": w[None]}).square().sum())


def test_curvature_grows_like_the_frequency_to_twice_the_order() -> None:
    theta = {(seed, omega): fitted(omega, seed) for seed in SEEDS for omega in OMEGAS}
    found: dict[tuple[str, int], np.ndarray] = {}
    print()
    for measure in (sharpness, along_the_mode):
        for p in ORDERS:
            values = [[measure(theta[seed, omega], p, omega) for omega in OMEGAS] for seed in SEEDS]
            slopes = np.polyfit(np.log(OMEGAS), np.log(values).T, 1)[0]
            found[measure.__name__, p] = slopes
            print(f"{measure.__name__}, p = {p}: exponent {mean(slopes)}")
    for p in (2, 4):
        assert found["along_the_mode", p].mean() == pytest.approx(2 * p, rel=0.15)
        beyond = found["sharpness", p] - found["sharpness", 1]
        print(f"sharpness, p = {p} beyond p = 1: {mean(beyond)}")
        assert beyond.mean() == pytest.approx(2 * (p - 1), rel=0.15)


def mean(values: np.ndarray) -> str:
    """The mean with its 95 % confidence interval over the seeds."""
    error = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.2f} ± {error:.2f}"
