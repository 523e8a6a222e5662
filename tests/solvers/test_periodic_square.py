"""Constant coefficients on the periodic square: manufactured solutions, and the sources."""

from __future__ import annotations

import numpy as np
import pytest

from sciml_backend.solvers.periodic_square import bumps, solve, tensor, terms

SIDE = 32
X, Y = np.meshgrid(np.arange(SIDE) / SIDE, np.arange(SIDE) / SIDE)  # y along the first axis
TAU = 2 * np.pi
DIFFUSION = tensor(np.array([7.0, 1.0]), np.array([0.6, 2.0]))
VELOCITY = np.array([[0.3, -1.1], [0.0, 0.0]])


def exact() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """u = cos(2π(2x + 3y)) + sin(2π(x - y)) with -div(K grad u) and v · grad u, by hand, for both samples."""
    u, diffused, advected = np.zeros((3, 2, SIDE, SIDE))
    waves = ((2, 3, np.cos, lambda s: -np.sin(s)), (1, -1, np.sin, np.cos))
    for i, ((k11, k22, k12), (v1, v2)) in enumerate(zip(DIFFUSION, VELOCITY, strict=True)):
        for p, q, function, slope in waves:
            phase = TAU * (p * X + q * Y)
            u[i] += function(phase)
            diffused[i] += TAU**2 * (k11 * p * p + k22 * q * q + 2 * k12 * p * q) * function(phase)
            advected[i] += TAU * (v1 * p + v2 * q) * slope(phase)
    return u, diffused, advected


def test_a_manufactured_solution_comes_back() -> None:
    u, diffused, advected = exact()
    assert abs(solve(diffused + advected, diffusion=DIFFUSION, velocity=VELOCITY) - u).max() < 1e-10
    assert abs(solve(diffused + 5.0, diffusion=DIFFUSION) - u).max() < 1e-10, "the mean of the source is dropped"


def test_the_terms_are_the_equations() -> None:
    u, diffused, advected = exact()
    found = terms(u, diffusion=DIFFUSION, velocity=VELOCITY)
    assert abs(found[0] - diffused).max() < 1e-9 and abs(found[1] - advected).max() < 1e-10


def test_any_source_on_the_grid_is_solved() -> None:
    """The highest wave numbers as well."""
    source = np.random.default_rng(0).standard_normal((2, SIDE, SIDE))
    source -= source.mean(axis=(1, 2), keepdims=True)
    u = solve(source, diffusion=DIFFUSION, velocity=VELOCITY)
    diffused, advected = terms(u, diffusion=DIFFUSION, velocity=VELOCITY)
    assert abs(diffused + advected - source).max() < 1e-10
    assert abs(u.mean(axis=(1, 2))).max() < 1e-14


def test_scaling_source_and_coefficients_together_leaves_the_solution() -> None:
    _, diffused, advected = exact()
    source = diffused + advected
    once = solve(source, diffusion=DIFFUSION, velocity=VELOCITY)
    assert np.allclose(solve(3 * source, diffusion=3 * DIFFUSION, velocity=3 * VELOCITY), once, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 0.4, 4.0])
def test_a_tensor_has_the_eigenvalues_asked_for(angle: float) -> None:
    k11, k22, k12 = tensor(np.array([9.0]), np.array([angle]))[0]
    matrix = np.array([[k11, k12], [k12, k22]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert np.allclose(matrix, turn.T @ np.diag([1, 9]) @ turn)


def test_bumps_stand_where_they_should() -> None:
    heights = np.zeros((1, 12, 12))
    heights[0, 2, 7] = 0.5  # third row along y, eighth along x
    field = bumps(heights, side=128, width=1 / 32, spacing=1 / 16)[0]
    cx, cy = 0.5 + (7 - 5.5) / 16, 0.5 + (2 - 5.5) / 16
    x, y = np.meshgrid(np.arange(128) / 128, np.arange(128) / 128)
    assert np.allclose(field, 0.5 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 / 32**2)), atol=1e-15)
