"""The contract of an optimiser: a state, a step, and for every row a reason to stop.

``theta`` is (B, P): B training runs, P parameters each. A strategy advances every row by one iteration, each with its
own step length and its own status; the engine owns the loop, records, and compacts finished rows out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, Integers
from sciml_backend.run import BadRequest, Status


class Minimisable(Protocol):
    """What a strategy asks of an objective."""

    def value_and_gradient(self, theta: Tensor, /) -> tuple[Tensor, Tensor]:
        """Loss (B,) and gradient (B, P) at theta (B, P), in new tensors: strategies keep them."""
        ...

    def rows(self, index: Integers, /) -> Minimisable:
        """The same objective for these rows only, in this order."""
        ...


class State:
    """What a strategy remembers between steps: a dataclass of arrays with one entry per row, first axis B.

    A state is used up by the step it is given to, which may change its arrays in place.
    """

    def rows(self, index: Integers) -> Self:
        """A copy for these rows only, in this order."""
        chosen = {f.name: _rows(getattr(self, f.name), index) for f in fields(self)}  # type: ignore[arg-type]
        return replace(self, **chosen)  # type: ignore[type-var]


def _rows(value: Any, index: Integers) -> Any:
    if isinstance(value, Tensor):
        return value[torch.as_tensor(index, device=value.device)]
    if isinstance(value, np.ndarray):
        return value[index]
    return value.rows(index)


S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Step(Generic[S]):
    """One iteration of every row.

    ``theta`` (B, P) and ``state`` are what the next step is given; ``loss`` and ``gradient_norm`` (the largest absolute
    component), (B,) each, belong to ``theta``; ``evaluations`` (B,) counts the loss-and-gradient calls of this step,
    the first step's including those of ``init``. ``status`` and ``reason`` (a sentence, empty while running) have one
    entry per row. A diverged row keeps its last finite theta.
    """

    theta: Tensor
    state: S
    loss: Floats
    gradient_norm: Floats
    evaluations: Integers
    status: list[Status]
    reason: list[str]


class Strategy(ABC, Generic[S]):
    """An optimiser; a frozen dataclass of its settings, in a module named by its identifier."""

    label: ClassVar[str]

    @property
    def vectors(self) -> int:
        """At most how many vectors of P numbers a row keeps while it steps; memory is predicted from it."""
        return 12

    @abstractmethod
    def init(self, objective: Minimisable, theta: Tensor) -> S:
        """The state at theta (B, P), before the first step."""

    @abstractmethod
    def step(self, objective: Minimisable, theta: Tensor, state: S) -> Step[S]:
        """One iteration of every row given."""

    def _require(self, *names: str, above: float) -> None:
        """Raise BadRequest unless these settings exceed a number."""
        for name in names:
            value = getattr(self, name)
            if not value > above:
                raise BadRequest(f"The setting {name} of {self.label} must be greater than {above:g}, got {value!r}.")
