import pytest
import torch

from sciml_backend.linalg.lanczos import Matvec, lanczos
from sciml_backend.linalg.probes import gaussian, rademacher


def symmetric(eigenvalues: torch.Tensor, *, seed: int) -> torch.Tensor:
    """A dense matrix with the given spectrum and random eigenvectors."""
    size = len(eigenvalues)
    rotation = torch.linalg.qr(gaussian(size, eigenvalues, generator=torch.Generator().manual_seed(seed))).Q
    return (rotation * eigenvalues) @ rotation.T


def per_row(matrices: torch.Tensor) -> Matvec:
    return lambda v: torch.einsum("bij,bj->bi", matrices, v)


@pytest.fixture
def matrices() -> torch.Tensor:
    spread = torch.linspace(-3, 5, 30, dtype=torch.float64)
    stiff = torch.cat([torch.logspace(-8, 3, 29, dtype=torch.float64), torch.tensor([-0.1], dtype=torch.float64)])
    return torch.stack([symmetric(spread, seed=1), symmetric(stiff, seed=2), symmetric(spread * 1e-6, seed=3)])


@pytest.fixture
def start(matrices: torch.Tensor) -> torch.Tensor:
    return gaussian(len(matrices), matrices[0], generator=torch.Generator().manual_seed(0))


def test_all_steps_give_all_eigenvalues(matrices, start):
    krylov = lanczos(per_row(matrices), start, steps=30)
    expected = torch.linalg.eigvalsh(matrices)
    scale = expected.abs().amax(dim=1, keepdim=True)
    assert ((krylov.ritz_values - expected).abs() / scale).amax() < 1e-13


def test_residual_norms_are_those_of_the_ritz_pairs(matrices, start):
    krylov = lanczos(per_row(matrices), start, steps=12)
    vectors = krylov.ritz_vectors(torch.arange(12).expand(3, -1))
    images = torch.einsum("bij,bkj->bki", matrices, vectors)
    true = torch.linalg.vector_norm(images - krylov.ritz_values.unsqueeze(2) * vectors, dim=2)
    scale = torch.linalg.matrix_norm(matrices, ord=2).unsqueeze(1)
    assert ((true - krylov.residual_norms).abs() / scale).amax() < 1e-13
    assert torch.allclose(torch.linalg.vector_norm(vectors, dim=2), torch.ones(3, 12, dtype=torch.float64))


def test_an_eigenvalue_lies_within_each_residual_norm(matrices, start):
    krylov = lanczos(per_row(matrices), start, steps=10)
    exact = torch.linalg.eigvalsh(matrices)
    distance = (krylov.ritz_values.unsqueeze(2) - exact.unsqueeze(1)).abs().amin(dim=2)
    assert (distance <= krylov.bounded_residuals() + 1e-13 * exact.abs().amax()).all()
    assert distance.amax() > 1e-3  # ten steps do not resolve the interior: the bound has something to bound


def test_weights_reproduce_the_moments_of_the_start_vector(matrices, start):
    krylov = lanczos(per_row(matrices), start, steps=8)
    unit = start / start.norm(dim=1, keepdim=True)
    image = unit
    for power in range(2 * 8):
        moment = (krylov.weights * krylov.ritz_values**power).sum(dim=1)
        assert torch.allclose(moment, (unit * image).sum(dim=1), rtol=1e-9, atol=0)
        image = per_row(matrices)(image)


def test_converged_eigenvalues_are_not_repeated():
    exact = torch.cat([torch.zeros(180, dtype=torch.float64), torch.logspace(0, 6, 20, dtype=torch.float64)])
    matrix = symmetric(exact, seed=4).unsqueeze(0)
    begin = rademacher(1, matrix[0], generator=torch.Generator().manual_seed(0))
    krylov = lanczos(per_row(matrix), begin, steps=60)
    found = krylov.ritz_values[0]
    assert (found > 0.5).sum() == 20
    assert torch.allclose(found[found > 0.5], exact[180:], rtol=1e-8)


def test_rows_end_on_their_own():
    diagonals = torch.ones(3, 40, dtype=torch.float64)
    diagonals[0, :10] = 2.0  # two distinct eigenvalues
    diagonals[1] = torch.linspace(1, 9, 40)
    begin = gaussian(3, diagonals, generator=torch.Generator().manual_seed(0))
    krylov = lanczos(lambda v: diagonals * v, begin, steps=15)
    assert krylov.steps.tolist() == [2, 15, 1]
    assert torch.allclose(krylov.ritz_values[0, :2], torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert krylov.ritz_values[0, 2:].isnan().all() and krylov.ritz_values[2, 1:].isnan().all()
    assert torch.allclose(krylov.weights.sum(dim=1), torch.ones(3, dtype=torch.float64))


def test_a_nan_row_leaves_the_others_bit_equal(matrices, start):
    broken = matrices.clone()
    broken[1, 4, 4] = torch.nan
    whole, with_nan = (lanczos(per_row(m), start, steps=20) for m in (matrices, broken))
    for row in (0, 2):
        assert torch.equal(whole.ritz_values[row], with_nan.ritz_values[row])
        assert torch.equal(whole.residual_norms[row], with_nan.residual_norms[row])
    assert with_nan.steps.tolist() == [20, 0, 20]
    assert with_nan.ritz_values[1].isnan().all() and with_nan.weights[1].isnan().all()


def test_rows_equal_solo_runs(matrices, start):
    batch = lanczos(per_row(matrices), start, steps=20)
    for row in range(3):
        alone = lanczos(per_row(matrices[row : row + 1]), start[row : row + 1], steps=20)
        scale = alone.ritz_values.abs().amax()
        assert ((batch.ritz_values[row] - alone.ritz_values[0]).abs() / scale).amax() < 1e-13


def test_the_defect_measures_the_noise_of_the_operator(matrices, start):
    noise = torch.Generator().manual_seed(5)

    def noisy(v: torch.Tensor) -> torch.Tensor:
        return per_row(matrices)(v) + 1e-6 * gaussian(3, v, generator=noise)

    assert (lanczos(per_row(matrices), start, steps=20).defect < 1e-12).all()
    defect = lanczos(noisy, start, steps=20).defect
    assert ((defect > 1e-6) & (defect < 1e-5)).all()  # 1e-6 times sqrt(18) components


def test_leading_are_largest_in_magnitude():
    diagonal = torch.tensor([[-5.0, 1.0, 2.0, 3.0]], dtype=torch.float64)
    krylov = lanczos(lambda v: diagonal * v, torch.ones_like(diagonal), steps=4)
    values = krylov.ritz_values[0, krylov.leading(2)[0]]
    assert torch.allclose(values, torch.tensor([-5.0, 3.0], dtype=torch.float64))
    first = krylov.ritz_vectors(krylov.leading(1))[0, 0]
    assert torch.allclose(first, torch.tensor([1.0, 0, 0, 0], dtype=torch.float64), atol=1e-12)


def test_the_complement_is_orthogonal_to_the_krylov_space(matrices, start):
    krylov = lanczos(per_row(matrices), start, steps=12)
    probes = rademacher(6, start, generator=torch.Generator().manual_seed(1)).reshape(3, 2, -1)
    rest = krylov.complement(probes)
    assert (rest @ krylov.basis.transpose(1, 2)).abs().amax() < 1e-13
    inside = probes - rest
    assert torch.allclose(inside.square().sum(dim=2) + rest.square().sum(dim=2), probes.square().sum(dim=2))
