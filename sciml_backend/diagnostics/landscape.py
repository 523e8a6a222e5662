"""The loss on a plane through a run's weights.

Li, Xu, Taylor, Studer and Goldstein (2018), arXiv:1712.09913: directions are rescaled filter by filter to the norm
of the weights, so that planes of different networks can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from sciml_backend.diagnostic import Finding, OfTheLoss, affordable_steps, hessian_at, require_finite, to_numpy
from sciml_backend.linalg.lanczos import lanczos
from sciml_backend.linalg.probes import gaussian
from sciml_backend.run import setting

if TYPE_CHECKING:
    from sciml_backend.model import Block
    from sciml_backend.objective import Objective

TOGETHER = 2**23
"""Weights of all the plane's points that are made at a time, in numbers."""


@dataclass(frozen=True, kw_only=True)
class Landscape(OfTheLoss):
    """log10 of the loss on a square plane of weights around a run's end, along two directions.

    The directions are the two Hessian eigenvectors of largest curvature (``eigenvectors``) or random ones
    (``random``), rescaled per filter (a neuron's incoming weights; a bias vector counts as one), per ``tensor``, or
    not at all (``none``). ``radius`` is in units of the rescaled directions.
    """

    label: ClassVar[str] = "Loss landscape"
    at: str = setting(
        "final", "which weights are the centre of the plane: initial (before training) or final (after it)"
    )
    directions: str = setting("eigenvectors", "what spans the plane: eigenvectors (of largest curvature) or random")
    normalise: str = setting(
        "filter", "what takes over the norm of its weights in the directions: every filter, every tensor, or none"
    )
    points: int = setting(51, "points along each side of the plane, an odd number")
    radius: float = setting(0.5, "how far the plane reaches from its centre, in units of the rescaled directions")
    steps: int = setting(40, "Lanczos steps for the eigenvectors, at most")
    seed: int = setting(0, "seed of the random vectors")

    def __post_init__(self) -> None:
        self.require(self.at in ("initial", "final"), f"at must be initial or final, got {self.at!r}.")
        self.require(
            self.directions in ("eigenvectors", "random"),
            f"directions must be eigenvectors or random, got {self.directions!r}.",
        )
        self.require(
            self.normalise in ("filter", "tensor", "none"),
            f"normalise must be filter, tensor or none, got {self.normalise!r}.",
        )
        self.require(self.points >= 3 and self.points % 2 == 1, f"points must be odd, from 3, got {self.points}.")
        self.require(self.steps >= 2, f"steps must be at least 2 for two eigenvectors, got {self.steps}.")
        self.require(self.radius > 0, f"radius must be positive, got {self.radius}.")

    def compute(self, objective: Objective, *, theta_initial: Tensor, theta_final: Tensor) -> Finding:
        """Evaluate the plain loss on the plane; ``log10_loss[i, j]`` is at step ``first[i]``, ``second[j]``."""
        theta = theta_final if self.at == "final" else theta_initial
        require_finite(theta)
        directions, numbers = self._directions(objective, theta)
        plane = rescaled(directions, theta, layout=objective.layout, normalise=self.normalise)
        steps = torch.linspace(-self.radius, self.radius, self.points, dtype=theta.dtype, device=theta.device)
        pieces = steps.split(max(1, TOGETHER // theta.numel()))
        lines = [
            torch.cat([objective.value(theta + step * plane[0] + some[:, None] * plane[1]) for some in pieces])
            for step in steps
        ]
        losses = torch.stack(lines)
        centre = float(losses[self.points // 2, self.points // 2])
        finite = losses[losses.isfinite()]
        self.require(finite.numel() > 0, "the loss is nowhere finite on this plane.")
        numbers |= {"loss": centre, "lowest": float(finite.min()), "highest": float(finite.max())}
        logarithm = losses.clamp_min(torch.finfo(losses.dtype).tiny).log10()
        logarithm[~losses.isfinite()] = torch.nan
        return Finding(
            numbers, {"first": to_numpy(steps), "second": to_numpy(steps), "log10_loss": to_numpy(logarithm)}
        )

    def _directions(self, objective: Objective, theta: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Two orthonormal directions (2, P), not rescaled yet, and their curvatures where they are eigenvectors."""
        generator = torch.Generator().manual_seed(self.seed)
        if self.directions == "random":
            drawn = gaussian(2, theta, generator=generator)
            return torch.linalg.qr(drawn.T).Q.T, {}
        hessian = hessian_at(objective, theta)
        start = gaussian(1, theta, generator=generator)
        krylov = lanczos(hessian, start, steps=affordable_steps(self.steps, theta))
        self.require(int(krylov.steps) >= 2, "the Hessian has no two eigenvectors to span a plane: use random.")
        leading = krylov.leading(2)
        values, residuals = krylov.ritz_values[0, leading[0]], krylov.bounded_residuals()[0, leading[0]]
        numbers = {
            "curvature_first": float(values[0]),
            "curvature_second": float(values[1]),
            "curvature_residual": float(residuals.max()),
        }
        return krylov.ritz_vectors(leading)[0], numbers


def rescaled(directions: Tensor, theta: Tensor, *, layout: Sequence[Block], normalise: str) -> Tensor:
    """The directions (k, P) with each filter, or each tensor, given the norm that it has in ``theta`` (P,)."""
    if normalise == "none":
        return directions
    result = torch.zeros_like(directions)
    for block in layout:
        groups = block.shape[block.out] if normalise == "filter" and len(block.shape) > 1 else 1
        places = torch.arange(block.slice.start, block.slice.stop, device=theta.device).unflatten(0, block.shape)
        places = places.movedim(block.out, 0).reshape(groups, -1)
        parts = directions[:, places]
        wanted = torch.linalg.vector_norm(theta[places], dim=1)
        norms = torch.linalg.vector_norm(parts, dim=2)
        # A filter that the direction does not touch stays untouched.
        factor = torch.where(norms > 0, wanted / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0)
        result[:, places] = parts * factor.unsqueeze(2)
    return result
