"""The Fourier neural operator beside the textbook's, beside a computation by hand, and on several grids."""

from __future__ import annotations

from math import cos, pi, sin

import pytest
import torch
from torch import Tensor

from sciml_backend.benchmarks.textbook import TextbookFNO
from sciml_backend.models.fno import FNO
from sciml_backend.run import BadRequest

SMALL = FNO(modes=3, width=16, layers=3, projection=32, second_projection=16, inputs=2, outputs=2)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def weights(model: FNO, *seeds: int) -> Tensor:
    """Rows of theta whose spectral part counts: the usual start is too near zero to see it."""
    theta = torch.stack([model.init(seed) for seed in seeds]).double()
    for block in model.layout:
        if block.name.startswith("spectral"):
            theta[:, block.slice] = (theta[:, block.slice] * model.width**2 - 0.5) * 2 * model.width**-0.5
    return theta


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def test_the_published_network_has_1050321_parameters():
    assert FNO().parameters == 1_050_321
    assert FNO().layout[-1].slice.stop == sum(b.slice.stop - b.slice.start for b in FNO().layout)


def test_initial_weights_are_uniform_as_published():
    model = FNO(modes=4)
    theta = torch.stack([model.init(seed) for seed in range(20)])
    assert theta.dtype == torch.float32 and torch.equal(theta[3], model.init(3))
    for block in model.layout:
        values = theta[:, block.slice] * (256 if "spectral" in block.name else 1)
        if "spectral" in block.name:
            assert 0 <= float(values.min()) < 0.01 and 0.99 < float(values.max()) < 1
        elif block.shape[-1] != 1:  # of one number, twenty draws say little of its bounds
            fan_in = {"lifting": 4, "local": 16, "projection_0": 16, "projection_1": 32}
            bound = next(n for name, n in fan_in.items() if block.name.startswith(name)) ** -0.5
            assert 0.75 * bound < float(values.max()) <= bound and -bound <= float(values.min()) < -0.75 * bound


@pytest.mark.parametrize("model", [SMALL, FNO(modes=4, width=8)])
@pytest.mark.parametrize("grid", [(8, 8), (12, 9), (11, 16)])
def test_outputs_are_the_textbooks(model, grid):
    theta, fields = weights(model, 1), drawn(3, model.inputs, *grid)
    wanted = TextbookFNO(model, theta[0])(fields).detach()
    assert relative(model.apply(theta, fields)[0], wanted) < 1e-12


def test_the_gradient_is_the_textbooks():
    theta, fields = weights(SMALL, 1).requires_grad_(), drawn(3, 2, 9, 10)
    (found,) = torch.autograd.grad(SMALL.apply(theta, fields).square().sum(), theta)
    textbook = TextbookFNO(SMALL, theta.detach()[0])
    textbook(fields).square().sum().backward()
    assert relative(found[0], textbook.gradient()) < 1e-12


def linear(model: FNO, **blocks: Tensor) -> Tensor:
    """A row of theta that is zero but for some blocks."""
    theta = torch.zeros(1, model.parameters, dtype=torch.float64)
    for block in model.layout:
        if block.name in blocks:
            theta[:, block.slice] = blocks[block.name].reshape(-1).double()
    return theta


@pytest.mark.parametrize(("k", "l"), [(2, 1), (-1, 2), (0, 0), (-3, 1), (1, 0)])
def test_one_mode_by_hand(k: int, l: int) -> None:  # noqa: E741
    """A wave cos(kx + ly) comes back turned and scaled by its own weight, r e^{ip}; here GELU sees 20 times one."""
    model, r, p = FNO(modes=3, width=1, layers=1, projection=1, inputs=1), 0.7, 0.4
    spectral = torch.zeros(2, 3, 3, 1, 2, 1, dtype=torch.float64)
    at = (0, k, l) if k >= 0 else (1, 3 + k, l)
    spectral[at] = torch.tensor([[[r * cos(p)], [r * sin(p)]]], dtype=torch.float64)
    theta = linear(
        model,
        lifting_weight=torch.ones(1),
        spectral_0=spectral,
        projection_0_weight=torch.ones(1),
        projection_0_bias=torch.tensor([20.0]),  # gelu(20 + z) = 20 + z
        projection_1_weight=torch.ones(1),
        projection_1_bias=torch.tensor([-20.0]),
    )
    x, y = torch.arange(8).double()[:, None] * (2 * pi / 8), torch.arange(10).double() * (2 * pi / 10)
    wave = k * x + l * y
    wanted = r * torch.cos(wave + p) * (1 if l else 0.5) if (k, l) != (0, 0) else r * torch.cos(p + wave)
    assert (model.apply(theta, wave.cos()[None, None])[0, 0, 0] - wanted).abs().max() < 1e-12


def test_a_layer_does_the_same_on_every_grid_that_resolves_its_input():
    """Band-limited fields, and no activation between: the values at common points are those of one function."""
    model = FNO(modes=4, width=5, layers=1, projection=3, inputs=2)
    theta, found = weights(model, 0), []
    amplitude, phase = drawn(2, 5, 5), drawn(2, 5, 5, seed=1)
    for n in (12, 24, 60):
        x = torch.arange(n).double() * (2 * pi / n)
        k = torch.arange(-2, 3).double()
        angle = k[:, None, None, None] * x[:, None] + k[None, :, None, None] * x + phase[..., None, None]
        fields = (amplitude[..., None, None] * angle.cos()).sum((1, 2))
        found.append(model.apply(theta, fields[None])[..., :: n // 12, :: n // 12])
    assert max(relative(finer, found[0]) for finer in found[1:]) < 1e-12


def test_hessian_products_are_differences_of_gradients():
    model = FNO(modes=2, width=4, layers=2, projection=5, inputs=2)
    fields, direction = drawn(2, 2, 6, 7), drawn(1, model.parameters, seed=2)

    def gradient(theta: Tensor, graph: bool = False) -> Tensor:
        theta = theta if graph else theta.detach().requires_grad_()
        return torch.autograd.grad(model.apply(theta, fields).square().mean(), theta, create_graph=graph)[0]

    theta, step = weights(model, 0).requires_grad_(), 1e-5
    (product,) = torch.autograd.grad((gradient(theta, graph=True) * direction).sum(), theta)
    difference = (gradient(theta + step * direction) - gradient(theta - step * direction)) / (2 * step)
    assert relative(product, difference) < 1e-7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rows_bits_are_its_own(dtype):
    theta, fields = weights(SMALL, 0, 1, 2).to(dtype), drawn(3, 2, 2, 8, 8).to(dtype)
    together = SMALL.apply(theta, fields)
    assert together.shape == (3, 2, 2, 8, 8) and together.dtype == dtype
    for row in range(3):
        assert torch.equal(together[row], SMALL.apply(theta[row : row + 1].clone(), fields[row])[0])


def test_a_grid_without_the_kept_frequencies_is_refused():
    with pytest.raises(BadRequest, match="16 modes needs at least 32 grid points a side, got 32 x 31"):
        FNO().apply(FNO().init(0)[None], torch.zeros(1, 4, 32, 31))
    with pytest.raises(BadRequest, match="got layers=0"):
        FNO(layers=0)
