import pytest
import torch

from sciml_backend.linalg.nystrom import Nystrom, nystrom


def matrices(*spectra: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    n = len(spectra[0])
    bases = [torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0] for _ in spectra]
    return torch.stack([(q * values) @ q.T for q, values in zip(bases, spectra, strict=True)])


def approximate(a: torch.Tensor, rank: int, dtype: torch.dtype = torch.float64) -> Nystrom:
    a = a.to(dtype)
    return nystrom(lambda v: torch.einsum("bij,bj->bi", a, v), a[:, 0], rank=rank, seed=3)


@pytest.mark.parametrize(("dtype", "accuracy"), [(torch.float64, 1e-6), (torch.float32, 1e-2)])
def test_a_matrix_of_low_rank_is_found(dtype, accuracy):
    spectra = [
        torch.cat([torch.tensor(v).double(), torch.zeros(34).double()]) for v in ((9.0, 3, 1, 0.5), (7e3, 1, 1, 1))
    ]
    a = matrices(*spectra)
    found = approximate(a, rank=8, dtype=dtype)
    for row, values in enumerate(spectra):
        assert torch.allclose(
            found.values[row, :4].double(), values[:4], rtol=accuracy / 10, atol=3e-4 * accuracy * float(values[0])
        )
        assert float(found.values[row, 4:].max()) < accuracy * float(values[0])
        u = found.vectors[row].double()
        assert torch.allclose(u.T @ u, torch.eye(8).double(), atol=10 * accuracy)
        assert torch.allclose((u * found.values[row].double()) @ u.T, a[row], atol=accuracy * float(values[0]))


def test_the_preconditioner_is_the_inverse_of_the_paper():
    (a,) = matrices(torch.logspace(3, -6, 30, dtype=torch.float64))
    found = approximate(a[None], rank=10)
    u, values, damping = found.vectors[0], found.values[0], 1e-2
    unit = torch.eye(30, dtype=torch.float64)
    p = u @ torch.diag(values + damping) @ u.T / (values[-1] + damping) + unit - u @ u.T
    v = torch.linspace(-1, 2, 30, dtype=torch.float64)[None]
    assert torch.allclose(found.solve(v, damping)[0], torch.linalg.solve(p, v[0]), rtol=1e-9)
    system = a + damping * unit
    condition = torch.linalg.cond(torch.linalg.solve(p, system))
    assert float(condition) < float(torch.linalg.cond(system)) / 100


def test_what_is_negative_is_cut_off():
    (a,) = matrices(torch.cat([torch.tensor([5.0, 2.0, -1.0, -4.0]).double(), torch.zeros(26).double()]))
    found = approximate(a[None], rank=8)
    assert found.values.isfinite().all() and found.vectors.isfinite().all() and float(found.values.min()) >= 0
    assert float(found.values[0, 0]) < 20


def test_a_row_that_is_lost_leaves_the_others_alone():
    a = matrices(*[torch.logspace(1, -3, 12, dtype=torch.float64)] * 3)
    whole = approximate(a, rank=5)
    a[1, 2, 3] = torch.nan
    found = approximate(a, rank=5)
    assert torch.equal(found.values[[0, 2]], whole.values[[0, 2]]) and found.values[1].abs().max() == 0
