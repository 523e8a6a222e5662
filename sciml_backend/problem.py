"""Problem: what is to be learned, how hard it is and how much data there can be; no network, no optimiser.

What else a problem has depends on its kind: an ``Equation`` has terms on a box, a ``Dynamics`` a vector field, a
``SolutionOperator`` solved examples, a ``Classification`` labelled images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sciml_backend.family import Axes
from sciml_backend.run import BadRequest


@dataclass(frozen=True, kw_only=True)
class Coefficient:
    """A number of the equation: its range, and its values on a map when it is the map's axis."""

    name: str
    label: str
    low: float
    high: float
    default: float | None = None
    axis: tuple[float, ...] = ()
    easiest: float = 0.0
    """Where a curriculum in it starts."""
    whole: bool = False
    """Whether only whole numbers make sense."""
    names: tuple[str, ...] = ()
    """What people call the axis's values where these stand for something else, such as ranges; there are no others."""


class Problem(ABC):
    """What every problem has: coefficients, one of them along the maps' x axis, and an amount of data along y."""

    label: ClassVar[str]
    equation: ClassVar[str]
    coefficients: ClassVar[tuple[Coefficient, ...]]
    data_axis: ClassVar[tuple[int, ...]]
    data_name: ClassVar[str]
    data_label: ClassVar[str]
    data_source: ClassVar[str]
    """What limits the amount of data, in words that complete "N must lie between 1 and 25,500 (…)"."""
    by_chance: ClassVar[bool] = True
    """Whether its data are drawn, so that ``data_seed`` draws others."""
    note: ClassVar[str] = ""
    families: ClassVar[tuple[str, ...]]
    variants: ClassVar[tuple[str, ...]] = ("", "float64")

    @property
    def axis(self) -> Coefficient:
        """The coefficient on a map's horizontal axis."""
        return next(c for c in self.coefficients if c.axis)

    def axes(self, family: str) -> Axes:
        """The values along the axes of a family's maps."""
        return Axes(self.axis.axis, self.data_axis)

    @property
    @abstractmethod
    def data_limit(self) -> int:
        """How much data there can be."""

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
            if c.whole and value != int(value):
                raise BadRequest(f"{c.name} of {self.label} must be a whole number, got {value:g}.")
            if c.names and value not in c.axis:
                starts = ", ".join(f"{name} ({start:g})" for name, start in zip(c.names, c.axis, strict=True))
                raise BadRequest(f"{c.name} must be one of {starts}, got {value:g}.")
            result[c.name] = float(value)
        return result

    def check_data(self, n: int) -> None:
        """Raise BadRequest when there is not so much data."""
        if not 1 <= n <= self.data_limit:
            raise BadRequest(
                f"{self.data_name} must lie between 1 and {self.data_limit:,} ({self.data_source}), got {n:,}."
            )
