"""How the loss that is trained is made: how its terms weigh, and whatever else an objective lets one choose.

These are settings of a run beside its strategy's, so any strategy can be asked to train with them. What a subclass adds
may make the plain loss, which is logged and judged (such as where points lie); weights are of the training alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self, cast

from sciml_backend.adaptive import Adaptive
from sciml_backend.run import BadRequest, Known, Setting, setting
from sciml_backend.strategy import Outer, Strategy

WEIGHT = "weight."
"""What the setting of a term's weight begins with; the term's name follows."""
_WEIGHT_DOC = "weight of the term {} while training"


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What is trained instead of the plain sum of an objective's terms; with any strategy.

    A term has the weight 1 unless told: ``--set weight.initial=10``.
    """

    label: ClassVar[str] = "Loss"
    weighting: str = setting("fixed", "weights of the terms: fixed, or adaptive (so that their gradients are alike)")
    rounds: int = setting(20, "rounds of training, before each of which but the first something is adapted")
    round_iterations: int = setting(500, "iterations of a round at most; the last one goes on to the strategy's end")
    weights: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def settings(cls, terms: Sequence[str]) -> dict[str, Known]:
        """Every setting by name, with a weight for each of an objective's terms."""
        own = {f.name: Known(cast(Setting, f.default), f.metadata["doc"]) for f in fields(cls) if "doc" in f.metadata}
        return own | {f"{WEIGHT}{term}": Known(1.0, _WEIGHT_DOC.format(term)) for term in terms}

    @classmethod
    def split(cls, terms: Sequence[str], settings: Mapping[str, Setting]) -> tuple[Self, dict[str, Setting]]:
        """The loss that settings ask for, and those settings that are not its own."""
        known = cls.settings(terms)
        ours = {name: value for name, value in settings.items() if name in known}
        weights = {name.removeprefix(WEIGHT): float(v) for name, v in ours.items() if name.startswith(WEIGHT)}
        own: dict[str, Any] = {name: value for name, value in ours.items() if not name.startswith(WEIGHT)}
        return cls(**own, weights=weights), {name: value for name, value in settings.items() if name not in ours}

    @property
    def corrected(self) -> bool:
        """Whether it mends what the published loss is wrong about; a run says so in its ``protocol``."""
        return False

    @property
    def adapted(self) -> tuple[str, ...]:
        """What is made anew while training: points, weights, both or nothing."""
        return ("weights",) if self.weighting == "adaptive" else ()

    def movable(self, problem: Any) -> bool:
        """Whether there are collocation points that a strategy may move."""
        return False

    def check(self, problem: Any, terms: Sequence[str]) -> None:
        """Raise BadRequest on what cannot be, for this problem and these terms of its objective."""
        if self.weighting not in ("fixed", "adaptive"):
            raise BadRequest(f"weighting is fixed or adaptive, got {self.weighting!r}.")
        if self.rounds < 1 or self.round_iterations < 1:
            raise BadRequest(
                f"rounds and round_iterations are at least 1, got {self.rounds} and {self.round_iterations}."
            )
        own = {f.name: f.default for f in fields(self)}
        if not self.adapted and any(getattr(self, name) != own[name] for name in ("rounds", "round_iterations")):
            raise BadRequest("Without adaptive points or weights there are no rounds; leave their settings alone.")
        if self.adapted and self.rounds == 1:
            raise BadRequest("In one round nothing is adapted: take at least 2 rounds, or leave points and weights.")
        for name, weight in self.weights.items():
            if not 0 <= weight < float("inf"):
                raise BadRequest(f"The weight of a term is a number from 0 on, got {weight!r} for {name}.")
        if self.weighting == "adaptive" and len(terms) == 1:
            raise BadRequest(f"{problem.label} has one term only, so there is nothing to weigh.")

    def trained(self, phase: Strategy[Any]) -> Strategy[Any]:
        """A strategy made to train with these weights and points; one within another adapts within its stages."""
        if not (self.adapted or self.weights):
            return phase
        for part in phase.within():
            self._require_free(part)
        if self.adapted and isinstance(phase, Outer):
            return replace(phase, inner=self.trained(phase.inner))  # type: ignore[type-var]
        rounds = self.rounds if self.adapted else 1
        return Adaptive(
            inner=phase,
            weights=dict(self.weights),
            adapted=self.adapted,
            rounds=rounds,
            stage_iterations=self.round_iterations,
        )

    def _require_free(self, phase: Strategy[Any]) -> None:
        """Raise BadRequest when a strategy does itself what is to be adapted."""
        if "points" in self.adapted and phase.moves_points:
            raise BadRequest(f"{phase.label} moves the points itself; choose the sampling uniform or sobol.")
        if "points" in self.adapted and phase.holds_points:
            raise BadRequest(
                f"{phase.label} has a multiplier for each point that would be drawn anew; choose the sampling uniform "
                "or sobol, or set constrained=conditions."
            )
        if ("weights" in self.adapted or self.weights) and phase.weighs_terms:
            raise BadRequest(f"{phase.label} weighs the terms itself; leave the weighting fixed and all weights at 1.")
