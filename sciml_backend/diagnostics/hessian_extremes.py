"""Extreme eigenvalues, leading eigenvectors and trace of the Hessian of the plain loss.

Lanczos with full reorthogonalisation gives the eigenvalues and the trace inside the Krylov space; Hutchinson's
estimate, on probes orthogonal to that space, adds the rest of the trace. The stiff directions, which make the plain
estimate noisy, are thus counted exactly (the idea of Meyer, Musco, Musco and Woodruff (2021), arXiv:2010.09649).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from sciml_backend.diagnostic import DOUBLE_UP_TO, Finding, OfTheLoss, affordable_steps, hessian_at, to_numpy
from sciml_backend.linalg.hutchinson import trace
from sciml_backend.linalg.lanczos import lanczos
from sciml_backend.linalg.probes import gaussian, rademacher
from sciml_backend.run import setting

if TYPE_CHECKING:
    from sciml_backend.objective import Objective

PER_PROBE = 6
"""Vectors that a random vector of the trace takes: its signs as integers, what is left of it, its product, a copy."""


@dataclass(frozen=True, kw_only=True)
class HessianExtremes(OfTheLoss):
    """Sharpness: the largest and the smallest eigenvalue of the loss's Hessian, and its trace.

    Each eigenvalue comes with a residual norm: a true eigenvalue lies that near. The trace comes with its standard
    error. ``eigenvalues`` (k,) are the largest in magnitude, and ``eigenvectors`` (k, P) theirs; of networks with more
    than 100,000 parameters these would fill the store and are not kept.
    """

    label: ClassVar[str] = "Sharpness"
    at: str = setting("final", "which weights are measured: initial (before training) or final (after it)")
    steps: int = setting(80, "Lanczos steps, at most; more make the eigenvalues more exact")
    vectors: int = setting(2, "eigenvalues largest in magnitude that are kept, with their eigenvectors")
    samples: int = setting(10, "random vectors for the part of the trace outside the Krylov space")
    seed: int = setting(0, "seed of the random vectors")

    def __post_init__(self) -> None:
        self.require(self.at in ("initial", "final"), f"at must be initial or final, got {self.at!r}.")
        self.require(self.samples >= 2, f"samples must be at least 2 to give an error, got {self.samples}.")
        self.require(1 <= self.vectors <= self.steps, f"vectors must be from 1 to steps, got {self.vectors}.")

    def compute(self, objective: Objective, *, theta_initial: Tensor, theta_final: Tensor) -> Finding:
        """Measure curvature before or after training, as ``at`` says."""
        theta = theta_final if self.at == "final" else theta_initial
        hessian = hessian_at(objective, theta)
        generator = torch.Generator().manual_seed(self.seed)
        start = gaussian(1, theta, generator=generator)
        steps = affordable_steps(self.steps, theta, beside=PER_PROBE * self.samples)
        krylov = lanczos(hessian, start, steps=steps)
        last = int(krylov.steps) - 1
        self.require(last >= 0, "the Hessian is not finite at these weights.")
        values, residuals = krylov.ritz_values[0], krylov.bounded_residuals()[0]
        leading = krylov.leading(min(self.vectors, last + 1))
        probes = rademacher(self.samples, theta, generator=generator)
        rest = trace(hessian, krylov.complement(probes.unsqueeze(0))[0])
        numbers = {
            "lambda_max": float(values[last]),
            "lambda_min": float(values[0]),
            "lambda_max_residual": float(residuals[last]),
            "lambda_min_residual": float(residuals[0]),
            "trace": float(values[: last + 1].sum()) + rest.value,
            "trace_error": rest.standard_error,
        }
        arrays = {"eigenvalues": to_numpy(values[leading[0]])}
        if theta.numel() <= DOUBLE_UP_TO:
            arrays["eigenvectors"] = to_numpy(krylov.ritz_vectors(leading)[0])
        return Finding(numbers, arrays)
