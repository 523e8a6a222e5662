"""Problem: pure physics. No network, no sampling strategy, no optimiser.

A problem is a list of mean-square terms. Each term has a name, the point sets it reads and a residual, written with the
fields on these sets:  ``u.value``, ``u.apply(t=1.0, xx=-nu)`` (a linear differential operator) and ``u.at["x"]``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml_backend.run import BadRequest

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


@dataclass(frozen=True, kw_only=True)
class Coefficient:
    """A number of the equation: its range, and its values on a map when it is the map's axis."""

    name: str
    label: str
    low: float
    high: float
    default: float | None = None
    axis: tuple[float, ...] = ()


@dataclass(frozen=True)
class Term:
    """One mean-square term: ``residual(*fields, c)`` is (B, n), with a field for each point set in ``at``."""

    name: str
    at: tuple[str, ...]
    residual: Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The tensor grid a problem lives on; x and t in the problem's units, end points included."""

    x: Array
    t: Array


class Problem(ABC):
    """A partial differential equation on an interval in x and [0, 1] in t, with initial and boundary conditions.

    The collocation points are drawn from the interior nodes of a 257 x 101 grid; the boundary and initial points are
    all the grid's nodes there (arXiv 2605.29153, Appendix C; nodes as in its released code).
    """

    label: ClassVar[str]
    equation: ClassVar[str]
    coefficients: ClassVar[tuple[Coefficient, ...]]
    length: ClassVar[float]
    data_axis: ClassVar[tuple[int, ...]]
    note: ClassVar[str] = ""
    families: ClassVar[tuple[str, ...]] = ("pinn",)
    variants: ClassVar[tuple[str, ...]] = ("", "float64")
    coordinates: ClassVar[tuple[str, ...]] = ("x", "t")
    n_x: ClassVar[int] = 257
    n_t: ClassVar[int] = 101

    @abstractmethod
    def terms(self) -> tuple[Term, ...]:
        """The mean-square terms whose sum is the loss."""

    @abstractmethod
    def exact(self, x: Array, t: Array, c: Mapping[str, float]) -> Array:
        """The solution on the tensor grid x (n_x,) by t (n_t,), as (n_t, n_x) in float64."""

    @property
    def axis(self) -> Coefficient:
        """The coefficient on a map's horizontal axis."""
        return next(c for c in self.coefficients if c.axis)

    @property
    def data_limit(self) -> int:
        """How many interior nodes there are to draw from."""
        return (self.n_x - 2) * (self.n_t - 1)

    def complete(self, given: Mapping[str, float]) -> dict[str, float]:
        """All coefficients, defaults filled in; raises BadRequest on an unknown, missing or out-of-range one."""
        known = {c.name: c for c in self.coefficients}
        for name in given:
            if name not in known:
                raise BadRequest(f"{self.label} has no coefficient {name!r}; it has {', '.join(known)}.")
        result: dict[str, float] = {}
        for c in self.coefficients:
            value = given.get(c.name, c.default)
            if value is None:
                raise BadRequest(f"{self.label} needs a value for {c.name}; give one between {c.low:g} and {c.high:g}.")
            if not c.low <= value <= c.high:
                raise BadRequest(f"{c.name} must lie between {c.low:g} and {c.high:g}, got {value:g}.")
            result[c.name] = float(value)
        return result

    def check_data(self, n: int) -> None:
        """Raise BadRequest when n collocation points cannot be drawn."""
        if not 1 <= n <= self.data_limit:
            raise BadRequest(
                f"N_f must lie between 1 and {self.data_limit:,} (the interior nodes of the grid), got {n:,}."
            )

    def nodes(self, *, coarsening: int = 1) -> Nodes:
        """The training grid, or the nested one with every ``coarsening``-th x."""
        return Nodes(
            x=np.linspace(0.0, self.length, self.n_x)[::coarsening],
            t=np.linspace(0.0, 1.0, self.n_t),
        )

    def test_nodes(self) -> Nodes:
        """The published test grid, 129 x 101: every second x of the training grid."""
        return self.nodes(coarsening=2)

    def heldout_nodes(self) -> Nodes:
        """Cell centres of the training grid, 256 x 100: no node in common with any training set."""
        nodes = self.nodes()
        return Nodes(x=(nodes.x[1:] + nodes.x[:-1]) / 2, t=(nodes.t[1:] + nodes.t[:-1]) / 2)

    def points(self, n: int, *, data_seed: int) -> dict[str, Array]:
        """Point sets by name, each (n, 2) of (x, t): n interior nodes without replacement, and all the border's.

        Equal for equal ``data_seed``, whatever the model's seed.
        """
        self.check_data(n)
        nodes = self.nodes()
        x, t = np.meshgrid(nodes.x[1:-1], nodes.t[1:])
        interior = np.column_stack([x.ravel(), t.ravel()])
        chosen = np.random.RandomState(data_seed).choice(len(interior), n, replace=False)
        return {
            "interior": interior[chosen],
            "lower": np.column_stack([np.full(self.n_t, nodes.x[0]), nodes.t]),
            "upper": np.column_stack([np.full(self.n_t, nodes.x[-1]), nodes.t]),
            "initial": np.column_stack([nodes.x, np.zeros(self.n_x)]),
        }


class Periodic(Problem):
    """An equation of first order in time on [0, 2π], periodic in x: a residual, the border's two ends, a start.

    Sampled as in Krishnapriyan et al. (2021), arXiv:2109.01050, and arXiv 2605.29153: the value is periodic, its slope
    is not asked to be.
    """

    length = 2 * np.pi
    data_axis = (100, 150, 200, 250, 500, 1000, 2000, 5000, 10000, 15000, 20000, 25000)

    def terms(self) -> tuple[Term, ...]:
        return (
            Term("residual", ("interior",), self.residual),
            Term("boundary", ("upper", "lower"), self.boundary),
            Term("initial", ("initial",), self.initial),
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


def grid_points(nodes: Nodes) -> Array:
    """All nodes as (n_t * n_x, 2) of (x, t), x running fastest."""
    x, t = np.meshgrid(nodes.x, nodes.t)
    return np.column_stack([x.ravel(), t.ravel()])


def as_point(coordinates: Sequence[str], points: Tensor) -> dict[str, Tensor]:
    """Columns of (n, d), or of (B, n, d), by name."""
    return {name: points[..., i] for i, name in enumerate(coordinates)}


def logistic(u: Tensor | Array, growth: Tensor | Array | float) -> Any:
    """The solution of u' = rho u (1 - u) after a time, ``growth`` = exp(rho time)."""
    return u * growth / (u * growth + 1 - u)


def gaussian(x: Tensor, *, centre: float, exponent: float) -> Tensor:
    """exp(-exponent (x - centre)^2)."""
    return torch.exp(-exponent * (x - centre) ** 2)
