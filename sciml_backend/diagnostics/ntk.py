"""The neural tangent kernel of a run's loss, before and after training.

Jacot, Gabriel and Hongler (2018), arXiv:1806.07572; for physics-informed losses Wang, Yu and Perdikaris (2022),
arXiv:2007.14527. With all residuals r scaled so that the loss is ‖r‖², and J their Jacobian in the weights, K = J Jᵀ.
Gradient descent with a small rate α shrinks the part of r along an eigenvector of K by 1 - 2αλ a step, as long as K
barely moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from sciml_backend import memory
from sciml_backend.diagnostic import Diagnostic, Finding, require_finite, to_numpy
from sciml_backend.run import BadRequest, setting

if TYPE_CHECKING:
    from sciml_backend.objective import Objective

ROWS = 8
"""Residuals that are differentiated together."""


@dataclass(frozen=True, kw_only=True)
class NTK(Diagnostic):
    """Eigenvalues of the neural tangent kernel before and after training, and how far the kernel moved between.

    Of each term at most ``points`` residuals are taken, drawn with ``seed``. Eigenvalues up to ``floor`` are rounding
    and count as none: ``rank`` counts those above it and ``condition`` is the largest of these over the smallest (were
    the rest counted, it would be infinite to rounding). ``effective_rank`` is exp of the entropy of the eigenvalues
    (Roy and Vetterli 2007); ``drift`` is ‖K_final - K_initial‖ / ‖K_initial‖ in the Frobenius norm.
    """

    label: ClassVar[str] = "Neural tangent kernel"
    points: int = setting(200, "residuals of each term that are taken, at most; more make the spectrum longer")
    seed: int = setting(0, "seed of their choice")

    def __post_init__(self) -> None:
        self.require(self.points >= 1, f"points must be at least 1, got {self.points}.")
        self.require(self.seed >= 0, f"seed must be at least 0, got {self.seed}.")

    def compute(self, objective: Objective, *, theta_initial: Tensor, theta_final: Tensor) -> Finding:
        """Both ends on the same residuals; raises BadRequest where the Jacobians would not fit into memory."""
        self.require(objective.mean_squares, "the loss of this run is no mean of squares, so it has no such kernel.")
        ends = {"initial": theta_initial, "final": theta_final}
        for theta in ends.values():
            require_finite(theta)
        chosen = self._chosen(objective, theta_initial)
        self._require_memory(sum(map(len, chosen.values())), theta_initial)
        numbers: dict[str, float] = {}
        values: dict[str, Tensor] = {}
        kernels = []
        for end, theta in ends.items():
            jacobian = residual_jacobian(objective, theta, chosen)
            values[end], floor = spectrum(jacobian)
            numbers |= {f"{name}_{end}": value for name, value in summary(values[end], floor).items()}
            kernels.append(jacobian @ jacobian.T)
        numbers["drift"] = float((kernels[1] - kernels[0]).norm() / kernels[0].norm())
        numbers["residuals"] = float(len(values["initial"]))
        return Finding(numbers, {f"eigenvalues_{end}": to_numpy(found) for end, found in values.items()})

    def _chosen(self, objective: Objective, theta: Tensor) -> dict[str, Tensor]:
        """Which residuals of each term are taken, in ascending order."""
        generator = torch.Generator().manual_seed(self.seed)
        there = objective.present(objective.residuals(theta[None]))
        real = {name: every[0].nonzero()[:, 0].cpu() for name, every in there.items()}
        drawn = {name: at[torch.randperm(len(at), generator=generator)[: self.points]] for name, at in real.items()}
        return {name: index.sort().values for name, index in drawn.items()}

    def _require_memory(self, residuals: int, theta: Tensor) -> None:
        needed = (2 * residuals * theta.numel() + 4 * residuals**2) * theta.element_size()
        what = f"{self.label}: a Jacobian of {residuals:,} residuals and {theta.numel():,} parameters"
        memory.require(needed, theta.device, what, "ask for fewer points")


def residual_jacobian(objective: Objective, theta: Tensor, chosen: dict[str, Tensor]) -> Tensor:
    """J (n, P) of the ``chosen`` residuals at theta (P,), each term's divided by the root of how many there are.

    The loss is then estimated by ‖r‖², and is that where all are chosen.
    """
    sizes = {name: r.shape[1] for name, r in objective.residuals(theta[None]).items()}
    rows = []
    for name, index in chosen.items():
        for some in index.split(ROWS):
            picked = theta.new_zeros(len(some), sizes[name])
            picked[torch.arange(len(some)), some] = len(index) ** -0.5
            rows.append(objective.residual_vjp(theta.expand(len(some), -1), {name: picked}))
    return torch.cat(rows)


def spectrum(jacobian: Tensor) -> tuple[Tensor, float]:
    """Eigenvalues (n,) of J Jᵀ in descending order, and the floor under which they are rounding.

    They are squares of J's singular values, which are exact to ε σ_max √(nP) or better: their floor lies at the square
    of that, far below the ε λ_max at which eigenvalues of the product J Jᵀ itself would drown.
    """
    n, parameters = jacobian.shape
    singular = torch.linalg.svdvals(jacobian)
    values = jacobian.new_zeros(n)
    values[: len(singular)] = singular**2
    relative = torch.finfo(jacobian.dtype).eps * (n * parameters) ** 0.5
    return values, float(values[0]) * relative**2


def summary(values: Tensor, floor: float) -> dict[str, float]:
    """Extremes, trace and ranks of eigenvalues (n,) in descending order."""
    sound = values[values > floor]
    if not len(sound):
        raise BadRequest("Neural tangent kernel: the residuals do not depend on the weights here.")
    share = sound / sound.sum()
    return {
        "lambda_max": float(sound[0]),
        "lambda_least": float(sound[-1]),
        "floor": floor,
        "condition": float(sound[0] / sound[-1]),
        "rank": float(len(sound)),
        "effective_rank": float(np.exp(float(-(share * share.log()).sum()))),
        "trace": float(values.sum()),
    }
