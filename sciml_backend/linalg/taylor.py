"""Which Taylor streams a differential operator needs, and how a request for one becomes a slot.

Streams travel forward through a network beside its value: directional first derivatives ("firsts"), and collapsed
operators L = b·∇ + Σ c_ij ∂_i ∂_j of order two ("seconds"), which need the firsts they are built on.
For a third or fourth derivative a "jet" carries the derivatives of orders one to four along a coordinate.
Griewank and Walther (2008), Evaluating Derivatives, chapter 13; Dangel et al. (2025), arXiv:2505.13644 (collapsing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Operator = Mapping[str, Any]
"""Coefficients by derivative: ``{"t": 1.0, "xx": -nu}``; each a number or a (B, 1) tensor."""

JET = 4
"""Streams of a jet: derivatives of orders one to four."""


@dataclass(frozen=True)
class Streams:
    """The streams of one term for all rows.

    first (B, K, d): directions; second_b (B, M, d) and second_c (B, M, pairs): the operators; ``pairs`` index firsts.
    jets (B, J, d): directions, of four streams each. In order: the value, firsts, seconds, jets.
    """

    first: Tensor
    second_b: Tensor
    second_c: Tensor
    pairs: tuple[tuple[int, int], ...]
    jets: Tensor

    @classmethod
    def value_only(cls, rows: int, dims: int) -> Streams:
        """No derivatives at all."""
        return cls(
            torch.zeros(rows, 0, dims),
            torch.zeros(rows, 0, dims),
            torch.zeros(rows, 0, 0),
            (),
            torch.zeros(rows, 0, dims),
        )

    @property
    def counts(self) -> tuple[int, int, int]:
        """Streams per point of firsts, of seconds and of jets."""
        return self.first.shape[1], self.second_b.shape[1], JET * self.jets.shape[1]

    @property
    def count(self) -> int:
        """Streams per point, the value included."""
        return 1 + sum(self.counts)

    def rows(self, index: Tensor) -> Streams:
        """The same for some of the rows."""
        first, b, c, jets = (t[index] for t in (self.first, self.second_b, self.second_c, self.jets))
        return Streams(first, b, c, self.pairs, jets)

    def to(self, dtype: torch.dtype, device: torch.device) -> Streams:
        """The same numbers in another precision, contiguous."""
        numbers = self.first, self.second_b, self.second_c, self.jets
        first, b, c, jets = (t.to(dtype=dtype, device=device).contiguous() for t in numbers)
        return Streams(first, b, c, self.pairs, jets)


@dataclass
class StreamPlan:
    """Collects operators in the order in which a residual asks for them, then lays out the streams."""

    coordinates: Sequence[str]
    operators: list[Operator] = field(default_factory=list)

    def ask(self, operator: Operator) -> int:
        """Note an operator; returns its number. Raises ValueError on a derivative it cannot take."""
        for name in operator:
            known = set(name) <= set(self.coordinates)
            if not known or not (1 <= len(name) <= 2 or _is_high(operator)):
                raise ValueError(
                    f"An operator is made of first and second derivatives in {', '.join(self.coordinates)}, or is one "
                    f"third or fourth derivative in one of them, as in apply(xxxx=1.0); got {name!r}."
                )
        self.operators.append(dict(operator))
        return len(self.operators) - 1

    def layout(self, rows: int) -> tuple[Streams, list[int]]:
        """The streams for ``rows`` rows in float64, and each operator's stream (0 is the value)."""
        letters = sorted({letter for o in self.operators for name in o if len(name) == 2 for letter in name})
        names = list(self.coordinates)
        along = sorted({next(iter(o))[0] for o in self.operators if _is_high(o)})
        firsts = [_direction({letter: 1.0}, names, rows) for letter in letters]
        second_b: list[Tensor] = []
        seconds: list[dict[tuple[int, int], Any]] = []
        carried: list[tuple[str, int]] = []
        for operator in self.operators:
            if _is_high(operator):
                (name,) = operator
                carried.append(("jet", JET * along.index(name[0]) + len(name) - 1))
                continue
            lower = {n: c for n, c in operator.items() if len(n) == 1}
            upper: dict[tuple[int, int], Any] = {}
            for n, c in operator.items():
                if len(n) == 2:  # xt and tx are one derivative
                    upper[_pair(n, letters)] = upper.get(_pair(n, letters), 0.0) + c
            if upper:
                carried.append(("second", len(seconds)))
                second_b.append(_direction(lower, names, rows))
                seconds.append(upper)
            elif len(lower) == 1 and (only := next(iter(lower))) in letters and _is_one(lower[only]):
                carried.append(("first", letters.index(only)))
            else:
                carried.append(("first", len(firsts)))
                firsts.append(_direction(lower, names, rows))
        pairs = tuple(sorted({p for upper in seconds for p in upper}))
        second_c = [torch.stack([_column(upper.get(p, 0.0), rows) for p in pairs], 1) for upper in seconds]
        dims = len(names)
        streams = Streams(
            first=_stack(firsts, (rows, dims)),
            second_b=_stack(second_b, (rows, dims)),
            second_c=_stack(second_c, (rows, len(pairs))),
            pairs=pairs,
            jets=_stack([_direction({letter: 1.0}, names, rows) for letter in along], (rows, dims)),
        )
        start = {"first": 1, "second": 1 + len(firsts), "jet": 1 + len(firsts) + len(seconds)}
        return streams, [start[kind] + i for kind, i in carried]


def _pair(name: str, letters: Sequence[str]) -> tuple[int, int]:
    i, j = sorted(letters.index(letter) for letter in name)
    return i, j


def _is_high(operator: Operator) -> bool:
    """Whether it is one derivative of third or fourth order, and nothing else."""
    name, *others = operator
    return not others and 3 <= len(name) <= JET and len(set(name)) == 1 and _is_one(operator[name])


def _is_one(value: Any) -> bool:
    return isinstance(value, int | float) and value == 1.0


def _column(value: Any, rows: int) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64).reshape(-1).expand(rows)


def _direction(lower: Operator, names: Sequence[str], rows: int) -> Tensor:
    return torch.stack([_column(lower.get(name, 0.0), rows) for name in names], 1)


def _stack(parts: list[Tensor], shape: tuple[int, int]) -> Tensor:
    if not parts:
        return torch.zeros(shape[0], 0, shape[1], dtype=torch.float64)
    return torch.stack(parts, 1)
