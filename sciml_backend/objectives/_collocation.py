"""Where the points of a physics-informed loss lie, and how noisy its data are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sciml_backend.adaptive import KINDS
from sciml_backend.equation import SAMPLINGS, Array, Equation
from sciml_backend.loss import Loss
from sciml_backend.run import BadRequest, setting


@dataclass(frozen=True, kw_only=True)
class Collocation(Loss):
    """What is trained instead of the plain sum of mean squares at points of a grid; with any strategy.

    A term has the weight 1 unless told: ``--set weight.initial=10``.
    """

    sampling: str = setting(
        "uniform",
        "where the points lie: uniform (nodes of a grid), sobol (quasi-random), or adaptive (uniform, then drawn anew "
        "where the residual is large)",
    )
    noise: float = setting(0.0, "standard deviation of the noise on measured values, in units of the solution")

    @property
    def adapted(self) -> tuple[str, ...]:
        chosen = {"points": self.sampling, "weights": self.weighting}
        return tuple(kind for kind in KINDS if chosen[kind] == "adaptive")

    def points(self, problem: Equation, n: int, *, data_seed: int) -> dict[str, Array]:
        """Point sets by name, each (n, d)."""
        return problem.points(n, data_seed=data_seed, sampling="sobol" if self.sampling == "sobol" else "uniform")

    def errors(self, problem: Equation, points: Mapping[str, Array], *, data_seed: int) -> dict[str, Array]:
        """The noise on every measured term by name, each (n,); equal for equal ``data_seed``."""
        if not self.noise:
            return {}
        rng = np.random.default_rng([data_seed, 1])
        measured = [term for term in problem.terms() if term.measured]
        return {term.name: self.noise * rng.standard_normal(len(points[term.at[0]])) for term in measured}

    def movable(self, problem: Equation) -> bool:
        return not (self.noise and any("interior" in term.at for term in problem.terms() if term.measured))

    def check(self, problem: Equation, terms: Sequence[str]) -> None:
        measured = [term for term in problem.terms() if term.measured]
        if self.sampling not in (*SAMPLINGS, "adaptive"):
            raise BadRequest(f"sampling is {', '.join(SAMPLINGS)} or adaptive, got {self.sampling!r}.")
        if not self.noise >= 0:
            raise BadRequest(f"noise is a standard deviation, at least 0, got {self.noise!r}.")
        if self.noise and not measured:
            raise BadRequest(f"{problem.label} has no measured values that could be noisy; leave noise at 0.")
        super().check(problem, terms)
        if self.sampling == "adaptive" and any("interior" in term.at for term in measured):
            raise BadRequest(
                f"The points of {problem.label} are samples and cannot be drawn anew; choose sobol or uniform."
            )
