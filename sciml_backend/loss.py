"""How the loss that is trained is made of a problem: where its points lie, how noisy its data, how its terms weigh.

These are settings of a run beside its strategy's, so any strategy can be asked to train with them. The points and the
noise make the plain loss, which is logged and judged; weights and moving points are of the training alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, cast

import numpy as np

from sciml_backend.adaptive import KINDS, Adaptive
from sciml_backend.problem import SAMPLINGS, Array, Problem
from sciml_backend.run import BadRequest, Setting, setting
from sciml_backend.schedule import Known
from sciml_backend.strategy import Outer, Strategy

WEIGHT = "weight."
"""What the setting of a term's weight begins with; the term's name follows."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What is trained instead of the plain sum of mean squares at points of a grid; with any strategy.

    A term has the weight 1 unless told: ``--set weight.initial=10``.
    """

    label: ClassVar[str] = "Loss"
    sampling: str = setting(
        "uniform",
        "where the points lie: uniform (nodes of a grid), sobol (quasi-random), or adaptive (uniform, then drawn anew "
        "where the residual is large)",
    )
    noise: float = setting(0.0, "standard deviation of the noise on measured values, in units of the solution")
    weighting: str = setting("fixed", "weights of the terms: fixed, or adaptive (so that their gradients are alike)")
    rounds: int = setting(20, "rounds of training, before each of which but the first points or weights are adapted")
    round_iterations: int = setting(500, "iterations of a round at most; the last one goes on to the strategy's end")
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def adapted(self) -> tuple[str, ...]:
        """What is made anew while training: points, weights, both or nothing."""
        chosen = {"points": self.sampling, "weights": self.weighting}
        return tuple(kind for kind in KINDS if chosen[kind] == "adaptive")

    def points(self, problem: Problem, n: int, *, data_seed: int) -> dict[str, Array]:
        """Point sets by name, each (n, d)."""
        return problem.points(n, data_seed=data_seed, sampling="sobol" if self.sampling == "sobol" else "uniform")

    def errors(self, problem: Problem, points: Mapping[str, Array], *, data_seed: int) -> dict[str, Array]:
        """The noise on every measured term by name, each (n,); equal for equal ``data_seed``."""
        if not self.noise:
            return {}
        rng = np.random.default_rng([data_seed, 1])
        measured = [term for term in problem.terms() if term.measured]
        return {term.name: self.noise * rng.standard_normal(len(points[term.at[0]])) for term in measured}

    def trained(self, phase: Strategy[Any]) -> Strategy[Any]:
        """A strategy made to train with these weights and points; one within another adapts within its stages."""
        if not (self.adapted or self.weights):
            return phase
        if isinstance(phase, Outer):
            self._require_free(phase)
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

    def _require_free(self, phase: Outer[Any]) -> None:
        """Raise BadRequest when a strategy does itself what is to be adapted."""
        if "points" in self.adapted and phase.moves_points:
            raise BadRequest(f"{phase.label} moves the points itself; choose the sampling uniform or sobol.")
        if ("weights" in self.adapted or self.weights) and phase.weighs_terms:
            raise BadRequest(f"{phase.label} weighs the terms itself; leave the weighting fixed and all weights at 1.")


def settings_of(problem: Problem) -> dict[str, Known]:
    """Every setting of the loss by name, with a weight for each term of the problem."""
    return GENERAL | {f"{WEIGHT}{term.name}": Known(1.0, _WEIGHT_DOC.format(term.name)) for term in problem.terms()}


def split(problem: Problem, settings: Mapping[str, Setting]) -> tuple[Loss, dict[str, Setting]]:
    """The loss that settings ask for, and those that are the strategy's; raises BadRequest on impossible ones."""
    known = settings_of(problem)
    ours = {name: value for name, value in settings.items() if name in known}
    weights = {name.removeprefix(WEIGHT): float(v) for name, v in ours.items() if name.startswith(WEIGHT)}
    own: dict[str, Any] = {name: value for name, value in ours.items() if not name.startswith(WEIGHT)}
    loss = Loss(**own, weights=weights)
    _check(problem, loss)
    return loss, {name: value for name, value in settings.items() if name not in ours}


def _check(problem: Problem, loss: Loss) -> None:
    """Raise BadRequest on what cannot be."""
    measured = [term for term in problem.terms() if term.measured]
    if loss.sampling not in (*SAMPLINGS, "adaptive"):
        raise BadRequest(f"sampling is {', '.join(SAMPLINGS)} or adaptive, got {loss.sampling!r}.")
    if loss.weighting not in ("fixed", "adaptive"):
        raise BadRequest(f"weighting is fixed or adaptive, got {loss.weighting!r}.")
    if not loss.noise >= 0:
        raise BadRequest(f"noise is a standard deviation, at least 0, got {loss.noise!r}.")
    if loss.noise and not measured:
        raise BadRequest(f"{problem.label} has no measured values that could be noisy; leave noise at 0.")
    if loss.rounds < 1 or loss.round_iterations < 1:
        raise BadRequest(f"rounds and round_iterations are at least 1, got {loss.rounds} and {loss.round_iterations}.")
    if loss.adapted and loss.rounds == 1:
        raise BadRequest("In one round nothing is adapted: take at least 2 rounds, or leave points and weights.")
    for name, weight in loss.weights.items():
        if not 0 <= weight < float("inf"):
            raise BadRequest(f"The weight of a term is a number from 0 on, got {weight!r} for {name}.")
    if loss.sampling == "adaptive" and any("interior" in term.at for term in measured):
        raise BadRequest(
            f"The points of {problem.label} are samples and cannot be drawn anew; choose sobol or uniform."
        )
    if loss.weighting == "adaptive" and len(problem.terms()) == 1:
        raise BadRequest(f"{problem.label} has one term only, so there is nothing to weigh.")


_WEIGHT_DOC = "weight of the term {} while training"
GENERAL = {f.name: Known(cast(Setting, f.default), f.metadata["doc"]) for f in fields(Loss) if "doc" in f.metadata}
"""The settings that do not depend on the problem."""
