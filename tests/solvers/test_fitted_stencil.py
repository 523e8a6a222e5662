"""Stencils that know a rough coefficient: the sampled solution satisfies them, and they have no other solution."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from sciml_backend.solvers.finite_difference import solve
from sciml_backend.solvers.fitted_stencil import fitted_stencils
from sciml_backend.solvers.gaussian_field import gaussian_field

STEP, COARSE = 7, 13


def two_materials(contrast: float) -> np.ndarray:
    side = STEP * (COARSE - 1) + 1
    noise = np.random.default_rng(1).standard_normal((1, side, side // 2 + 1, 2)) @ [1, 1j]
    return np.where(gaussian_field(noise, tau=3, alpha=2)[0] >= 0, 3 * contrast, 3.0)


def matrix(weights: np.ndarray) -> sp.csc_matrix:
    """The linear system of all stencils in the nodes inside, u = 0 on the border."""
    m = weights.shape[1]
    node = np.pad(np.arange(m * m).reshape(m, m), 1, constant_values=-1)
    rows, columns, data = [], [], []
    for k, w in enumerate(weights):
        to = node[k // 3 : k // 3 + m, k % 3 : k % 3 + m]
        rows.append(node[1:-1, 1:-1][to >= 0])
        columns.append(to[to >= 0])
        data.append(w[to >= 0])
    places = (np.concatenate(rows), np.concatenate(columns))
    return sp.csc_matrix((np.concatenate(data), places), shape=(m * m, m * m))


@pytest.mark.parametrize(("contrast", "residual", "error"), [(1, 1e-3, 1e-3), (2, 2e-3, 2e-3), (10, 1e-2, 5e-3)])
def test_the_sampled_solution_satisfies_them_and_follows_from_them(
    contrast: float, residual: float, error: float
) -> None:
    a = two_materials(contrast)
    inside = solve(a)[::STEP, ::STEP][1:-1, 1:-1].ravel()
    system = matrix(fitted_stencils(a, step=STEP))
    assert np.sqrt(np.mean((system @ inside - 1) ** 2)) < residual
    follows = spsolve(system, np.ones(len(inside)))
    assert np.linalg.norm(follows - inside) < error * np.linalg.norm(inside)


def test_a_turned_coefficient_has_turned_stencils() -> None:
    """All four sides of a patch and of the domain are treated alike, and rounding does not reach the weights."""
    a = two_materials(4)
    weights = fitted_stencils(a, step=STEP)
    m = weights.shape[1]
    turned = fitted_stencils(np.rot90(a).copy(), step=STEP).reshape(3, 3, m, m)
    expected = np.rot90(np.rot90(weights.reshape(3, 3, m, m), axes=(0, 1)), axes=(2, 3))
    assert abs(turned - expected).max() < 1e-9 * abs(weights).max()


def test_constants_are_no_source_away_from_the_border() -> None:
    weights = fitted_stencils(two_materials(4), step=STEP)
    far = weights[:, 3:-3, 3:-3]
    assert abs(far.sum(axis=0)).max() < 1e-5 * abs(far).max()
