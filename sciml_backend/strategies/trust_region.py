"""Trust-region Newton; Moré & Sorensen (1983), the radius as in Nocedal & Wright (2006), algorithm 4.1.

A step goes to the lowest point of the loss's quadratic model within a ball, so that it follows negative curvature
instead of being stopped by it. The radius shrinks where the model promised too much, and grows where it held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats
from sciml_backend.linalg.trust_region import lowest_within
from sciml_backend.run import setting
from sciml_backend.strategies._second_order import SecondOrder, Trial
from sciml_backend.strategy import Dense

LEAST = 0.1
"""The share of the promised decrease that a step must bring."""
POOR, GOOD = 0.25, 0.75
"""Below the one share the radius shrinks, above the other it grows."""


@dataclass(frozen=True, kw_only=True)
class TrustRegion(SecondOrder):
    """Newton's method within a trust region (exact Hessian, bounded steps), for small networks."""

    label = "Trust-region Newton"
    radius: float = setting(1.0, "radius of the ball before the first step")
    largest: float = setting(100.0, "largest radius")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("radius", above=max(0.0, self.tolerance_change))
        self._require("largest", least=self.radius)

    @property
    def first_size(self) -> float:
        return self.radius

    def matrix(self, objective: Dense, theta: Tensor) -> Tensor:
        return objective.hessian(theta)

    def proposed(self, values: Floats, slope: Floats, size: Floats) -> Floats:
        rows = zip(values, slope, size.tolist(), strict=True)
        return np.stack([lowest_within(w, g, radius) for w, g, radius in rows])

    def judged(self, trial: Trial) -> tuple[Any, Floats]:
        ratio = trial.ratio
        at_border = trial.length > 0.99 * trial.size
        grown = np.where((ratio > GOOD) & at_border, np.minimum(2 * trial.size, self.largest), trial.size)
        return ratio > LEAST, np.where(ratio < POOR, trial.length / 4, grown)
