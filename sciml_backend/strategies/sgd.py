"""Gradient descent with heavy-ball momentum; Robbins & Monro (1951), Polyak (1964). On all data it is deterministic."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sciml_backend.run import BadRequest, setting
from sciml_backend.strategies._first_order import Descent, FirstOrder, column


@dataclass(frozen=True, kw_only=True)
class SGD(FirstOrder):
    """SGD (gradient descent, momentum on request)."""

    label = "SGD"
    momentum: float = setting(0.0, "share of the last move that is kept")
    decay: float = setting(0.0, "weight decay: times theta, it is added to the gradient")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("decay", least=0)
        if not 0 <= self.momentum < 1:
            raise BadRequest(f"The momentum of SGD lies from 0 to below 1, got {self.momentum!r}.")

    def _means(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def _moved(self, theta: Tensor, state: Descent) -> Tensor:
        velocity = state.gradient + theta * self.decay if self.decay else state.gradient
        if self.momentum:
            velocity = state.means["velocity"] * self.momentum + velocity
            state.means = {"velocity": velocity}
        return theta - velocity * column(self.rates(state), theta)
