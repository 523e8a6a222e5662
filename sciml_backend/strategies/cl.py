"""Curriculum learning in the coefficient; Krishnapriyan et al. (2021), arXiv:2109.01050, section 5.

The coefficient that makes the problem hard starts where it is easiest, usually at zero, and rises by equal steps to its
target; the weights of a stage are the start of the next one, and the collocation points stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, Integers
from sciml_backend.run import setting
from sciml_backend.strategy import STAGE, Outer, Posable, State, Strategy, part


@dataclass
class Lesson(State):
    """The coefficient of the first stage, of the present one, of the last one, and the step between stages; (B,)."""

    easiest: Floats
    value: Floats
    target: Floats
    step: Floats


@dataclass(frozen=True, kw_only=True)
class CL(Outer[Lesson]):
    """Curriculum learning (easy coefficients first), with another strategy within."""

    label = "CL"
    inner: Strategy[Any] = part("lbfgs", "the strategy that minimises each stage's loss", **STAGE)
    lessons: int = setting(140, "steps from the easiest to the largest coefficient of the map's axis")
    stage_iterations: int = setting(0, "steps after which all stages but the last one end, too; 0 for no such limit")

    def __post_init__(self) -> None:
        self._require("lessons", above=0)
        self._require("stage_iterations", least=0)

    @property
    def expected_iterations(self) -> int:
        """At the middle of the axis."""
        return (self.lessons - 1) * self.expected_of_a_stage // 2 + self.inner.expected_iterations

    def context(self, objective: Posable, theta: Tensor) -> Lesson:
        hard = objective.difficulty
        step = np.full(len(theta), (hard.largest - hard.easiest) / self.lessons)
        easiest = np.minimum(hard.easiest, hard.values)
        return Lesson(easiest, easiest.copy(), hard.values.copy(), step)

    def next(self, objective: Posable, theta: Tensor, context: Lesson) -> Lesson:
        # Counted, not added up, so that the last step is not one of rounding.
        done = np.round((context.value - context.easiest) / context.step) + 1
        value = context.easiest + done * context.step
        reached = value > context.target - 1e-6 * context.step
        return Lesson(context.easiest, np.where(reached, context.target, value), context.target, context.step)

    def pose(self, objective: Posable, context: Lesson) -> Posable:
        return objective.given(coefficients={objective.difficulty.name: context.value})

    def stages(self, context: Lesson) -> Integers:
        return 1 + np.ceil((context.target - context.easiest) / context.step - 1e-6).astype(np.int64)
