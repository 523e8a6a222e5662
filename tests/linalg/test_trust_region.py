"""Steps within a ball against many points of it, the hard case included."""

import numpy as np
import pytest
import torch

from sciml_backend.linalg.symmetric import eigen
from sciml_backend.linalg.trust_region import lowest_within


def model(values, slope, p):
    return slope @ p + 0.5 * p @ (values * p)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("radius", [1e-3, 0.3, 10.0])
@pytest.mark.parametrize("lowest", [-2.0, -1e-9, 0.0, 0.5])
def test_no_point_of_the_ball_is_lower(seed, radius, lowest):
    rng = np.random.default_rng(seed)
    values = np.sort(np.append(rng.uniform(lowest, 5, 5), lowest))
    slope = rng.normal(size=6)
    if seed % 2:
        slope[0] = 0.0  # the hard case where the rest is short enough
    p = lowest_within(values, slope, radius)
    assert np.linalg.norm(p) <= radius * (1 + 1e-6)
    others = rng.normal(size=(4000, 6))
    others *= radius * rng.uniform(0, 1, (4000, 1)) ** (1 / 6) / np.linalg.norm(others, axis=1, keepdims=True)
    on_border = others / np.linalg.norm(others, axis=1, keepdims=True) * radius
    best = min(model(values, slope, q) for q in np.vstack([others, on_border, p * (1 - 1e-4)]))
    assert model(values, slope, p) <= best + 1e-9 * (1 + abs(best))
    shift = -(values * p + slope) @ p / (p @ p)  # (H + shift) p = -g, shift >= 0, H + shift >= 0: a certificate
    assert np.allclose((values + shift) * p, -slope, rtol=1e-5, atol=1e-6 * np.abs(slope).max())
    assert shift >= -1e-6 and (values + shift).min() >= -1e-6


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e3])
@pytest.mark.parametrize("part", [1e-18, 1e-12, 1e-3, 1.0])
def test_a_bounded_step_is_as_long_as_the_radius_at_any_scale_and_however_near_the_hard_case_is(scale, part):
    rng = np.random.default_rng(1)
    for radius in (1e-6, 1e-2, 1.0, 100.0):
        values = scale * np.sort(rng.normal(size=9))
        slope = 1e-4 * scale * rng.normal(size=9)
        slope[0] *= part  # along the lowest eigenvector, where a step must go
        p = lowest_within(values, slope, radius)
        assert np.linalg.norm(p) == pytest.approx(radius, rel=1e-9)
        shift = -slope[1:] / p[1:] - values[1:]
        assert np.allclose(shift, shift[0], rtol=1e-6, atol=1e-6 * scale) and shift[0] >= -values[0] - 1e-6 * scale


def test_nothing_is_gained_along_a_flat_direction_so_no_step_goes_there():
    assert np.array_equal(lowest_within(np.array([0.0, 2.0]), np.array([0.0, 1.0]), 10.0), [0.0, -0.5])


def test_a_matrix_is_its_eigenvectors_and_a_broken_one_leaves_the_others_alone():
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, 7, 7, generator=generator, dtype=torch.float64)
    matrices = matrices + matrices.mT
    v = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    found = eigen(matrices)
    rebuilt = found.combined(found.values * found.components(v))
    assert torch.allclose(rebuilt, torch.einsum("bij,bj->bi", matrices, v), atol=1e-12)
    matrices[1, 0, 0] = torch.nan
    spoiled = eigen(matrices)
    assert spoiled.values[1].isnan().all() and torch.equal(spoiled.values[[0, 2]], found.values[[0, 2]])
