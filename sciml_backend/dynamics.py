"""Dynamics: an autonomous system x' = F(x), observed at equal steps along a trajectory; its coefficient is how hard.

The data are the trajectory's first points. What is asked of a network is a vector field in one of the state's
``embeddings``: its own coordinates, or functions of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from sciml_backend.problem import Problem
from sciml_backend.run import BadRequest

Array = NDArray[np.float64]
TOLERANCES = {"rtol": 1e-10, "atol": 1e-12}


@dataclass(frozen=True)
class Embedding:
    """Functions of the state that a network is given in its place: states (…, d) to (…, m), and their names."""

    names: tuple[str, ...]
    of: Callable[[Array], Array]


class Dynamics(Problem):
    """A vector field of the state and of coefficients, and where its trajectories start."""

    state: ClassVar[tuple[str, ...]]
    """The names of the state's components."""
    step: ClassVar[float] = 0.05
    """Time between two points, in the problem's units."""
    start: ClassVar[tuple[float, ...]]
    """Where the trajectory of the data starts."""
    test_start: ClassVar[tuple[float, ...]]
    test_points: ClassVar[int] = 400
    """Points of the test's trajectory, its start included."""
    embeddings: ClassVar[Mapping[str, Embedding]]
    own: ClassVar[str] = "angles"
    """The embedding that is the state itself."""

    by_chance = False
    data_name = "N_t"
    data_label = "points of the trajectory N_t"
    data_source = "points of a trajectory"
    data_limit = 4000

    @abstractmethod
    def field(self, state: Any, c: Mapping[str, Any]) -> Any:
        """x' at states (…, d), as (…, d); numbers of numpy or of torch, coefficients to match (…, 1)."""

    def check_data(self, n: int) -> None:
        if n == 1:
            raise BadRequest(f"{self.data_name} must be at least 2, to go from one point to the next, got {n}.")
        super().check_data(n)

    def trajectory(self, n: int, c: Mapping[str, float], *, start: tuple[float, ...]) -> Array:
        """The first n points from ``start``, (n, d), by ``scipy.integrate.solve_ivp``; exact to 1e-9."""
        longest = max(n, self.test_points)  # so that trajectories of all lengths are one, and solved once
        return _solved(type(self), longest, tuple(sorted(c.items())), start)[:n].copy()


@lru_cache(maxsize=512)
def _solved(cls: type[Dynamics], n: int, c: tuple[tuple[str, float], ...], start: tuple[float, ...]) -> Array:
    problem, at = cls(), np.arange(n) * cls.step
    numbers = dict(c)
    found = solve_ivp(
        lambda _, x: problem.field(x, numbers), (0, at[-1]), start, t_eval=at, method="DOP853", **TOLERANCES
    )
    return np.asarray(found.y.T)
