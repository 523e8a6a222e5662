"""Hutchinson's estimate of a trace; Commun. Stat. Simul. Comput. 19, 433 (1990)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml_backend.linalg.lanczos import Matvec


@dataclass(frozen=True)
class TraceEstimate:
    """An estimated trace and the standard error of that estimate."""

    value: float
    standard_error: float


def trace(matvec: Matvec, probes: Tensor) -> TraceEstimate:
    """Mean of z . A z over the rows z of ``probes`` (n >= 2, P), one product at a time.

    Probes have identity covariance; signs have the smaller variance: 2 (||A||_F^2 - sum of squared diagonal).
    """
    samples = [float((probe * matvec(probe)).sum()) for probe in torch.split(probes, 1)]
    mean = sum(samples) / len(samples)
    variance = sum((sample - mean) ** 2 for sample in samples) / (len(samples) - 1)
    return TraceEstimate(mean, (variance / len(samples)) ** 0.5)
