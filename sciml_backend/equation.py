"""Equation: pure physics. No network, no sampling strategy, no optimiser.

It is a list of mean-square terms. Each term has a name, the point sets it reads and a residual, written with the
fields on these sets:  ``u.value``, ``u.apply(t=1.0, xx=-nu)`` (a linear differential operator) and ``u.at["x"]``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats.qmc import Sobol
from torch import Tensor

from sciml_backend.problem import Problem

Point = Mapping[str, Tensor]
"""Coordinates by name, each (n,); or coefficients by name, each (B, 1)."""

Array = NDArray[np.float64]


class Field(Protocol):
    """The network's function on one point set, for all rows of a batch at once."""

    at: Point

    @property
    def value(self) -> Any:
        """u itself, (B, n)."""

    def apply(self, **operator: Any) -> Any:
        """A linear operator on u, (B, n): ``apply(t=1, x=b)`` is u_t + b u_x, ``apply(xx=-c**2)`` is -c² u_xx."""


@dataclass(frozen=True)
class Term:
    """One mean-square term: ``residual(*fields, c)`` is (B, n), with a field for each point set in ``at``.

    A ``measured`` one compares the solution with values that could be noisy.
    """

    name: str
    at: tuple[str, ...]
    residual: Callable[..., Any]
    measured: bool = False


@dataclass(frozen=True)
class Coordinate:
    """One side of the box a problem lives on: from ``low`` to ``high`` in the problem's units, with a grid's nodes."""

    name: str
    low: float
    high: float
    nodes: int
    """Nodes of the training grid along it, both ends included."""


Nodes = dict[str, Array]
"""A tensor grid: the nodes along each coordinate by name, ascending. Fields on it are shaped last coordinate first."""


