"""The fused vector field's products at every width; that it agrees with the objective is tested with the objectives."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from sciml_backend.kernels.vector_field import FusedField, available

pytestmark = pytest.mark.skipif(not available(), reason="no compiler")
WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 19, 20, 23, 33, 50)


def gradient_of(sizes, theta, x, target, weight):
    """Loss (B,) and gradient (B, P) by the kernel, its residual being f / 2 - target."""
    field = FusedField(sizes, [0.5], dtype=theta.dtype)
    loss, gradient = torch.zeros(len(theta), dtype=torch.float64), torch.zeros_like(theta)
    field(theta, x, target, weight, loss, gradient=gradient)
    return loss, gradient


@pytest.mark.parametrize("samples", [16, 48, 144])
@pytest.mark.parametrize("width", WIDTHS)
def test_gradient_whatever_is_left_over_of_blocks(width, samples):
    """Weights are worked off in blocks and samples in vectors: no remainder may be lost or counted twice."""
    sizes = (3, width, 11, width, 2)
    generator = torch.Generator().manual_seed(width)
    x, target = (torch.randn(2, *shape, samples, generator=generator).double() for shape in ((3,), (1, 2)))
    weight = torch.rand(2, 1, samples, generator=generator).double()
    theta = torch.randn(2, sum(n * m + m for n, m in pairwise(sizes)), generator=generator).double()

    leaf = theta.clone().requires_grad_()
    value = torch.stack([_loss(*row, sizes=sizes) for row in zip(leaf, x, target, weight, strict=True)])
    (expected,) = torch.autograd.grad(value.sum(), leaf)
    loss, gradient = gradient_of(sizes, theta, x, target, weight)
    torch.testing.assert_close(loss, value.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)
    size = float(expected.abs().max())
    _, single = gradient_of(sizes, theta.float(), x.float(), target.float(), weight.float())
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=2e-5 * size)


def _loss(theta, x, target, weight, *, sizes):
    at, h = 0, x
    for layer, (n, m) in enumerate(pairwise(sizes)):
        w, b = theta[at : at + n * m].reshape(m, n), theta[at + n * m : at + n * m + m, None]
        at, h = at + n * m + m, w @ h + b
        h = torch.tanh(h) if layer < len(sizes) - 2 else h
    return (weight * (0.5 * h - target).square()).sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", WIDTHS)
def test_sums_have_one_order_wherever_a_weight_lies(width, dtype):
    """Units with equal weights have equal gradients to the bit, whether in a block or left over of them."""
    sizes = (3, width, width, 2)
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator).to(dtype)  # noqa: E731
    blocks = [draw(3).repeat(width), draw(1).repeat(width)]  # all units of the first layer alike
    for n, m in pairwise(sizes[1:]):
        blocks += [(draw(1) / n**0.5).repeat(n * m), draw(1).repeat(m)]
    target = draw(1, 1, 1, 48).repeat(1, 1, 2, 1)
    _, gradient = gradient_of(sizes, torch.cat(blocks)[None], draw(1, 3, 48), target, draw(1, 1, 48).abs())

    first, bias, *others = gradient[0].split([len(block) for block in blocks])
    assert bool((first.reshape(width, 3) == first[:3]).all())
    assert all(len(part.unique()) == 1 for part in (bias, *others))
