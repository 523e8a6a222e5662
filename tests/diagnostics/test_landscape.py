import numpy as np
import pytest
import torch

from sciml_backend.diagnostics.landscape import Landscape, rescaled
from sciml_backend.model import Block
from sciml_backend.models.fno import FNO
from sciml_backend.run import BadRequest


class Bowl:
    """sum_i c_i theta_i^2 / 2 + 1, whose Hessian is diag(c)."""

    layout = [Block("w", slice(0, 4), (2, 2)), Block("b", slice(4, 6), (2,))]
    curvature = torch.tensor([4.0, 1.0, 0.5, 0.2, 9.0, 0.1], dtype=torch.float64)

    def value(self, theta):
        return (self.curvature * theta.square()).sum(dim=1) / 2 + 1

    def hessian_times(self, theta, v):
        return self.curvature * v


def at(theta: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"theta_initial": theta, "theta_final": theta}


def test_plane_of_a_bowl_is_known():
    zero = torch.zeros(6, dtype=torch.float64)
    found = Landscape(normalise="none", points=5, radius=1.0).compute(Bowl(), **at(zero))
    first, second = np.meshgrid(found.arrays["first"], found.arrays["second"], indexing="ij")
    np.testing.assert_allclose(10 ** found.arrays["log10_loss"], 1 + 4.5 * first**2 + 2 * second**2, rtol=1e-12)
    assert found.numbers["curvature_first"] == pytest.approx(9) and found.numbers["curvature_second"] == pytest.approx(
        4
    )
    assert found.numbers["loss"] == found.numbers["lowest"] == 1


@pytest.mark.parametrize("directions", ["eigenvectors", "random"])
def test_the_centre_is_the_run(objective, run, directions):
    found = Landscape(directions=directions, points=5).compute(objective, **run)
    exact = float(objective.loss(run["theta_final"]))
    assert found.numbers["loss"] == pytest.approx(exact, rel=1e-12)
    assert found.arrays["log10_loss"][2, 2] == pytest.approx(np.log10(exact), rel=1e-12)
    assert found.arrays["log10_loss"].shape == (5, 5)


def test_each_filter_gets_the_norm_of_the_weights(objective, run):
    theta = run["theta_final"]
    directions = torch.randn(2, objective.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    directions[0, objective.layout[2].slice] = 0  # a direction that leaves one layer alone
    result = rescaled(directions, theta, layout=objective.layout, normalise="filter")
    for index, block in enumerate(objective.layout):
        place, rows = block.slice, block.shape[0] if len(block.shape) == 2 else 1
        weights = theta[place].reshape(rows, -1).norm(dim=1)
        assert torch.allclose(result[1, place].reshape(rows, -1).norm(dim=1), weights)
        expected = torch.zeros_like(weights) if index == 2 else weights
        assert torch.allclose(result[0, place].reshape(rows, -1).norm(dim=1), expected)


def test_a_filter_of_a_fourier_layer_is_an_output_channel():
    model = FNO(modes=2, width=3, layers=1, projection=2)
    generator = torch.Generator().manual_seed(0)
    theta, *directions = (torch.randn(model.parameters, generator=generator) for _ in range(3))
    result = rescaled(torch.stack(directions), theta, layout=model.layout, normalise="filter")
    (spectral,) = (block for block in model.layout if block.name.startswith("spectral"))
    wanted = theta[spectral.slice].unflatten(0, spectral.shape).flatten(0, -2).norm(dim=0)
    for row, direction in zip(result, directions, strict=True):
        found, before = (part[spectral.slice].unflatten(0, spectral.shape).flatten(0, -2) for part in (row, direction))
        assert torch.allclose(found.norm(dim=0), wanted)
        assert torch.allclose(found / found.norm(dim=0), before / before.norm(dim=0), atol=1e-6)


def test_tensor_wise_keeps_the_direction_within_a_tensor(objective, run):
    theta = run["theta_final"]
    direction = torch.randn(1, objective.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    result = rescaled(direction, theta, layout=objective.layout, normalise="tensor")
    for block in objective.layout:
        place = block.slice
        ratio = result[0, place] / direction[0, place]
        assert torch.allclose(ratio, ratio[0].expand_as(ratio))
        assert torch.allclose(result[0, place].norm(), theta[place].norm())


def test_overflow_is_a_hole_and_not_a_value():
    huge = torch.full((6,), 1e153, dtype=torch.float64)
    found = Landscape(directions="random", points=5, radius=100.0).compute(Bowl(), **at(huge))
    logarithm = found.arrays["log10_loss"]
    assert np.isnan(logarithm).any() and np.isfinite(logarithm[2, 2])
    assert not np.isinf(logarithm).any()


@pytest.mark.parametrize(
    ("setting", "message"), [({"points": 50}, "odd"), ({"radius": 0.0}, "positive"), ({"normalise": "max"}, "filter")]
)
def test_settings_that_make_no_plane_are_refused(setting, message):
    with pytest.raises(BadRequest, match=message):
        Landscape(**setting)
