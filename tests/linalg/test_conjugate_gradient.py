import numpy as np
import pytest
import torch

from sciml_backend.linalg.conjugate_gradient import conjugate_gradients


@pytest.fixture
def systems():
    generator = torch.Generator().manual_seed(5)
    n, made = 25, []
    for top in (0.0, 2.0, 4.0):
        q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
        made.append((q * torch.logspace(-1, top, n, dtype=torch.float64)) @ q.T)
    return torch.stack(made), torch.randn(3, n, generator=generator, dtype=torch.float64)


def solve(a, b, *, inverse=None, start=None, tolerance=1e-9, limit=400):
    def times(m):
        return lambda rows, v: torch.stack([m[row] @ own.clone() for row, own in zip(rows, v, strict=True)])

    same = torch.eye(a.shape[1], dtype=a.dtype).expand_as(a)
    return conjugate_gradients(
        times(a), b, start=torch.zeros_like(b) if start is None else start,
        precondition=times(same if inverse is None else inverse), tolerance=tolerance, limit=limit,
    )  # fmt: skip


def test_every_row_is_solved_to_the_tolerance_and_ends_when_it_is(systems):
    a, b = systems
    found = solve(a, b)
    assert torch.allclose(found.x, torch.linalg.solve(a, b), atol=1e-6)
    left = (torch.einsum("bij,bj->bi", a, found.x) - b).norm(dim=1)
    assert left.numpy() == pytest.approx(found.residual, abs=1e-9) and found.residual.max() <= 1e-9
    assert found.products[0] < found.products[1] < found.products[2]


def test_a_good_preconditioner_and_a_good_start_save_products(systems):
    a, b = systems
    plain, exact = solve(a, b), solve(a, b, inverse=torch.linalg.inv(a))
    assert (exact.products < plain.products).all() and exact.products.max() <= 4
    assert solve(a, b, start=plain.x, tolerance=1e-8).products.tolist() == [1, 1, 1]


def test_a_row_of_negative_curvature_stands_still_and_a_lost_one_is_left(systems):
    a, b = systems
    whole = solve(a, b)
    a, b = a.clone(), b.clone()
    a[1] = -a[1]
    b[2, 0] = torch.nan
    found = solve(a, b)
    assert torch.equal(found.x[0], whole.x[0])
    assert found.x[1].abs().max() == 0 and found.products[1] == 2
    assert np.isnan(found.residual[2]) and found.products[2] == 1
