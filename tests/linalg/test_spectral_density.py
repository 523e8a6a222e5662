import pytest
import torch

from sciml_backend.linalg.probes import gaussian, rademacher
from sciml_backend.linalg.spectral_density import (
    density,
    from_symlog,
    noise_floor,
    spectral_measure,
    symlog_grid,
    to_symlog,
)

SIZE = 300


def dense(eigenvalues: torch.Tensor) -> torch.Tensor:
    rotation = torch.linalg.qr(gaussian(SIZE, eigenvalues, generator=torch.Generator().manual_seed(0))).Q
    return (rotation * eigenvalues) @ rotation.T


def network_like() -> torch.Tensor:
    """Most eigenvalues are zero, a tenth are clearly positive, five per cent clearly negative."""
    exact = torch.zeros(SIZE, dtype=torch.float64)
    exact[:30] = torch.logspace(0, 3, 30, dtype=torch.float64)
    exact[30:45] = -torch.logspace(-2, 0, 15, dtype=torch.float64)
    return exact


def probes(count: int) -> torch.Tensor:
    return rademacher(count, torch.zeros(SIZE, dtype=torch.float64), generator=torch.Generator().manual_seed(1))


def test_shares_and_mean_are_those_of_the_dense_matrix():
    exact = network_like()
    matrix = dense(exact)
    measure = spectral_measure(lambda v: v @ matrix, probes(40), steps=60)
    floor = noise_floor(measure)
    assert floor < 1e-3
    for sign, share in ((-1, 15 / SIZE), (1, 30 / SIZE)):
        found = measure.share(sign * measure.nodes > floor)
        assert abs(float(found.mean()) - share) < 3 * float(found.std()) / 40**0.5
    error = 3 * float(measure.mean().std()) / 40**0.5
    assert abs(float(measure.mean().mean()) - float(exact.mean())) < error


def test_rounding_noise_has_no_sign():
    exact = network_like().clamp_min(0)
    matrix = dense(exact).float()
    measure = spectral_measure(lambda v: v @ matrix, probes(5).float(), steps=80)
    assert measure.share(measure.nodes < 0).mean() > 0.01  # what a count of negative nodes would claim
    assert measure.share(measure.nodes < -noise_floor(measure)).mean() == 0


def test_the_floor_shows_that_start_vectors_disagree():
    exact = torch.linspace(1, 2, SIZE, dtype=torch.float64)
    starts = gaussian(4, exact, generator=torch.Generator().manual_seed(2))
    measure = spectral_measure(lambda v: exact * v, starts, steps=2)
    lowest = measure.nodes[:, 0]
    assert noise_floor(measure) >= float(lowest.max() - lowest.min()) > 0


def test_density_integrates_to_one_and_follows_a_histogram():
    exact = network_like()
    matrix = dense(exact)
    measure = spectral_measure(lambda v: v @ matrix, probes(40), steps=100)
    grid = symlog_grid(-1.0, 1000.0, threshold=1e-4, points=2001, margin=0.5)
    curve = density(measure, grid, threshold=1e-4, width=0.1)
    decades = to_symlog(grid, threshold=1e-4)
    assert float(torch.trapezoid(curve, decades)) == pytest.approx(1, abs=1e-6)
    above_ten = torch.trapezoid(torch.where(grid > 10, curve, 0.0), decades)
    assert float(above_ten) == pytest.approx(float((exact > 10).sum()) / SIZE, abs=0.01)


def test_symlog_round_trip():
    values = torch.tensor([-1e4, -1e-7, 0, 3e-5, 2.0, 1e6], dtype=torch.float64)
    assert torch.allclose(from_symlog(to_symlog(values, threshold=1e-4), threshold=1e-4), values, rtol=1e-10)


def test_a_probe_of_an_exhausted_space_has_no_weightless_nan_in_the_density():
    measure = spectral_measure(lambda v: 2 * v, probes(3), steps=5)
    assert measure.nodes[:, 1:].isnan().all()
    assert torch.allclose(measure.mean(), torch.full((3,), 2.0, dtype=torch.float64))
    assert density(measure, torch.linspace(0, 3, 5, dtype=torch.float64), threshold=0.1, width=0.1).isfinite().all()
