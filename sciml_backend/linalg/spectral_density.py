"""Eigenvalue density of a symmetric operator by stochastic Lanczos quadrature (SLQ).

Lin, Saad and Yang, SIAM Review 58, 34 (2016); Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38, 1075 (2017).
Each random start vector gives a Gauss quadrature of the spectral measure: nodes (Ritz values) with weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_backend.linalg.lanczos import Matvec, lanczos


@dataclass(frozen=True)
class SpectralMeasure:
    """Quadratures from n start vectors with m nodes each.

    ``nodes``, ``weights`` and ``residual_norms`` are (n, m); a quadrature with fewer nodes ends in NaN nodes of no
    weight. Residual norms allow for the operator's measured noise.
    """

    nodes: Tensor
    weights: Tensor
    residual_norms: Tensor

    def share(self, where: Tensor) -> Tensor:
        """The fraction (n,) of eigenvalues at the nodes chosen by ``where`` (n, m)."""
        return torch.where(where, self.weights, 0.0).sum(dim=1)

    def mean(self) -> Tensor:
        """The mean eigenvalue (n,), trace / P, as each start vector sees it."""
        return torch.where(self.weights > 0, self.nodes * self.weights, 0.0).sum(dim=1)


def spectral_measure(matvec: Matvec, probes: Tensor, *, steps: int, rows: int = 1) -> SpectralMeasure:
    """Quadratures of ``steps`` nodes from each row of ``probes`` (n, P), ``rows`` rows at a time."""
    runs = [lanczos(matvec, some, steps=steps) for some in torch.split(probes, rows)]
    return SpectralMeasure(
        nodes=torch.cat([run.ritz_values for run in runs]),
        weights=torch.cat([run.weights for run in runs]),
        residual_norms=torch.cat([run.bounded_residuals() for run in runs]),
    )


def noise_floor(measure: SpectralMeasure) -> float:
    """The magnitude below which the quadratures cannot tell an eigenvalue's sign.

    It is the largest of: |node| where that is inside its own residual norm, and the disagreement of the start
    vectors on the smallest and on the largest eigenvalue (a repeat of the estimate: give n >= 2 start vectors).
    """
    nodes = measure.nodes
    undecided = torch.where(nodes.abs() <= measure.residual_norms, nodes.abs(), 0.0).amax()
    lowest = nodes[:, 0]
    highest = nodes.nan_to_num(nan=-torch.inf).amax(dim=1)
    return float(torch.stack([undecided, lowest.amax() - lowest.amin(), highest.amax() - highest.amin()]).amax())


def to_symlog(values: Tensor, *, threshold: float) -> Tensor:
    """Signed decades s = sign(x) log10(1 + |x| / threshold): linear inside the threshold, logarithmic outside."""
    return values.sign() * (values.abs() / threshold).log1p() / math.log(10.0)


def from_symlog(decades: Tensor, *, threshold: float) -> Tensor:
    """Inverse of ``to_symlog``."""
    return decades.sign() * threshold * (decades.abs() * math.log(10.0)).expm1()


def symlog_grid(lowest: float, highest: float, *, threshold: float, points: int, margin: float) -> Tensor:
    """``points`` values from below ``lowest`` to above ``highest``, equally spaced in signed decades.

    ``margin`` is the room on either side, in decades.
    """
    ends = to_symlog(torch.tensor([lowest, highest], dtype=torch.float64), threshold=threshold)
    decades = torch.linspace(float(ends[0]) - margin, float(ends[1]) + margin, points, dtype=torch.float64)
    return from_symlog(decades, threshold=threshold)


def density(measure: SpectralMeasure, grid: Tensor, *, threshold: float, width: float) -> Tensor:
    """Eigenvalue density per signed decade at ``grid`` (g,), averaged over start vectors; it integrates to one.

    Each node becomes a Gaussian of standard deviation ``width`` in signed decades: a width fixed in eigenvalue
    would be lost beside the largest eigenvalues or hide everything near zero.
    """
    nodes = to_symlog(measure.nodes.nan_to_num(), threshold=threshold).to(grid)
    offset = (to_symlog(grid, threshold=threshold)[:, None, None] - nodes) / width
    kernels = torch.exp(-0.5 * offset.square()) / (width * math.sqrt(2 * math.pi))
    return (kernels * measure.weights.to(grid)).sum(dim=2).mean(dim=1)
