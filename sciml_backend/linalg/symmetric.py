"""Eigendecompositions of symmetric matrices, one of each row by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Eigen:
    """Eigenvalues (B, P), lowest first, and eigenvectors (B, P, P) as columns, in float64.

    Not a number for a matrix that is not finite. Products see fresh copies of a row, as alignment may change how torch
    sums.
    """

    values: Tensor
    vectors: Tensor

    def components(self, v: Tensor) -> Tensor:
        """Rows v (B, P) in the basis of the eigenvectors."""
        pairs = zip(self.vectors, v.double(), strict=True)
        return torch.stack([vectors.clone().T @ row.clone() for vectors, row in pairs])

    def combined(self, components: Tensor) -> Tensor:
        """Inverse of ``components``."""
        pairs = zip(self.vectors, components, strict=True)
        return torch.stack([vectors.clone() @ row.clone() for vectors, row in pairs])

    def rows(self, index: Tensor) -> Eigen:
        """These rows only."""
        return Eigen(self.values[index], self.vectors[index])


def eigen(matrices: Tensor) -> Eigen:
    """Decompose symmetric matrices (B, P, P); row by row, as a row's last bits would depend on how it is aligned."""
    made = [_one(matrix.double().clone()) for matrix in matrices]
    return Eigen(torch.stack([values for values, _ in made]), torch.stack([vectors for _, vectors in made]))


def _one(matrix: Tensor) -> tuple[Tensor, Tensor]:
    if not bool(matrix.isfinite().all()):
        return torch.full_like(matrix[0], torch.nan), torch.full_like(matrix, torch.nan)
    values, vectors = torch.linalg.eigh(matrix)
    return values, vectors.contiguous()
