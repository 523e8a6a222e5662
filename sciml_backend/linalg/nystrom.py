"""Randomised Nyström approximation of a symmetric matrix; Frangella, Tropp & Udell (2023), doi:10.1137/21M1466244.

Algorithm 2.1 there: with an orthonormal test matrix Φ and Y = (H + ν) Φ, the approximation Y (Φᵀ Y)⁻¹ Yᵀ - ν has the
eigenvectors U and eigenvalues Λ below, all eigenvalues at least zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

ATTEMPTS = 5
"""How often a core that is not positive definite is shifted, ten times as much each time, before it is cut off."""


@dataclass
class Nystrom:
    """Eigenvectors (B, P, rank) and eigenvalues (B, rank), largest first, of every row's approximation."""

    vectors: Tensor
    values: Tensor

    def solve(self, v: Tensor, damping: float) -> Tensor:
        """The preconditioner's inverse times v (B, P): (λ_r + μ) U (Λ + μ)⁻¹ Uᵀ v + (v - U Uᵀ v)."""
        return torch.cat([self._solve(row, v[row : row + 1].clone(), damping) for row in range(len(v))])

    def _solve(self, row: int, v: Tensor, damping: float) -> Tensor:
        u, values = self.vectors[row].clone(), self.values[row]
        along = v @ u
        return v + ((values[-1] + damping) / (values + damping) * along - along) @ u.T


def nystrom(product: Callable[[Tensor], Tensor], like: Tensor, *, rank: int, seed: int) -> Nystrom:
    """Approximate the matrices of ``product`` (B, P) -> (B, P) from ``rank`` products with the same test matrix."""
    generator = torch.Generator().manual_seed(seed)
    rows, parameters = like.shape
    test = torch.randn(parameters, rank, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(test)[0].to(like)
    image = torch.stack([product(column.expand(rows, -1).contiguous()) for column in basis.T], -1)
    found = [_decomposed(basis, own.clone()) for own in image]  # row by row, so that its bits are its own
    return Nystrom(torch.stack([u for u, _ in found]), torch.stack([values for _, values in found]))


def _decomposed(basis: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvectors (P, rank) and eigenvalues (rank,), worked out in double."""
    if not image.isfinite().all():
        return basis, torch.zeros_like(image[0])
    basis, image, dtype = basis.double(), image.double(), image.dtype
    least = torch.finfo(dtype).eps * image.norm()
    for attempt in range(ATTEMPTS):
        shift = least * 10.0**attempt
        shifted = image + shift * basis
        core = basis.T @ shifted
        factor, failed = torch.linalg.cholesky_ex((core + core.T) / 2)
        if not failed:
            root = torch.linalg.solve_triangular(factor, shifted.T, upper=False).T
            break
    else:  # an indefinite matrix: what is negative is cut off
        values, vectors = torch.linalg.eigh((core + core.T) / 2)
        kept = torch.where(values > shift, values, torch.inf)
        root = shifted @ (vectors * kept.rsqrt())
    u, singular, _ = torch.linalg.svd(root, full_matrices=False)
    return u.to(dtype), (singular.square() - shift).clamp(min=0.0).to(dtype)
