"""The Fourier neural operator beside the textbook's, beside a computation by hand, and on several grids."""

from __future__ import annotations

import platform
from dataclasses import replace
from math import cos, pi, sin

import pytest
import torch
from torch import Tensor

from sciml_backend.benchmarks.textbook import TextbookFNO
from sciml_backend.kernels import build
from sciml_backend.models.fno import FNO, FNOStepper
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


def on_grid(model: FNO, h: int, w: int, dtype: torch.dtype = torch.float64, samples: int = 2) -> FNOStepper:
    return model.on_grid(h, w, dtype=dtype, device=torch.device("cpu"), most=samples, samples=samples)


compiled = pytest.mark.skipif(build.library("fourier_operator") is None, reason="no compiler")
PAIRS = [SMALL, replace(SMALL, second_projection=0, layers=1), FNO(modes=4, width=32, inputs=3, second_projection=48)]


@compiled
@pytest.mark.parametrize("model", PAIRS)
@pytest.mark.parametrize("grid", [(8, 8), (11, 14), (16, 9)])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_kernel_does_what_plain_torch_does(model, grid, dtype, within):
    """Five samples in pieces of two, a row each with its own loss; every block's gradient by itself."""
    theta, wanted = weights(model, 0, 1).to(dtype), drawn(5, model.outputs, *grid, seed=3).to(dtype)
    fields = drawn(2, 5, model.inputs, *grid).to(dtype)
    fast = on_grid(model, *grid, dtype)
    assert fast.fused is not None
    plain = replace(fast, fused=None)

    def loss(outputs: Tensor, *, row: int, samples: slice) -> Tensor:
        return (outputs - wanted[samples]).square().sum() * (row + 1)

    for on in (fast, plain):
        assert relative(on.predict(theta, fields), model.apply(theta, fields)) < within
    (value, gradient), (value_plain, gradient_plain) = (
        on.value_and_gradient(theta, fields, loss) for on in (fast, plain)
    )
    assert relative(value, value_plain) < within
    for block in model.layout:
        for row in range(2):
            assert relative(gradient[row, block.slice], gradient_plain[row, block.slice]) < within, block.name


def test_all_rows_at_once_as_on_a_gpu_give_what_each_gives_alone():
    """In pieces of two of five samples, the last of one."""
    theta, fields, wanted = weights(SMALL, 0, 1, 2), drawn(3, 5, 2, 9, 12), drawn(5, 3, 9, 12)[:, : SMALL.outputs]
    on = replace(on_grid(SMALL, 9, 12), fused=None)

    def loss(outputs: Tensor, *, row: int, samples: slice) -> Tensor:
        return (outputs - wanted[samples]).square().sum() * (row + 1)

    assert relative(SMALL._together(theta, fields), SMALL.apply(theta, fields)) < 1e-13
    for found, alone in zip(on._together(theta, fields, loss), on.value_and_gradient(theta, fields, loss), strict=True):
        assert relative(found, alone) < 1e-13


@pytest.mark.parametrize("fused", [pytest.param(True, marks=compiled), False])
def test_a_training_step_is_the_same_every_time_and_in_every_batch_of_rows(fused):
    theta, fields = weights(SMALL, 0, 1, 2).float(), drawn(5, 2, 9, 12).float()

    def gradient(rows: slice) -> Tensor:
        on = on_grid(SMALL, 9, 12, torch.float32)
        on = on if fused else replace(on, fused=None)
        return on.value_and_gradient(theta[rows], fields, lambda u, row, samples: u.square().sum())[1]

    together = gradient(slice(None))
    assert torch.equal(together, gradient(slice(None)))
    for row in range(3):
        assert torch.equal(together[row : row + 1], gradient(slice(row, row + 1)))


@compiled
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 3e-6), (torch.float64, 1e-14)])
def test_gelu_is_as_exact_as_torchs(dtype, within):
    """One channel carries x through; the others are zero. From the far tail to the far end."""
    model = FNO(modes=1, width=16, layers=2, projection=16, inputs=1)
    first, out = torch.zeros(16), torch.zeros(16)
    first[0] = out[0] = 1.0
    theta = linear(
        model,
        lifting_weight=first,
        local_0_weight=torch.eye(16),
        local_1_weight=torch.eye(16),
        projection_0_weight=torch.eye(16),
        projection_0_bias=torch.full((16,), 30.0),  # gelu(30 + x) = 30 + x
        projection_1_weight=out,
        projection_1_bias=torch.tensor([-30.0]),
    ).to(dtype)
    x = torch.linspace(-12, 12, 64 * 64, dtype=dtype).reshape(1, 1, 64, 64)
    found = on_grid(model, 64, 64, dtype).predict(theta, x)[0].double()
    assert (
        float((found - torch.nn.functional.gelu(x.double())).abs().max()) < within
    )  # 30 + x rounds to 1.9e-6, 3.6e-15


@compiled
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="flushing is of this processor")
def test_the_kernel_takes_subnormal_numbers_for_zero_and_leaves_them_to_others():
    """With them, the tails of saturated units made a step up to fifteen times as long."""
    model = FNO(modes=1, width=16, layers=1, projection=16, inputs=1)
    theta, fields = weights(model, 0), drawn(2, 1, 8, 8)
    bias = next(block for block in model.layout if block.name == "projection_0_bias")
    theta[:, bias.slice] = -13.1  # e^{-x²/2} is a normal number there, its product with 0.01 is none

    def smallest(dtype: torch.dtype) -> float:
        on = on_grid(model, 8, 8, dtype)
        gradient = on.value_and_gradient(theta.to(dtype), fields, lambda u, row, samples: 0.01 * u.sum())[1].abs()
        return float(gradient[gradient > 0].min())

    least = torch.finfo(torch.float32).tiny
    assert smallest(torch.float32) >= least > smallest(torch.float64)
    assert 0 < float(torch.tensor(1e-30) * 1e-10) < least


@compiled
def test_the_kernel_refuses_what_it_was_not_made_for():
    on = on_grid(SMALL, 8, 8)
    for theta, fields in (
        (weights(SMALL, 0).float(), drawn(1, 2, 8, 8)),  # another precision
        (weights(SMALL, 0)[:, 1:], drawn(1, 2, 8, 8)),
        (weights(SMALL, 0), drawn(1, 2, 8, 9)),  # another grid
        (weights(SMALL, 0), drawn(1, 3, 8, 8)),
    ):
        with pytest.raises(ValueError, match="The kernel takes a contiguous tensor"):
            on.predict(theta, fields)


@compiled
def test_a_step_works_in_the_memory_it_states():
    small, large = (on_grid(SMALL, 32, 32, samples=n) for n in (2, 8))
    fields = 2 * SMALL.layers * 16 + 1  # activations, slopes or cotangents, spectra
    assert 6 * fields * 32**2 * 8 < large.bytes - small.bytes < 1.3 * 6 * fields * 32**2 * 8
    assert SMALL.memory(2, 32, 32, 8) > small.bytes
