"""Training that now and then looks where it stands, and moves points or weights accordingly.

Points are drawn with a probability proportional to |r| / mean|r| + 1, r the residual at every point there is to draw
from: the distribution called RAD by Wu et al. (2023), arXiv:2207.10289, with k = c = 1. Weights follow Wang, Teng and
Perdikaris (2021), arXiv:2001.04536, algorithm 1: a term weighs max|∇L_first| / mean|∇L_term|, as a running mean.

What the strategy within remembers, such as momenta or its place in a schedule, begins anew with every round; the last
round is as long as a run of its own. What the looking costs is not counted among the evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Integers, norms
from sciml_backend.run import Status
from sciml_backend.strategy import Outer, Posable, State, Strategy

KINDS = ("points", "weights")
"""What can be adapted."""
NEW = 0.9
"""Share of the newest ratio in a weight (the alpha of the source)."""
SET = "interior"
"""The point set that is drawn anew."""


@dataclass
class Stance(State):
    """Weights (B,) by term; points (B, n, d) of the set drawn anew, once it was; rounds begun (B,)."""

    weight: dict[str, Tensor]
    drawn: dict[str, Tensor]
    round: Integers


@dataclass(frozen=True, kw_only=True)
class Adaptive(Outer[Stance]):
    """A strategy given fixed weights, and weights or points that change every ``stage_iterations`` iterations."""

    label = "Adaptive"
    inner: Strategy[Any]
    weights: dict[str, float]
    adapted: tuple[str, ...]
    rounds: int
    stage_iterations: int

    @property
    def expected_iterations(self) -> int:
        return (self.rounds - 1) * self.stage_iterations + self.inner.expected_iterations

    def context(self, objective: Posable, theta: Tensor) -> Stance:
        names = list(objective.residuals(theta)) if "weights" in self.adapted else list(self.weights)
        weight = {name: torch.full((len(theta),), self.weights.get(name, 1.0), dtype=torch.float64) for name in names}
        drawn = {}
        if "points" in self.adapted:  # the base points, until they are drawn anew
            base = torch.as_tensor(objective.points[SET])
            drawn[SET] = base.expand(len(theta), *base.shape[-2:]).clone()
        return Stance(weight, drawn, np.zeros(len(theta), dtype=np.int64))

    def next(self, objective: Posable, theta: Tensor, context: Stance) -> Stance:
        weight, drawn, begun = context.weight, context.drawn, context.round + 1
        if "weights" in self.adapted:
            weight = self._balanced(objective, theta, context)
        if "points" in self.adapted:
            drawn = {SET: _redrawn(objective, theta, context.drawn[SET].shape[1], begun)}
        return Stance(weight, drawn, begun)

    def pose(self, objective: Posable, context: Stance) -> Posable:
        points = {name: drawn.numpy() for name, drawn in context.drawn.items()}
        return objective.given(weights=context.weight, points=points)

    def stages(self, context: Stance) -> Integers:
        return np.full(len(context.round), self.rounds)

    def ended(self, inner: Status, reason: str, stages: int) -> tuple[Status, str]:
        return inner, reason

    def _balanced(self, objective: Posable, theta: Tensor, context: Stance) -> dict[str, Tensor]:
        first, *others = context.weight
        weight, one = dict(context.weight), torch.ones(len(theta), dtype=torch.float64)

        def gradient(term: str) -> Tensor:
            alone = {name: one * (name == term) for name in context.weight}
            return objective.given(weights=alone).value_and_gradient(theta)[1]

        largest = norms(gradient(first))[0].cpu()
        for term in others:
            mean = norms(gradient(term))[1].cpu() / theta.shape[1]
            ratio = torch.where(mean > 0, largest / mean.clamp(min=torch.finfo(torch.float64).tiny), weight[term])
            weight[term] = (1 - NEW) * weight[term] + NEW * ratio
        return weight


def _redrawn(objective: Posable, theta: Tensor, n: int, begun: Integers) -> Tensor:
    """Points (B, n, d) without repetition; alike for all rows with the same residuals in the same round."""
    pool = np.asarray(objective.pool[SET])
    residuals = objective.given(points={SET: pool}).residuals(theta)
    size = sum(r.double().abs() for r in residuals.values() if r.shape[1] == len(pool)).cpu().numpy()  # type: ignore[union-attr]
    rows = []
    for own, number in zip(size, begun.tolist(), strict=True):
        density = np.nan_to_num(own / own.mean(), nan=0.0, posinf=0.0) + 1
        chosen = np.random.default_rng(number).choice(len(pool), n, replace=False, p=density / density.sum())
        rows.append(torch.as_tensor(pool[chosen]))
    return torch.stack(rows)
