"""The splitting solver against equations with known solutions."""

from __future__ import annotations

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


def test_steep_fronts_get_more_modes() -> None:
    def solve(modes: int) -> np.ndarray:
        return periodic_splitting(
            lambda x: np.exp(-2 * (x - np.pi) ** 2),
            pointwise=lambda u, dt: u * np.exp(100 * dt) / (u * np.exp(100 * dt) + 1 - u),
            diffusivity=0.01,
            x=X,
            t=np.linspace(0, 1, 11),
            length=2 * np.pi,
            modes=modes,
        )

    few, many = solve(32), solve(1024)
    assert np.linalg.norm(few - many) <= 4e-6 * np.linalg.norm(many)


def test_the_splitting_is_refined_to_its_tolerance() -> None:
    """Fisher's equation: answers at a tight and a loose tolerance differ by the loose one at most."""

    def solve(tolerance: float) -> np.ndarray:
        return periodic_splitting(
            lambda x: np.exp(-2 * (x - np.pi) ** 2),
            pointwise=lambda u, dt: u * np.exp(10 * dt) / (u * np.exp(10 * dt) + 1 - u),
            diffusivity=2.0,
            x=X,
            t=T,
            length=2 * np.pi,
            tolerance=tolerance,
        )

    fine, coarse = solve(1e-7), solve(1e-4)
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
