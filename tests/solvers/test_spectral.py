"""The splitting solver against equations with known solutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sciml_backend.solvers.spectral import periodic_splitting

X = np.linspace(0.1, 6.0, 17)
T = np.array([0.0, 0.3, 1.0])


def test_pure_diffusion_is_exact() -> None:
    u = periodic_splitting(np.cos, pointwise=lambda u, dt: u, diffusivity=0.7, x=X, t=T, length=2 * np.pi)
    assert np.allclose(u, np.exp(-0.7 * T)[:, None] * np.cos(X)[None], atol=1e-12)


def test_growth_and_diffusion_of_a_mode() -> None:
    u = periodic_splitting(
        lambda x: np.cos(3 * x),
        pointwise=lambda u, dt: u * np.exp(2 * dt),
        diffusivity=0.5,
        x=X,
        t=T,
        length=2 * np.pi,
    )
    assert np.allclose(u, np.exp((2 - 0.5 * 9) * T)[:, None] * np.cos(3 * X)[None], atol=1e-11)


def fisher(growth: float, diffusivity: float, **options: Any) -> np.ndarray:
    """Fisher's equation from a Gaussian."""
    return periodic_splitting(
        lambda x: np.exp(-2 * (x - np.pi) ** 2),
        pointwise=lambda u, dt: u * np.exp(growth * dt) / (u * np.exp(growth * dt) + 1 - u),
        diffusivity=diffusivity,
        x=X,
        length=2 * np.pi,
        **{"t": T} | options,
    )


def test_steep_fronts_get_more_modes() -> None:
    few, many = (fisher(100, 0.01, t=np.linspace(0, 1, 11), modes=modes) for modes in (32, 1024))
    assert np.linalg.norm(few - many) <= 4e-6 * np.linalg.norm(many)


def test_the_splitting_is_refined_to_its_tolerance() -> None:
    """Answers at a tight and a loose tolerance differ by the loose one at most."""
    fine, coarse = fisher(10, 2.0, tolerance=1e-7), fisher(10, 2.0, tolerance=1e-4)
    difference = np.linalg.norm(fine - coarse) / np.linalg.norm(fine)
    assert 0 < difference < 1e-4


def test_a_hopeless_tolerance_is_said() -> None:
    with pytest.raises(ArithmeticError, match="did not settle"):
        periodic_splitting(
            lambda x: np.cos(x) ** 2 / 2,
            pointwise=lambda u, dt: u + dt * np.sin(u * 1e3),
            diffusivity=1.0,
            x=X,
            t=np.array([1e-3]),
            length=2 * np.pi,
            tolerance=1e-30,
        )
