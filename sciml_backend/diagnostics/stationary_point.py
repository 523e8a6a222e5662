"""What kind of a point a run ended at: all eigenvalues of the Hessian, and how far it is from the trivial solution.

Newton's method stops at saddles, often at the one where the network's output is zero; Rowan (2025), arXiv:2510.11987.
The number of negative eigenvalues is the point's Morse index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import Tensor

from sciml_backend import memory
from sciml_backend.diagnostic import Diagnostic, Finding, require_finite, to_numpy
from sciml_backend.linalg.symmetric import eigen
from sciml_backend.run import setting

if TYPE_CHECKING:
    from sciml_backend.objective import Objective

MATRICES = 5
"""Dense matrices that are there at a time: the Hessian and its symmetric part, eigenvectors, what LAPACK works in."""


@dataclass(frozen=True, kw_only=True)
class StationaryPoint(Diagnostic):
    """Stationary point: is the end of a run a minimum, a saddle, the trivial solution, or none of them?

    ``negative`` (the Morse index), ``vanishing`` and ``positive`` count the eigenvalues of the Hessian, those within
    ``floor`` as vanishing; ``output`` is the norm of the network's output beside the reference's (0: trivial), and
    ``reachable`` the share of the loss that the residuals' tangent space could remove. ``eigenvalues`` (P,) ascend.
    """

    label: ClassVar[str] = "Stationary point"
    at: str = setting("final", "which weights are measured: initial (before training) or final (after it)")
    floor: float = setting(1e-8, "an eigenvalue this small beside the largest one is neither positive nor negative")

    def __post_init__(self) -> None:
        self.require(self.at in ("initial", "final"), f"at must be initial or final, got {self.at!r}.")
        self.require(self.floor > 0, f"floor must be above 0, got {self.floor!r}.")

    def compute(self, objective: Objective, *, theta_initial: Tensor, theta_final: Tensor) -> Finding:
        """Measure the point before or after training, as ``at`` says."""
        theta = theta_final if self.at == "final" else theta_initial
        require_finite(theta)
        self._require_room(theta)
        here = theta[None]
        loss, gradient = objective.value_and_gradient(here)
        reachable = self._reachable(objective, here, gradient)  # first, as it is refused where there is no such matrix
        values = to_numpy(eigen(objective.hessian(here)).values[0])
        floor = self.floor * float(np.abs(values).max())
        negative, positive = int((values < -floor).sum()), int((values > floor).sum())
        learned = objective.solution(here)
        numbers = {
            "loss": float(loss[0]),
            "gradient_norm": float(gradient.abs().max()),
            "lambda_min": float(values[0]),
            "lambda_max": float(values[-1]),
            "floor": floor,
            "negative": float(negative),
            "vanishing": float(len(values) - negative - positive),
            "positive": float(positive),
            "output": float(np.linalg.norm(learned["solution"]) / np.linalg.norm(learned["reference"])),
            "reachable": reachable / float(loss[0]),
        }
        return Finding(numbers, {"eigenvalues": values})

    def _reachable(self, objective: Objective, theta: Tensor, gradient: Tensor) -> float:
        """gᵀG⁺g / 2, the square of R's part within J's columns: the loss is |R|², g = 2JᵀR and G = 2JᵀJ."""
        spectrum = eigen(objective.gauss_newton(theta))
        values, slope = spectrum.values[0], spectrum.components(gradient)[0]
        known = values > self.floor * values[-1]
        return float((slope[known] ** 2 / values[known]).sum() / 2)

    def _require_room(self, theta: Tensor) -> None:
        what = f"{self.label}: the dense Hessian of {theta.numel():,} parameters"
        memory.require(
            MATRICES * 8 * theta.numel() ** 2, "cpu", what, "take a smaller network, or the diagnostic spectrum"
        )
