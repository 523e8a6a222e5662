"""Solved examples and their equation: 5 times the relative L2 distance to the solutions, and that of the equation.

Both are means over samples of norms, not of squares, as in arXiv 2605.29153 (PINO; Li et al. 2021, arXiv:2111.03794).
The equation's norm is relative to its source. Of the published residual even the true solutions have one (``floor``);
the corrected one they satisfy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from sciml_backend.objectives._samples import OnGrid, OnSamples, Set, relative
from sciml_backend.run import BadRequest, RunSpec, setting
from sciml_backend.solution_operator import SolutionOperator


@dataclass(frozen=True, kw_only=True)
class WithEquation(OnGrid):
    """On which grid a solution operator is learned, and how its equation is written there; with any strategy.

    A weight multiplies what its term counts in the plain loss, 5 for the data: ``--set weight.physics=0.1``.
    """

    residual: str = setting(
        "published", "how the equation is written on the grid: published, or corrected (true solutions satisfy it)"
    )

    @property
    def corrected(self) -> bool:
        return self.residual == "corrected"

    def check(self, problem: SolutionOperator, terms: Sequence[str]) -> None:
        super().check(problem, terms)
        if self.residual not in problem.residuals:
            known = " or ".join(problem.residuals)
            raise BadRequest(f"The residual of {problem.label} is {known}, got {self.residual!r}.")


class SolutionsAndPhysics(OnSamples):
    """5 times the relative distance to the solutions, and the relative residual of the equation; PINOs."""

    label = "Solutions and equation"
    loss = WithEquation
    norms = True
    mean_squares = False
    weight = {"data": 5.0}

    @classmethod
    def terms_of(cls, problem: SolutionOperator) -> tuple[str, ...]:
        return "data", "physics"

    @classmethod
    def _beside(cls, problem: Any, run: RunSpec, loss: WithEquation) -> dict[str, np.ndarray]:
        grid = loss.side(problem)
        return {
            "equation": problem.known(loss.residual, run.data, run.coefficients, grid=grid, data_seed=run.data_seed)
        }

    def _parts(self, outputs: Tensor, own: Set, chosen: np.ndarray) -> dict[str, Tensor]:
        return {
            "data": relative(outputs, own.targets(chosen))[:, None],
            "physics": self._residual(outputs, own, chosen)[:, None],
        }

    def _residual(self, solutions: Tensor, own: Set, chosen: np.ndarray) -> Tensor:
        """The root mean square of each sample's residual, relative to the source, (k,)."""
        of = self.problem.residuals[self.chosen_loss.residual]  # type: ignore[attr-defined]
        residual: Tensor = of(solutions[:, 0], own.other("equation", chosen))
        return residual.flatten(1).square().mean(1).sqrt()

    def minibatch(self, number: int, size: int) -> Self:
        """So many of the samples, drawn anew for every number."""
        if size >= self.n:
            return self
        return self._of(np.sort(np.random.default_rng(number).choice(self.n, size, replace=False)))

    def floor(self) -> Tensor:
        """The loss of the true solutions: what their equation, as it is written, makes of them (B,)."""
        floors = []
        for row in range(self.runs):
            own, every = self._set(row), np.arange(self.n)
            floors.append(self._residual(own.targets(every), own, every).double().mean().cpu())
        return torch.stack(floors)
