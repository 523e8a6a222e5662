"""Augmented Lagrangian method; Hestenes (1969), Powell (1969); for PINNs as in arXiv 2605.29153, Appendix C.

The constrained terms g become  mean(λ g) + (μ/2) mean(g²)  with a multiplier λ for every point; the others stay as they
are. A neural operator's g is a norm, and has a λ for each sample. Before each outer iteration λ grows by μ g and then μ
by a factor; the first one starts from λ = μ g too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Integers
from sciml_backend.run import BadRequest, setting
from sciml_backend.strategy import STAGE, Outer, Posable, State, Strategy, part

EQUATION = ("residual", "physics")
"""What losses call the equation's own term."""


@dataclass
class Multipliers(State):
    """λ by constrained term, each (B, n), the penalty μ (B,) of the present stage, weights (B,) of the other terms."""

    multiplier: dict[str, Tensor]
    penalty: Tensor
    weight: dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class ALM(Outer[Multipliers]):
    """Augmented Lagrangian (constraints by multipliers, one per point), with another strategy within."""

    label = "ALM"
    weighs_terms = True
    inner: Strategy[Any] = part("lbfgs", "the strategy that minimises each augmented Lagrangian", **STAGE)
    iterations: int = setting(50, "outer iterations")
    penalty: float = setting(2.0, "penalty mu at the start")
    growth: float = setting(1.2, "factor by which mu grows before each outer iteration")
    objective: float = setting(1.0, "weight of the terms that are not constraints")
    constrained: str = setting(
        "conditions", "terms that are constraints: conditions (all but the equation), all, or names joined by +"
    )

    def __post_init__(self) -> None:
        self._require("iterations", "penalty", "growth", above=0)
        self._require("objective", least=0)
        for own in self.inner.within():
            if own.weighs_terms:
                raise BadRequest(f"ALM weighs the terms, and {own.label} within it weighs them too; name another.")
            if own.moves_points and self.holds_points:
                raise BadRequest(
                    f"ALM has a multiplier for each point that {own.label} within it would move; name another "
                    "strategy, or set constrained=conditions."
                )

    def check(self, terms: Sequence[str]) -> None:
        chosen = _chosen(self.constrained, terms)
        if self.objective != 1 and len(chosen) == len(terms):
            raise BadRequest("ALM: all terms are constraints, so objective weighs none; leave it at 1.")

    @property
    def holds_points(self) -> bool:
        return self.constrained == "all" or not {*EQUATION}.isdisjoint(self.constrained.split("+"))

    @property
    def expected_iterations(self) -> int:
        return self.iterations * self.expected_of_a_stage

    def context(self, objective: Posable, theta: Tensor) -> Multipliers:
        residuals = objective.residuals(theta)
        terms = _chosen(self.constrained, residuals)
        nothing = {name: torch.zeros_like(residuals[name]) for name in terms}
        penalty = torch.full((len(theta),), self.penalty, dtype=torch.float64)
        free = [name for name in residuals if name not in terms] if self.objective != 1 else []
        weight = {name: torch.full_like(penalty, self.objective) for name in free}
        return self._raised(Multipliers(nothing, penalty, weight), residuals)

    def next(self, objective: Posable, theta: Tensor, context: Multipliers) -> Multipliers:
        return self._raised(context, objective.residuals(theta))

    def _raised(self, context: Multipliers, residuals: dict[str, Tensor]) -> Multipliers:
        multiplier = {
            name: old + context.penalty.to(old)[:, None] * residuals[name] for name, old in context.multiplier.items()
        }
        return Multipliers(multiplier, context.penalty * self.growth, context.weight)

    def pose(self, objective: Posable, context: Multipliers) -> Posable:
        half = {name: context.penalty / 2 for name in context.multiplier}
        return objective.given(weights=half | context.weight, multipliers=context.multiplier)

    def stages(self, context: Multipliers) -> Integers:
        return np.full(len(context.penalty), self.iterations)


def _chosen(asked: str, terms: Iterable[str]) -> list[str]:
    """The constrained terms; raises BadRequest when one is not there."""
    terms = list(terms)
    groups = {"all": terms, "conditions": [name for name in terms if name not in EQUATION]}
    named = groups.get(asked, asked.split("+"))
    if unknown := [name for name in named if name not in terms]:
        raise BadRequest(f"ALM: there is no term {unknown[0]!r} to constrain; this loss has {', '.join(terms)}.")
    return named
