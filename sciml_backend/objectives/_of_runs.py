"""What objectives share that keep the runs they are of, and look their data up run by run."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, Self

import numpy as np

from sciml_backend.model import Block, Model
from sciml_backend.objective import Index, Objective
from sciml_backend.problem import Problem
from sciml_backend.run import RunSpec
from sciml_backend.strategy import Difficulty


class OfRuns(Objective):
    """An objective with a ``problem``, a ``model`` and ``specs``, the run of each row."""

    problem: Problem
    model: Model
    specs: list[RunSpec]

    @property
    def runs(self) -> int:  # type: ignore[override]
        return len(self.specs)

    @property
    def layout(self) -> tuple[Block, ...]:
        return self.model.layout

    @property
    def difficulty(self) -> Difficulty:
        axis = self.problem.axis
        values = np.array([run.coefficients[axis.name] for run in self.specs])
        return Difficulty(axis.name, max(axis.axis), values, axis.easiest)

    def _picked(self, index: Index) -> Self:
        """A copy of these runs, in this order; what else has rows is left to the caller."""
        other = copy(self)
        other.specs = [self.specs[row] for row in np.asarray(index)]
        return other

    def _moved(self, coefficients: Mapping[str, Any]) -> Self:
        """A copy of the runs at other coefficients, by name, each (B,)."""
        other = copy(self)
        other.specs = [
            run.but(coefficients={**run.coefficients, **{name: float(v[row]) for name, v in coefficients.items()}})
            for row, run in enumerate(self.specs)
        ]
        return other
