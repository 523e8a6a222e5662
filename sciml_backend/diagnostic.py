"""The contract of a diagnostic: an objective and a run's weights in, named numbers and arrays out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from sciml_backend import memory
from sciml_backend.run import BadRequest, Setting, setting

if TYPE_CHECKING:
    from sciml_backend.objective import Objective

DOUBLE_UP_TO = 100_000
"""Up to this many parameters curvature is computed in float64: float32 noise alone makes a third of the eigenvalues
of a trained network look negative."""

FEW_VECTORS = 30
"""Above that size at most this many Lanczos vectors are kept."""


class Finding(NamedTuple):
    """What a diagnostic found: scalars and numpy arrays, by name."""

    numbers: dict[str, float]
    arrays: dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Diagnostic(ABC):
    """Something to measure about one run; the fields of a subclass are its settings, with defaults.

    A subclass states its ``label`` and its docstring is shown to users; its identifier is its module's name.
    """

    label: ClassVar[str]

    @abstractmethod
    def compute(self, objective: Objective, *, theta_initial: Tensor, theta_final: Tensor) -> Finding:
        """Measure one run from its weights (P,) before and after training, in the objective's dtype.

        Raises BadRequest when the settings do not fit the run.
        """

    @classmethod
    def defaults(cls) -> dict[str, Setting]:
        """Every setting's name and default value."""
        return {field.name: field.default for field in fields(cls) if field.default is not MISSING}

    @classmethod
    def of(cls, settings: Mapping[str, Setting]) -> Self:
        """The diagnostic with some settings changed; raises BadRequest on a name or a type it does not have."""
        known = cls.defaults()
        given: dict[str, Setting] = {}
        for name, value in settings.items():
            if name not in known:
                raise BadRequest(f"{cls.label} has no setting {name!r}; it has {', '.join(known) or 'none'}.")
            wanted = type(known[name])
            if type(value) is not wanted and not (wanted is float and type(value) is int):
                raise BadRequest(f"{cls.label}: {name} must be of type {wanted.__name__}, got {value!r}.")
            given[name] = wanted(value)  # 1 and 1.0 are one setting, and so one request key
        return cls(**given)

    def settings(self) -> dict[str, Setting]:
        """Every setting's name and value."""
        return asdict(self)

    def of_interest(self, objective: Objective) -> Objective:
        """What is measured of a run's objective: all of it, unless a subclass offers a choice."""
        return objective

    def require(self, condition: bool, sentence: str) -> None:
        """Raise BadRequest with the diagnostic's label and ``sentence`` unless ``condition`` holds."""
        if not condition:
            raise BadRequest(f"{self.label}: {sentence}")


@dataclass(frozen=True, kw_only=True)
class OfTheLoss(Diagnostic):
    """A diagnostic of the loss as a function of the weights: of all training data, or of so many samples of them."""

    data: int = setting(0, "training samples that the loss is of, always the same ones (0: all)")

    def of_interest(self, objective: Objective) -> Objective:
        """The objective on the samples asked for; raises BadRequest where they cannot be told apart."""
        self.require(self.data >= 0, f"data must be a number of samples, or 0 for all, got {self.data}.")
        return objective.subset(self.data) if self.data else objective


@dataclass(frozen=True)
class TrainingPath:
    """A run followed through its training: iterations (n,) and the weights there (n, P)."""

    iteration: list[int]
    theta: Tensor


@dataclass(frozen=True, kw_only=True)
class AlongTraining(Diagnostic):
    """A diagnostic of the way, not of its ends: the run is trained anew, and its weights kept wherever its curve is."""

    def require_room(self, theta: Tensor) -> None:
        """Raise BadRequest, before training, where measuring a run with weights (P,) would take too much memory."""
        return None

    @abstractmethod
    def compute_along(self, objective: Objective, path: TrainingPath) -> Finding:
        """Measure a run along its training."""

    def compute(self, objective: Objective, *, theta_initial: Tensor, theta_final: Tensor) -> Finding:
        """The same of a way of which only the two ends are known."""
        return self.compute_along(objective, TrainingPath([0, 1], torch.stack([theta_initial, theta_final])))


def hessian_at(objective: Objective, theta: Tensor) -> Callable[[Tensor], Tensor]:
    """The Hessian of ``objective`` at one point ``theta`` (P,) as an operator on rows, (B, P) to (B, P).

    In float64 it is exact; in float32 as exact as that is (``Objective.hessian_at``), one row after the other.
    Raises BadRequest when the weights are not finite, or are float32 in a network small enough for float64.
    """
    require_finite(theta)
    if theta.dtype != torch.float64 and theta.numel() <= DOUBLE_UP_TO:
        raise BadRequest(
            f"Curvature of {theta.numel()} parameters is computed in float64, got {str(theta.dtype)[6:]}: "
            "give the objective and the weights in float64."
        )
    if theta.dtype == torch.float64:
        return lambda v: objective.hessian_times(theta.expand_as(v), v)
    times = objective.hessian_at(theta[None])
    return lambda v: torch.cat([times(row) for row in v.split(1)])


def require_finite(theta: Tensor) -> None:
    """Raise BadRequest when some weights are infinite or not a number."""
    if not torch.isfinite(theta).all():
        raise BadRequest("The run diverged: its weights are not finite, so nothing can be measured at them.")


def affordable_steps(asked: int, theta: Tensor, *, rows: int = 1, beside: int = 0) -> int:
    """How many of the ``asked`` Lanczos steps to take at ``theta`` (P,): at most P, and few in a large network.

    ``rows`` Krylov spaces are kept at a time, and ``beside`` vectors more. Raises BadRequest, before anything is
    computed, when all these would fill more than half of the free memory.
    """
    size = theta.numel()
    steps = min(asked, size if size <= DOUBLE_UP_TO else FEW_VECTORS)
    vectors = rows * steps + beside
    what = f"A basis of {vectors} vectors of {size:,} parameters"
    memory.require(vectors * size * theta.element_size(), theta.device, what, "ask for fewer steps")
    return steps


def to_numpy(tensor: Tensor) -> np.ndarray[Any, Any]:
    """A detached copy on the CPU."""
    return tensor.detach().cpu().numpy()
