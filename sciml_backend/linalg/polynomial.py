"""Polynomials in named slots with tensor coefficients: what a residual is when it is only added and multiplied.

A residual that is written for tensors is run once on these instead, and so turns into data that a kernel can evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Monomial = tuple[int, ...]
"""Slots in ascending order, repeated for powers; () is the constant."""


class NotPolynomial(TypeError):
    """The expression used something other than sums, products and small whole powers."""


@dataclass(frozen=True, eq=False)
class Polynomial:
    """sum over monomials of coefficient * product of slots; coefficients broadcast to (B, n)."""

    terms: Mapping[Monomial, Tensor]

    @classmethod
    def slot(cls, index: int) -> Polynomial:
        """The slot itself."""
        return cls({(index,): torch.ones((), dtype=torch.float64)})

    @classmethod
    def _of(cls, other: Any) -> Polynomial:
        if isinstance(other, Polynomial):
            return other
        if isinstance(other, Tensor | int | float):
            return cls({(): torch.as_tensor(other, dtype=torch.float64)})
        raise NotPolynomial(f"cannot combine a polynomial with {type(other).__name__}")

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """``tensor * polynomial`` and its like arrive here, because the tensor's operator is asked first."""
        operations: dict[str, Callable[..., Polynomial]] = {
            "add": lambda a, b: cls._of(a) + cls._of(b),
            "sub": lambda a, b: cls._of(a) - cls._of(b),
            "rsub": lambda a, b: cls._of(b) - cls._of(a),
            "mul": lambda a, b: cls._of(a) * cls._of(b),
            "neg": lambda a: -cls._of(a),
        }
        name = getattr(func, "__name__", "").strip("_").removeprefix("r")
        if func in (Tensor.__rsub__, torch.rsub):
            name = "rsub"
        if name in operations and not kwargs:
            return operations[name](*args)
        raise NotPolynomial(f"{name} is not a polynomial operation")

    def __add__(self, other: Any) -> Polynomial:
        terms = dict(self.terms)
        for monomial, c in self._of(other).terms.items():
            terms[monomial] = terms[monomial] + c if monomial in terms else c
        return Polynomial(terms)

    def __mul__(self, other: Any) -> Polynomial:
        result = Polynomial({})
        for a, ca in self.terms.items():
            for b, cb in self._of(other).terms.items():
                result = result + Polynomial({tuple(sorted(a + b)): ca * cb})
        return result

    def __neg__(self) -> Polynomial:
        return Polynomial({m: -c for m, c in self.terms.items()})

    def __sub__(self, other: Any) -> Polynomial:
        return self + (-self._of(other))

    def __rsub__(self, other: Any) -> Polynomial:
        return self._of(other) - self

    def __truediv__(self, other: Any) -> Polynomial:
        if isinstance(other, Polynomial):
            raise NotPolynomial("division by a polynomial")
        return self * (1.0 / torch.as_tensor(other, dtype=torch.float64))

    def __pow__(self, power: Any) -> Polynomial:
        if power not in (1, 2, 3, 4):
            raise NotPolynomial(f"power {power}")
        result = self
        for _ in range(int(power) - 1):
            result = result * self
        return result

    __radd__ = __add__
    __rmul__ = __mul__

    @property
    def degree(self) -> int:
        """Factors of the longest monomial."""
        return max((len(m) for m in self.terms), default=0)