class Equation(Problem):
    """Equations on a box, as mean-square terms on point sets; each side of the box is a coordinate with a grid.

    The collocation points are drawn from the grid's interior nodes; the sets on the border are the problem's own.
    """

    domain: ClassVar[tuple[Coordinate, ...]]
    data_name: ClassVar[str] = "N_f"
    data_label: ClassVar[str] = "collocation points N_f"
    data_source: ClassVar[str] = "the nodes of the grid to draw from"
    families: ClassVar[tuple[str, ...]] = ("pinn",)

    @abstractmethod
    def terms(self) -> tuple[Term, ...]:
        """The mean-square terms whose sum is the loss."""

    @abstractmethod
    def exact(self, at: Nodes, c: Mapping[str, float]) -> Array:
        """The solution in float64 where ``at`` says: coordinates on an open grid, x as (1, n_x) and t as (n_t, 1)."""

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The coordinates' names, in the order of a point's columns."""
        return tuple(c.name for c in self.domain)

    @property
    def data_limit(self) -> int:
        """How many nodes there are to draw from."""
        return prod(map(len, self.interior().values()))

    # -- grids --------------------------------------------------------------------------------------------------

    def nodes(self) -> Nodes:
        """The training grid."""
        return {c.name: np.linspace(c.low, c.high, c.nodes) for c in self.domain}

    def interior(self) -> Nodes:
        """The part of the training grid that collocation points are drawn from."""
        return {name: along[1:-1] for name, along in self.nodes().items()}

    def test_nodes(self) -> Nodes:
        """The test grid: every second node of the training grid along each coordinate."""
        return {name: along[::2] for name, along in self.nodes().items()}

    def test_weights(self) -> Array:
        """How often each node of the test grid counts, shaped as a field on it."""
        return np.ones(shape(self.test_nodes()))

    def heldout_nodes(self) -> Nodes:
        """Cell centres of the training grid: no node in common with any training set."""
        return {name: (along[1:] + along[:-1]) / 2 for name, along in self.nodes().items()}

    def solution(self, nodes: Nodes, c: Mapping[str, float]) -> Array:
        """The exact solution on a grid, last coordinate first: (n_t, n_x) on x by t."""
        return np.broadcast_to(self.exact(open_grid(nodes), c), shape(nodes))

    # -- points -------------------------------------------------------------------------------------------------

    def points(self, n: int, *, data_seed: int, sampling: str = "uniform") -> dict[str, Array]:
        """Point sets by name, each (n, d): ``interior``, n of its nodes without replacement, and all the border's.

        With the ``sampling`` sobol the interior's are the first n of a scrambled Sobol sequence instead, anywhere in
        the box. Equal for equal ``data_seed``, whatever the model's seed.
        """
        self.check_data(n)
        return {"interior": SAMPLINGS[sampling](self, n, data_seed), **self.border()}

    def pool(self) -> Array:
        """All nodes that interior points are drawn from, (n, d)."""
        return grid_points(self.interior())

    def border(self) -> dict[str, Array]:
        """The point sets of boundary and initial conditions by name, each (n, d)."""
        return {}


def _uniform(problem: Equation, n: int, data_seed: int) -> Array:
    pool = problem.pool()
    return pool[np.random.RandomState(data_seed).choice(len(pool), n, replace=False)]


def _sobol(problem: Equation, n: int, data_seed: int) -> Array:
    """Sobol (1967), scrambled as by Owen (1998); balanced at powers of two, so the next one is drawn."""
    drawn = Sobol(len(problem.domain), seed=data_seed).random_base2((n - 1).bit_length())[:n]
    low, high = (np.array([getattr(side, end) for side in problem.domain]) for end in ("low", "high"))
    return np.asarray(low + (high - low) * drawn)


SAMPLINGS: dict[str, Callable[[Equation, int, int], Array]] = {"uniform": _uniform, "sobol": _sobol}
"""Ways to lay the points in a box."""

TIME = Coordinate("t", 0.0, 1.0, nodes=101)


class SpaceTime(Equation):
    """An equation on an interval in x and [0, 1] in t, with initial and boundary conditions, on a 257 x 101 grid.

    The points of the initial and boundary conditions are all the grid's nodes there, and the test set is the published
    one (arXiv 2605.29153, Appendix C; nodes as in its released code).
    """

    def interior(self) -> Nodes:
        """All nodes but those at t = 0 and at both ends of x."""
        nodes = self.nodes()
        return {"x": nodes["x"][1:-1], "t": nodes["t"][1:]}

    def test_nodes(self) -> Nodes:
        """The published test grid, 129 x 101: every second x of the training grid."""
        nodes = self.nodes()
        return {"x": nodes["x"][::2], "t": nodes["t"]}

    def test_weights(self) -> Array:
        """The published test set stacks interior, initial and boundary nodes: both corners at t = 0 count twice."""
        weights = super().test_weights()
        weights[0, [0, -1]] = 2.0
        return weights

    def border(self) -> dict[str, Array]:
        """Both ends of x, ``lower`` and ``upper``, and the start, ``initial``."""
        x, t = self.nodes().values()
        return {
            "lower": np.column_stack([np.full(len(t), x[0]), t]),
            "upper": np.column_stack([np.full(len(t), x[-1]), t]),
            "initial": np.column_stack([x, np.zeros(len(x))]),
        }


class Periodic(SpaceTime):
    """An equation of first order in time on [0, 2π], periodic in x: a residual, the border's two ends, a start.

    Sampled as in Krishnapriyan et al. (2021), arXiv:2109.01050, and arXiv 2605.29153: the value is periodic, its slope
    is not asked to be.
    """

    domain = (Coordinate("x", 0.0, 2 * np.pi, nodes=257), TIME)
    data_axis = (100, 150, 200, 250, 500, 1000, 2000, 5000, 10000, 15000, 20000, 25000)

    def terms(self) -> tuple[Term, ...]:
        return (
            Term("residual", ("interior",), self.residual),
            Term("boundary", ("upper", "lower"), self.boundary),
            Term("initial", ("initial",), self.initial, measured=True),
        )

    @abstractmethod
    def residual(self, u: Field, c: Point) -> Any:
        """The equation, (B, n), zero where it holds."""

    @abstractmethod
    def initial(self, u: Field, c: Point) -> Any:
        """u minus its start at t = 0, (B, n)."""

    def boundary(self, upper: Field, lower: Field, c: Point) -> Any:
        """u at the upper end minus u at the lower end, (B, n)."""
        return upper.value - lower.value


class Interval(Equation):
    """An ordinary differential equation on [0, 1], with conditions at both ends; 1,025 nodes."""

    domain = (Coordinate("x", 0.0, 1.0, nodes=1025),)
    data_axis: ClassVar[tuple[int, ...]] = (5, 10, 20, 50, 100, 200, 500)

    def terms(self) -> tuple[Term, ...]:
        return (Term("residual", ("interior",), self.residual), Term("boundary", ("ends",), self.boundary))

    @abstractmethod
    def residual(self, u: Field, c: Point) -> Any:
        """The equation, (B, n), zero where it holds."""

    @abstractmethod
    def boundary(self, u: Field, c: Point) -> Any:
        """u minus its value at both ends, (B, 2)."""

    def border(self) -> dict[str, Array]:
        """Both ends."""
        return {"ends": np.array([[side] for side in (self.domain[0].low, self.domain[0].high)])}


def shape(nodes: Nodes) -> tuple[int, ...]:
    """The shape of a field on a grid: the last coordinate first."""
    return tuple(len(along) for along in reversed(nodes.values()))


def open_grid(nodes: Nodes) -> Nodes:
    """The nodes along each coordinate, shaped so that together they broadcast to a field on the grid."""
    return dict(zip(nodes, reversed(np.ix_(*reversed(nodes.values()))), strict=True))


def grid_points(nodes: Nodes) -> Array:
    """All nodes of a grid as (n, d), the first coordinate running fastest."""
    mesh = np.meshgrid(*reversed(nodes.values()), indexing="ij")
    return np.column_stack([along.ravel() for along in reversed(mesh)])


def as_point(coordinates: Sequence[str], points: Tensor) -> dict[str, Tensor]:
    """Columns of (n, d), or of (B, n, d), by name."""
    return {name: points[..., i] for i, name in enumerate(coordinates)}


def logistic(u: Tensor | Array, growth: Tensor | Array | float) -> Any:
    """The solution of u' = rho u (1 - u) after a time, ``growth`` = exp(rho time)."""
    return u * growth / (u * growth + 1 - u)


def gaussian(x: Tensor, *, centre: float, exponent: float) -> Tensor:
    """exp(-exponent (x - centre)^2)."""
    return torch.exp(-exponent * (x - centre) ** 2)
