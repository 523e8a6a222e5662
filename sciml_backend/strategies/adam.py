"""Adam; Kingma & Ba (2015), arXiv:1412.6980, algorithm 1, with a learning rate that follows a schedule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sciml_backend.kernels.arguments import address, real, size
from sciml_backend.linalg.row_wise import kernel
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

    def _moved(self, theta: Tensor, state: Descent) -> Tensor:
        taken = state.iteration + 1
        length = torch.as_tensor(self.rates(state) / (1 - self.beta1**taken))
        correction = torch.as_tensor(np.sqrt(1 - self.beta2**taken))
        gradient, first, second = state.gradient.contiguous(), state.means["first"], state.means["second"]
        means, moved = kernel("means", theta, of="adam"), kernel("moved", theta, of="adam")
        if means is None or moved is None:
            _update(first, self.beta1, gradient)
            _update(second, self.beta2, gradient * gradient)
            part = torch.sqrt(second).div_(column(correction, theta)).add_(self.epsilon)
            return theta - (first * column(length, theta)).div_(part)
        shape, theta = (size(len(theta)), size(theta.shape[1])), theta.contiguous()
        means(*shape, *map(address, (gradient, first, second)), *map(real, (self.beta1, self.beta2)))
        root, out = torch.sqrt(second), torch.empty_like(theta)
        moved(*shape, *map(address, (theta, first, root, length, correction)), real(self.epsilon), address(out))
        return out


def _update(mean: Tensor, decay: float, value: Tensor) -> None:
    mean.mul_(decay).add_(value * (1 - decay))
