"""Five-point differences with a coefficient that varies: second order, exact algebra, random fields."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from sciml_backend.solvers.finite_difference import conductances, outflow, solve
from sciml_backend.solvers.gaussian_field import gaussian_field


def smooth(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a = 2 + sin x cos 2y, u = sin πx sin 2πy and -div(a grad u) inside, x along the first axis."""
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    a, p = 2 + np.sin(x) * np.cos(2 * y), np.pi
    u = np.sin(p * x) * np.sin(2 * p * y)
    u_x, u_y = p * np.cos(p * x) * np.sin(2 * p * y), 2 * p * np.sin(p * x) * np.cos(2 * p * y)
    a_x, a_y = np.cos(x) * np.cos(2 * y), -2 * np.sin(x) * np.sin(2 * y)
    return a, u, (5 * p**2 * a * u - a_x * u_x - a_y * u_y)[1:-1, 1:-1]


def test_second_order_is_observed() -> None:
    errors = []
    for side in (17, 33, 65, 129):
        a, u, source = smooth(side)
        errors.append(abs(solve(a, source) - u).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(abs(orders - 2) < 0.1), orders


def two_materials(side: int, contrast: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((1, side, side // 2 + 1, 2)) @ [1, 1j]
    return np.where(gaussian_field(noise, tau=3, alpha=2)[0] >= 0, 3 * contrast, 3.0)


@pytest.mark.parametrize("contrast", [1.0, 10.0, 100.0])
def test_the_matrix_of_the_five_points_is_solved(contrast: float) -> None:
    """Beside a direct solve of the matrix, assembled face by face."""
    side, a = 43, two_materials(43, contrast)
    number = np.arange(side**2).reshape(side, side)
    below, beside = conductances(a)
    ends = [(number[1:], number[:-1], below), (number[:, 1:], number[:, :-1], beside)]
    matrix = sp.csc_matrix((side**2, side**2))
    for one, other, face in ends:
        i, j, g = one.ravel(), other.ravel(), face.ravel()
        data = np.concatenate([g, g, -g, -g])
        matrix += sp.csc_matrix((data, (np.concatenate([i, j, i, j]), np.concatenate([i, j, j, i]))), matrix.shape)
    inside = number[1:-1, 1:-1].ravel()
    direct = spsolve(matrix[inside][:, inside].tocsc(), np.ones(len(inside)))
    found = solve(a)
    assert abs(found[1:-1, 1:-1].ravel() - direct).max() < 1e-9 * direct.max()
    assert not found[[0, -1]].any() and not found[:, [0, -1]].any()
    assert abs(outflow((below, beside), found) - 1).max() < 1e-6


def test_a_coefficient_beyond_reach_is_said() -> None:
    a = 10.0 ** np.random.default_rng(0).uniform(-6, 6, (65, 65))
    with pytest.raises(ArithmeticError, match="did not settle"):
        solve(a)


@pytest.mark.parametrize("side", [32, 33])
def test_a_random_field_has_the_spectrum_asked_for(side: int) -> None:
    noise = np.random.default_rng(0).standard_normal((2000, side, side // 2 + 1, 2)) @ [1, 1j]
    spectrum = np.fft.rfft2(gaussian_field(noise, tau=3, alpha=2))
    power = (abs(spectrum) ** 2).mean(axis=0)
    assert power[0, 0] < 1e-20
    for ky, kx in ((1, 1), (0, 3), (4, 2), (-5, 3), (1, 0), (-3, 0)):
        wanted = (2 if kx else 1) * (4 * np.pi**2 * (kx**2 + ky**2) + 9) ** -2.0
        assert power[ky, kx] == pytest.approx(wanted, rel=0.1 if kx else 0.2)
