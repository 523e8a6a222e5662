"""The fused kernel's own arithmetic; that it agrees with plain torch is tested with the objectives."""

from __future__ import annotations

import pytest
import torch

from sciml_backend.kernels.taylor_mlp import FusedTerm, available
from sciml_backend.linalg.polynomial import Polynomial
from sciml_backend.linalg.taylor import Streams

pytestmark = pytest.mark.skipif(not available(), reason="no compiler")


def kernel_tanh(x: torch.Tensor) -> torch.Tensor:
    """The residual u of a network of one unit is tanh x."""
    term = FusedTerm([1, 1, 1], x.double()[None, :, None], Streams.value_only(1, 1), Polynomial.slot(0), dtype=x.dtype)
    theta = torch.tensor([[1.0, 0.0, 1.0, 0.0]], dtype=x.dtype)
    u = term.zeros(theta)
    term(theta, torch.zeros(1, dtype=torch.float64), residual=u)
    return u[0, : len(x)]


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.3), (0.3, 1.0), (1.0, 4.0), (4.0, 12.0)])
def test_tanh_rounds_as_well_as_torch_does(low, high):
    """An error three times as large, though within two units in the last place, made runs in float32 stall early."""
    x = torch.linspace(low, high, 200_001)
    x = torch.cat([-x, x])
    exact = torch.tanh(x.double())
    error, usual = (((t.double() - exact).square().mean().sqrt()) for t in (kernel_tanh(x), torch.tanh(x)))
    assert error < 1.5 * usual


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_at_the_edges(dtype):
    x = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 50.0, -50.0, torch.inf, -torch.inf, torch.nan], dtype=dtype)
    torch.testing.assert_close(kernel_tanh(x), torch.tanh(x), equal_nan=True, rtol=1e-6, atol=0)


def test_tanh_in_double():
    x = torch.linspace(-20, 20, 200_001, dtype=torch.float64)
    assert (kernel_tanh(x) - torch.tanh(x)).abs().max() < 5e-16
