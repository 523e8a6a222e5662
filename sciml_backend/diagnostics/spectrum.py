"""Eigenvalue density of the Hessian of the plain loss, before and after training.

Stochastic Lanczos quadrature; Ghorbani, Krishnan and Xiao (2019), arXiv:1901.10159, and Yao et al. (2020),
arXiv:1912.07145.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sciml_backend.diagnostic import Finding, OfTheLoss, affordable_steps, hessian_at, to_numpy
from sciml_backend.linalg.probes import rademacher
from sciml_backend.linalg.spectral_density import (
    SpectralMeasure,
    density,
    noise_floor,
    spectral_measure,
    symlog_grid,
)
from sciml_backend.run import setting

if TYPE_CHECKING:
    from sciml_backend.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Spectrum(OfTheLoss):
    """The density of Hessian eigenvalues before and after training, with the floor below which a sign means nothing.

    The density is per decade of an axis that is linear within ``linear_within`` of zero and logarithmic outside, and
    each quadrature node is ``width`` decades wide. Eigenvalues inside the noise floor are neither positive nor
    negative; the shares of negative and of positive eigenvalues count only what lies outside it, each with the
    standard error over the start vectors.
    """

    label: ClassVar[str] = "Hessian spectrum"
    steps: int = setting(100, "Lanczos steps per start vector, at most")
    probes: int = setting(4, "start vectors that the density is averaged over")
    seed: int = setting(0, "seed of the start vectors")
    linear_within: float = setting(
        1e-4, "magnitude up to which the axis of eigenvalues is linear; beyond it is logarithmic"
    )
    width: float = setting(0.1, "standard deviation of the peak that each node becomes, in decades")
    grid: int = setting(801, "points of the axis of eigenvalues")

    def __post_init__(self) -> None:
        self.require(self.probes >= 2, f"probes must be at least 2 to show the noise, got {self.probes}.")
        self.require(self.steps >= 1, f"steps must be at least 1, got {self.steps}.")
        self.require(self.grid >= 2, f"grid must have at least 2 points, got {self.grid}.")
        self.require(min(self.linear_within, self.width) > 0, "linear_within and width must be positive.")

    def compute(self, objective: Objective, *, theta_initial: Tensor, theta_final: Tensor) -> Finding:
        """Measure both ends of the training on one common grid of eigenvalues."""
        ends = {"initial": theta_initial, "final": theta_final}
        measures = {name: self._measure(objective, theta) for name, theta in ends.items()}
        grid = self._grid(list(measures.values()))
        numbers: dict[str, float] = {}
        arrays: dict[str, np.ndarray[Any, Any]] = {"eigenvalue": to_numpy(grid)}
        for name, measure in measures.items():
            found = summary(measure)
            numbers |= {f"{key}_{name}": value for key, value in found.items()}
            curve = density(measure, grid, threshold=self.linear_within, width=self.width)
            arrays |= {
                f"density_{name}": to_numpy(curve),
                f"nodes_{name}": to_numpy(measure.nodes),
                f"weights_{name}": to_numpy(measure.weights),
                f"residuals_{name}": to_numpy(measure.residual_norms),
            }
        return Finding(numbers, arrays)

    def _measure(self, objective: Objective, theta: Tensor) -> SpectralMeasure:
        hessian = hessian_at(objective, theta)
        probes = rademacher(self.probes, theta, generator=torch.Generator().manual_seed(self.seed))
        # Together they fill a GPU; on a CPU they would only fall out of its cache.
        rows = self.probes if theta.is_cuda else 1
        steps = affordable_steps(self.steps, theta, rows=rows)
        measure = spectral_measure(hessian, probes, steps=steps, rows=rows)
        self.require(bool(measure.nodes[:, 0].isfinite().all()), "the Hessian is not finite at these weights.")
        return measure

    def _grid(self, measures: list[SpectralMeasure]) -> Tensor:
        nodes = torch.cat([measure.nodes.flatten() for measure in measures])
        nodes = nodes[nodes.isfinite()]
        return symlog_grid(
            float(nodes.min()),
            float(nodes.max()),
            threshold=self.linear_within,
            points=self.grid,
            margin=4 * self.width,
        )


def summary(measure: SpectralMeasure) -> dict[str, float]:
    """Extremes, noise floor and signed shares, the shares averaged over the start vectors."""
    floor = noise_floor(measure)
    negative = measure.share(measure.nodes < -floor)
    positive = measure.share(measure.nodes > floor)
    return {
        "lambda_max": float(measure.nodes.nan_to_num(nan=-torch.inf).max()),
        "lambda_min": float(measure.nodes.nan_to_num(nan=torch.inf).min()),
        "noise_floor": floor,
        "negative_share": float(negative.mean()),
        "negative_share_error": standard_error(negative),
        "positive_share": float(positive.mean()),
        "positive_share_error": standard_error(positive),
    }


def standard_error(samples: Tensor) -> float:
    """Standard error of the mean of ``samples`` (n,)."""
    return float(samples.std() / len(samples) ** 0.5)
