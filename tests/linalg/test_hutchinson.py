import torch

from sciml_backend.linalg.hutchinson import trace
from sciml_backend.linalg.probes import gaussian, rademacher


def matrix() -> torch.Tensor:
    root = gaussian(20, torch.zeros(20, dtype=torch.float64), generator=torch.Generator().manual_seed(0))
    return root + root.T


def test_the_error_is_the_stated_one():
    dense = matrix()
    probes = rademacher(4000, dense, generator=torch.Generator().manual_seed(1))
    estimate = trace(lambda v: v @ dense, probes)
    theory = (2 * (dense.square().sum() - dense.diag().square().sum()) / 4000).sqrt()
    assert abs(estimate.standard_error / float(theory) - 1) < 0.1
    assert abs(estimate.value - float(dense.trace())) < 3 * estimate.standard_error


def test_signs_are_exact_on_a_diagonal():
    diagonal = torch.linspace(-1, 4, 20, dtype=torch.float64)
    estimate = trace(lambda v: v * diagonal, rademacher(3, diagonal, generator=torch.Generator().manual_seed(1)))
    assert abs(estimate.value - float(diagonal.sum())) < 1e-12 and estimate.standard_error < 1e-12


def test_a_seed_means_the_same_probes_in_every_dtype():
    like = torch.zeros(7, dtype=torch.float64)
    for draw in (rademacher, gaussian):
        double = draw(2, like, generator=torch.Generator().manual_seed(3))
        single = draw(2, like.float(), generator=torch.Generator().manual_seed(3))
        assert torch.equal(double.float(), single)
