"""Solved examples alone: the mean square difference from the true solutions, over samples and nodes.

The published loss adds up over the nodes instead: h w times this one, and so are its gradient and its curvature
(``published_scale``). Adam with an epsilon smaller by the same factor takes the same steps.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch import Tensor

from sciml_backend.objectives._samples import OnSamples, Set
from sciml_backend.solution_operator import SolutionOperator

EPOCHS = {128: 1000, 256: 750, 512: 500, 1024: 300, 2048: 200, 4096: 150, 8192: 100, 16_384: 75}
"""Passes over the data by its amount; arXiv 2605.29153, Appendix C."""


class Solutions(OnSamples):
    """Mean square difference from the true solutions; neural operators.

    The training error is the relative L2 distance to them, the mean over the training samples, as published.
    """

    label = "Solutions"

    @classmethod
    def terms_of(cls, problem: SolutionOperator) -> tuple[str, ...]:
        return ("data",)

    @property
    def published_scale(self) -> float:
        return float(self.side**2)

    def _parts(self, outputs: Tensor, own: Set, chosen: np.ndarray) -> dict[str, Tensor]:
        return {"data": (outputs - own.targets(chosen)).flatten(1)}

    def minibatch(self, number: int, size: int) -> Self:
        """The samples in turn, in batches that are all full."""
        batches = max(1, self.n // size)
        first = number % batches * size
        return self._of(np.arange(self.n)[first : first + size])

    def published_steps(self, batch: int) -> int:
        """All full batches of as many passes as published for the largest amount of data that is not above this one."""
        passes = EPOCHS[max((n for n in EPOCHS if n <= self.n), default=min(EPOCHS))]
        return passes * max(1, self.n // (batch or self.n))

    def training_error(self, theta: Tensor) -> Tensor:
        with torch.no_grad():
            return self._errors(theta, "train", 2).to(theta)
