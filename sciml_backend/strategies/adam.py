"""Adam; Kingma & Ba (2015), arXiv:1412.6980, algorithm 1, with a learning rate that follows a schedule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciml_backend.run import BadRequest, setting
from sciml_backend.strategies._first_order import Descent, FirstOrder, column


@dataclass(frozen=True, kw_only=True)
class Adam(FirstOrder):
    """Adam (first-order, adaptive step per parameter)."""

    label = "Adam"
    beta1: float = setting(0.9, "decay of the mean of the gradient")
    beta2: float = setting(0.999, "decay of the mean of its square")
    epsilon: float = setting(1e-8, "added to the root of the mean square")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise BadRequest(
                f"The decays beta1 and beta2 of Adam lie from 0 to below 1, got {self.beta1!r} and {self.beta2!r}."
            )

    def _means(self) -> tuple[str, ...]:
        return "first", "second"

    def _move(self, theta: Tensor, state: Descent) -> Tensor:
        taken, gradient = state.iteration + 1, state.gradient
        part = gradient * (1 - self.beta1)
        first = state.means["first"].mul_(self.beta1).add_(part)
        torch.mul(gradient, gradient, out=part).mul_(1 - self.beta2)
        second = state.means["second"].mul_(self.beta2).add_(part)
        length = column(self.rates(state) / (1 - self.beta1**taken), gradient)
        root = column(np.sqrt(1 - self.beta2**taken), gradient)
        torch.sqrt(second, out=part).div_(root).add_(self.epsilon)
        return (first * length).div_(part)
