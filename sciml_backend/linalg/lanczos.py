"""Lanczos tridiagonalisation of symmetric operators, many rows at a time, with full reorthogonalisation.

Every row of a batch is its own operator and its own Krylov space. The basis is made orthogonal twice in each step
("twice is enough": Giraud, Langou, Rozloznik and van den Eshof, Numer. Math. 101, 2005), so no copies of converged
eigenvalues appear. Golub and Van Loan, Matrix Computations, 4th ed., section 10.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Matvec = Callable[[Tensor], Tensor]
"""A symmetric operator applied to each row: (B, P) to (B, P)."""


@dataclass(frozen=True)
class Krylov:
    """What ``lanczos`` found, for each of B rows and m steps.

    ``ritz_values`` (B, m) ascend; entries past a row's own number of ``steps`` (B,) are NaN. Within
    ``residual_norms`` (B, m) of each Ritz value lies an eigenvalue (when the operator is exact and symmetric, the
    norm is that of A y - theta y). ``weights`` (B, m) are those of the Gauss quadrature that the start vector
    induces: they sum to one. ``defect`` (B,) is the measured noise of the operator: the largest component of A v_j
    along earlier basis vectors on which it has none in exact arithmetic. A row whose products are not finite has
    steps = 0 and only NaN.
    """

    ritz_values: Tensor
    residual_norms: Tensor
    weights: Tensor
    defect: Tensor
    steps: Tensor
    basis: Tensor
    coordinates: Tensor

    def ritz_vectors(self, index: Tensor) -> Tensor:
        """Unit vectors (B, k, P) of the Ritz pairs ``index`` (B, k), each with its largest component positive."""
        wide = index.unsqueeze(1).expand(-1, self.coordinates.shape[1], -1)
        vectors = self.coordinates.gather(2, wide).transpose(1, 2) @ self.basis
        largest = vectors.gather(2, vectors.abs().argmax(dim=2, keepdim=True))
        return vectors * largest.sign()

    def leading(self, count: int) -> Tensor:
        """Indices (B, count) of the Ritz values largest in magnitude, largest first."""
        magnitude = self.ritz_values.abs().nan_to_num(nan=-1.0)
        return magnitude.argsort(dim=1, descending=True)[:, :count]

    def complement(self, vectors: Tensor) -> Tensor:
        """The part of ``vectors`` (B, k, P) that is orthogonal to the Krylov space."""
        for _ in range(2):
            vectors = vectors - (vectors @ self.basis.transpose(1, 2)) @ self.basis
        return vectors

    def bounded_residuals(self) -> Tensor:
        """Residual norms (B, m) that allow for the operator's measured noise."""
        return torch.hypot(self.residual_norms, self.defect.unsqueeze(1))


def lanczos(matvec: Matvec, start: Tensor, *, steps: int) -> Krylov:
    """Run ``steps`` Lanczos steps (at most P) from ``start`` (B, P), which need not be normalised.

    A row whose Krylov space is exhausted ends early; the others go on. Memory: B * steps * P numbers.
    """
    rows, size = start.shape
    steps = min(steps, size)
    basis = start.new_zeros(rows, steps, size)
    diagonal, coupling = start.new_zeros(rows, steps), start.new_zeros(rows, steps)
    done, defect, scale = (start.new_zeros(rows) for _ in range(3))
    norm = torch.linalg.vector_norm(start, dim=1)
    finite = torch.isfinite(norm) & (norm > 0)
    running, vector = finite, start / norm.unsqueeze(1)
    for step in range(steps):
        basis[:, step] = torch.where(running.unsqueeze(1), vector, 0.0)
        image = matvec(basis[:, step])
        finite = finite & (torch.isfinite(image).all(dim=1) | ~running)
        running = running & finite
        rest, along = _orthogonalise(torch.where(running.unsqueeze(1), image, 0.0), basis[:, : step + 1])
        beta = torch.linalg.vector_norm(rest, dim=1)
        diagonal[:, step], coupling[:, step] = along[:, step], beta
        defect = torch.maximum(defect, torch.linalg.vector_norm(along[:, : max(step - 1, 0)], dim=1))
        done = done + running
        scale = torch.maximum(scale, along[:, step].abs() + beta)
        running = running & (beta > 100 * torch.finfo(start.dtype).eps * scale)
        vector = rest / beta.unsqueeze(1)
    return _ritz(basis, diagonal, coupling, steps=torch.where(finite, done, 0.0).long(), defect=defect)


def _orthogonalise(vector: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Remove from ``vector`` (B, P) its part in ``basis`` (B, k, P), twice; return the rest and the part's (B, k)."""
    along = torch.zeros_like(basis[:, :, 0])
    for _ in range(2):
        part = torch.bmm(basis, vector.unsqueeze(2))
        vector = torch.baddbmm(vector.unsqueeze(2), basis.transpose(1, 2), part, alpha=-1).squeeze(2)
        along = along + part.squeeze(2)
    return vector, along


def _ritz(basis: Tensor, diagonal: Tensor, coupling: Tensor, *, steps: Tensor, defect: Tensor) -> Krylov:
    """Diagonalise each row's tridiagonal matrix of its own size ``steps`` (B,)."""
    inside = torch.arange(diagonal.shape[1], device=diagonal.device) < steps.unsqueeze(1)
    linked = torch.where(inside[:, 1:], coupling[:, :-1], 0.0)
    bound = torch.where(inside, diagonal.abs() + 2 * coupling, 0.0).amax(dim=1, keepdim=True)
    # Entries past a row's end are uncoupled and above its spectrum, so that they sort behind its own Ritz values.
    padded = torch.where(inside, diagonal, 4 * bound + 1)
    matrix = torch.diag_embed(padded) + torch.diag_embed(linked, 1) + torch.diag_embed(linked, -1)
    values, vectors = torch.linalg.eigh(matrix)
    last = (steps - 1).clamp_min(0)
    end = vectors.gather(1, last[:, None, None].expand(-1, 1, vectors.shape[2])).squeeze(1)
    residual = coupling.gather(1, last.unsqueeze(1)) * end.abs()
    return Krylov(
        ritz_values=torch.where(inside, values, torch.nan),
        residual_norms=torch.where(inside, residual, torch.nan),
        weights=torch.where(inside, vectors[:, 0].square(), torch.where(steps > 0, 0.0, torch.nan).unsqueeze(1)),
        defect=torch.where(steps > 0, defect, torch.nan),
        steps=steps,
        basis=basis,
        coordinates=vectors,
    )
