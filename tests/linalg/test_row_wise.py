import numpy as np
import pytest
import torch

from sciml_backend.linalg.row_wise import dots, moved, norms


@pytest.fixture(params=["kernel", "torch"], autouse=True)
def arithmetic(request, monkeypatch):
    """With the compiled kernel and without."""
    if request.param == "torch":
        monkeypatch.setattr("sciml_backend.kernels.build.library", lambda name: None)


@pytest.fixture(params=[(torch.float32, 1e-6), (torch.float64, 1e-14)], ids=["float32", "float64"])
def precision(request):
    return request.param


@pytest.mark.parametrize("parameters", [1, 7, 16, 64, 100, 5301])
def test_products_norms_and_moves(precision, parameters):
    dtype, tolerance = precision
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(4, parameters, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    step = np.array([0.0, 0.5, -1.0, 2.0])
    size = (x.double() * y.double()).abs().sum(1)
    assert ((dots(x, y) - (x.double() * y.double()).sum(1)).abs() <= tolerance * size).all()
    largest, total = norms(x)
    assert torch.equal(largest, x.abs().amax(1).double())
    assert torch.allclose(total, x.double().abs().sum(1), rtol=tolerance)
    assert torch.allclose(moved(x, step, y), x + torch.as_tensor(step).to(dtype)[:, None] * y, rtol=tolerance * 10)


def test_bits_do_not_depend_on_the_batch_or_on_alignment(precision):
    dtype, _ = precision
    x, y = (torch.randn(9, 333, generator=torch.Generator().manual_seed(k), dtype=dtype) for k in (1, 2))
    step = np.linspace(-1, 1, 9)
    for row in range(9):
        one = slice(row, row + 1)
        assert torch.equal(dots(x[one], y[one]), dots(x, y)[one])
        assert torch.equal(norms(x[one])[1], norms(x)[1][one])
        assert torch.equal(moved(x[one], step[one], y[one]), moved(x, step, y)[one])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("at", [0, 40, 99])
def test_norms_of_a_broken_row_are_not_finite_and_the_others_stand(bad, at):
    x = torch.ones(3, 100)
    x[1, at] = bad
    largest, total = norms(x)
    assert not largest[1].isfinite() and not total[1].isfinite()
    assert largest[[0, 2]].tolist() == [1.0, 1.0]
    assert total[[0, 2]].tolist() == [100.0, 100.0]


def test_views_that_are_not_contiguous(precision):
    dtype, _ = precision
    x = torch.arange(24, dtype=dtype).reshape(4, 6).T
    assert dots(x, x).tolist() == (x * x).sum(1).tolist()
    assert torch.equal(moved(x, np.ones(6), x), 2 * x)
