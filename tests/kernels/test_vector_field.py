"""The fused vector field's products at every width; that it agrees with the objective is tested with the objectives."""

from __future__ import annotations

import pytest
import torch

from sciml_backend.kernels.vector_field import FusedField, available

pytestmark = pytest.mark.skipif(not available(), reason="no compiler")


@pytest.mark.parametrize("samples", [16, 48, 144])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 19, 20, 23, 33, 50])
def test_gradient_whatever_is_left_over_of_blocks(width, samples):
    """Weights are worked off in blocks and samples in vectors: no remainder may be lost or counted twice."""
    sizes = (3, width, 11, width, 2)
    generator = torch.Generator().manual_seed(width)
    x, target = (torch.randn(2, *shape, samples, generator=generator).double() for shape in ((3,), (1, 2)))
    weight = torch.rand(2, 1, samples, generator=generator).double()
    theta = torch.randn(2, sum(n * m + m for n, m in zip(sizes, sizes[1:], strict=False)), generator=generator).double()

    field = FusedField(sizes, [0.5], dtype=torch.float64)
    loss, gradient = torch.zeros(2, dtype=torch.float64), torch.zeros_like(theta)
    field(theta, x, target, weight, loss, gradient=gradient)

    leaf = theta.clone().requires_grad_()
    value = torch.stack([_loss(*row, sizes=sizes) for row in zip(leaf, x, target, weight, strict=True)])
    torch.testing.assert_close(loss, value.detach(), rtol=1e-12, atol=0)
    (expected,) = torch.autograd.grad(value.sum(), leaf)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def _loss(theta, x, target, weight, *, sizes):
    at, h = 0, x
    for layer, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        w, b = theta[at : at + n * m].reshape(m, n), theta[at + n * m : at + n * m + m, None]
        at, h = at + n * m + m, w @ h + b
        h = torch.tanh(h) if layer < len(sizes) - 2 else h
    return (weight * (0.5 * h - target).square()).sum()
