import numpy as np
import pytest
import torch

from sciml_backend.kernels import build
from sciml_backend.linalg.compact_bfgs import CompactPairs
from sciml_backend.linalg.two_loop import TwoLoopPairs

needs_compiler = pytest.mark.skipif(build.library("two_loop") is None, reason="no C compiler")
KINDS = [pytest.param(TwoLoopPairs, marks=needs_compiler), CompactPairs]


def filled(kind, *, rows, parameters, history, pushes, dtype=torch.float64, seed=0):
    """Pairs of a curved function, as many pushed as said, with what was pushed: (B, P) each."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.logspace(-1, 1, parameters, dtype=torch.float64)
    pairs = kind.empty(torch.zeros(rows, parameters, dtype=dtype), history=history)
    pushed = []
    for _ in range(pushes):
        direction = torch.randn(rows, parameters, generator=generator, dtype=torch.float64).to(dtype)
        previous = torch.randn(rows, parameters, generator=generator, dtype=torch.float64).to(dtype)
        step = np.linspace(0.5, 1.5, rows)
        s = torch.as_tensor(step).to(dtype)[:, None] * direction
        gradient = previous + (spread * s).to(dtype)
        pairs.push(step=step, direction=direction, gradient=gradient, previous=previous, least=1e-10)
        pushed.append((s, gradient - previous))
    return pairs, pushed


def dense_inverse(pushed, row):
    """The BFGS update of a dense inverse Hessian; Nocedal & Wright (2006), equation 6.17."""
    eye = torch.eye(pushed[0][0].shape[1], dtype=torch.float64)
    s, y = (v[row].double() for v in pushed[-1])
    inverse = eye * (s @ y) / (y @ y)
    for s, y in ((s[row].double(), y[row].double()) for s, y in pushed):
        left = eye - torch.outer(s, y) / (s @ y)
        inverse = left @ inverse @ left.T + torch.outer(s, s) / (s @ y)
    return inverse


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("history", "pushes"), [(5, 3), (5, 5), (5, 13), (1, 4)])
@pytest.mark.parametrize("parameters", [3, 16, 77, 200])
def test_the_direction_is_that_of_the_dense_inverse(kind, history, pushes, parameters):
    pairs, pushed = filled(kind, rows=3, parameters=parameters, history=history, pushes=pushes)
    gradient = torch.randn(3, parameters, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    direction, slope = pairs.direction(gradient)
    for row in range(3):
        expected = -dense_inverse(pushed[-history:], row) @ gradient[row]
        assert torch.allclose(direction[row], expected, rtol=1e-9, atol=1e-9 * expected.abs().max())
        assert slope[row] == pytest.approx(float(gradient[row] @ expected), rel=1e-9)


@needs_compiler
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_both_forms_agree_with_a_full_history(dtype, tolerance):
    size = {"rows": 2, "parameters": 5301, "history": 100, "pushes": 110, "dtype": dtype}
    (two_loop, _), (compact, _) = filled(TwoLoopPairs, **size), filled(CompactPairs, **size)
    gradient = torch.randn(2, 5301, generator=torch.Generator().manual_seed(9), dtype=dtype)
    one, other = two_loop.direction(gradient)[0], compact.direction(gradient)[0]
    assert (one - other).abs().max() <= tolerance * one.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_without_pairs_it_is_steepest_descent(kind):
    gradient = torch.tensor([[3.0, -4.0]], dtype=torch.float64)
    direction, slope = kind.empty(gradient, history=7).direction(gradient)
    assert direction.tolist() == [[-3.0, 4.0]]
    assert slope.tolist() == [-25.0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_that_is_not_curved_upwards_is_left_out_of_its_row_only(kind):
    pairs, _ = filled(kind, rows=2, parameters=20, history=2, pushes=4)
    before = pairs.direction(torch.ones(2, 20, dtype=torch.float64))[0]
    direction = torch.ones(2, 20, dtype=torch.float64)
    change = torch.stack([-direction[0], 2 * direction[1]])
    pairs.push(step=np.ones(2), direction=direction, gradient=change, previous=torch.zeros_like(change), least=1e-10)
    after = pairs.direction(torch.ones(2, 20, dtype=torch.float64))[0]
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_has_the_same_bits_alone_chosen_or_beside_a_broken_one(kind, dtype):
    pairs, _ = filled(kind, rows=5, parameters=149, history=6, pushes=9, dtype=dtype)
    gradient = torch.randn(5, 149, generator=torch.Generator().manual_seed(9), dtype=dtype)
    whole = pairs.direction(gradient)[0]
    chosen = pairs.rows(np.array([3, 1])).direction(gradient[[3, 1]])[0]
    assert torch.equal(chosen, whole[[3, 1]])
    broken = gradient.clone()
    broken[0] = torch.nan
    assert torch.equal(pairs.direction(broken)[0][1:], whole[1:])


def test_rows_computed_together_as_on_other_devices_agree():
    pairs, _ = filled(CompactPairs, rows=4, parameters=60, history=6, pushes=9)
    together, _ = filled(CompactPairs, rows=4, parameters=60, history=6, pushes=0)
    generator = torch.Generator().manual_seed(0)
    spread = torch.logspace(-1, 1, 60, dtype=torch.float64)
    for _ in range(9):
        direction = torch.randn(4, 60, generator=generator, dtype=torch.float64)
        torch.randn(4, 60, generator=generator, dtype=torch.float64)
        s = torch.linspace(0.5, 1.5, 4, dtype=torch.float64)[:, None] * direction
        together._push(s, spread * s, 1e-10)
    gradient = torch.randn(4, 60, generator=generator, dtype=torch.float64)
    expected, slope = pairs.direction(gradient)
    found, found_slope = together._direction(gradient)
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert torch.allclose(found_slope, slope, rtol=1e-10)
