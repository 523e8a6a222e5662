"""Physics-informed loss: mean squares of a problem's terms, such as residual, boundary and initial conditions.

L(θ) = mean(residual²) + mean(boundary²) + mean(initial²); Raissi, Perdikaris and Karniadakis (2019). A regression has
one term, its misfit at samples. A strategy may be given the terms with weights and, point by point, with multipliers:
Σ_k w_k mean(r_k²) + mean(λ_k r_k).

Two arithmetics are equal to rounding: a plain differentiable one that takes any residual, any model and any device,
and a fused kernel for residuals that are polynomials in the network's streams, on the CPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from sciml_backend.equation import Array, Equation, Field, Nodes, Point, Term, as_point, grid_points, shape
from sciml_backend.kernels import build
from sciml_backend.linalg.polynomial import NotPolynomial, Polynomial
from sciml_backend.linalg.taylor import StreamPlan, Streams
from sciml_backend.model import Block, FieldModel
from sciml_backend.objective import Index, Objective, dense_hessian, product_by_gradients
from sciml_backend.objectives._collocation import Collocation
from sciml_backend.run import BadRequest, RunSpec
from sciml_backend.strategy import Difficulty

PIECE = {"cpu": 512, "cuda": 65_536}
"""Points that the differentiable path works off at a time, by device: what stays in cache, or fits beside B rows."""


@dataclass
class _SlotField:
    """A field whose value and derivatives are looked up in the order in which the residual asks for them."""

    at: Point
    value: Any
    found: Callable[[Mapping[str, Any]], Any]

    def apply(self, **operator: Any) -> Any:
        return self.found(operator)


class _TermAt:
    """A term with its points and streams, for all runs: the same residual on numbers and on polynomials."""

    def __init__(
        self,
        term: Term,
        problem: Equation,
        points: Mapping[str, Array],
        coefficients: Mapping[str, Tensor],
        noise: Array | None,
    ):
        self.term, self.coordinates = term, problem.coordinates
        self.noise = None if noise is None else torch.as_tensor(noise)
        self.points = torch.stack([torch.as_tensor(points[name]) for name in term.at], -3)  # ([runs,] groups, n, d)
        self.coefficients = coefficients
        self.runs = next(iter(coefficients.values())).shape[0]
        plan = StreamPlan(problem.coordinates)
        blank = torch.zeros(self.runs, self.n, dtype=torch.float64)

        def note(operator: Mapping[str, Any]) -> Tensor:
            plan.ask(operator)
            return blank

        self._residual(
            [_SlotField(as_point(self.coordinates, p), blank, note) for p in self.points.unbind(-3)], coefficients
        )
        self.streams, self.carried = plan.layout(self.runs)
        self._there: tuple[Tensor, Streams, dict[str, Tensor]] | None = None

    @property
    def n(self) -> int:
        return int(self.points.shape[-2])

    def on(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Streams, dict[str, Tensor]]:
        """Points, streams and coefficients of all runs on a device; they travel there once."""
        if self._there is None:
            columns = {name: column.to(device, dtype) for name, column in self.coefficients.items()}
            self._there = self.points.to(device, dtype), self.streams.to(dtype, device), columns
        return self._there

    def _residual(self, fields: Sequence[_SlotField], coefficients: Mapping[str, Tensor]) -> Any:
        return self.term.residual(*cast("list[Field]", fields), coefficients)

    def on_streams(self, streams: Tensor, points: Tensor, coefficients: Mapping[str, Tensor]) -> Tensor:
        """Residuals (B, n) from the network's streams (B, groups, streams, n) at points (groups, n, d)."""
        asked = iter(self.carried)

        def field(here: Tensor, p: Tensor) -> _SlotField:
            return _SlotField(as_point(self.coordinates, p), here[:, 0], lambda _: here[:, next(asked)])

        out = self._residual(list(map(field, streams.unbind(1), points.unbind(-3))), coefficients)
        return cast(Tensor, out.expand(streams.shape[0], points.shape[-2]))

    def polynomial(self) -> Polynomial | None:
        """The residual as a polynomial in slots group * streams + stream, or None when it is none."""
        asked, count = iter(self.carried), self.streams.count

        def field(first: int, p: Tensor) -> _SlotField:
            slot = Polynomial.slot
            return _SlotField(as_point(self.coordinates, p), slot(first), lambda _: slot(first + next(asked)))

        try:
            fields = list(map(field, itertools.count(0, count), self.points.unbind(-3)))
            result = self._residual(fields, self.coefficients)
            result = result if self.noise is None else result - self.noise
        except (NotPolynomial, TypeError, AttributeError):
            return None
        return result if isinstance(result, Polynomial) and result.degree <= 4 else None


class Physics(Objective):
    """The loss of B runs that share problem, model, points and precision and differ in coefficients and weights.

    ``coefficients`` by name, each (B,); ``points`` as ``Problem.points`` gives them; ``noise`` by term, (n,), is added
    to the values that the term compares with; ``fused=False`` keeps to the differentiable path.
    """

    label = "Physics-informed loss"
    kernel_name = "taylor_mlp"
    loss = Collocation

    @classmethod
    def terms_of(cls, problem: Equation) -> tuple[str, ...]:
        return tuple(term.name for term in problem.terms())

    @classmethod
    def sizes(cls, problem: Equation, loss: Collocation) -> dict[str, int]:
        return {"inputs": len(problem.domain)}

    @classmethod
    def build(
        cls,
        problem: Equation,
        model: FieldModel,
        runs: Sequence[RunSpec],
        *,
        loss: Collocation,
        dtype: torch.dtype,
        device: str,
    ) -> Self:
        first = runs[0]
        points = loss.points(problem, first.data, data_seed=first.data_seed)
        return cls(
            problem,
            model,
            coefficients={name: [run.coefficients[name] for run in runs] for name in first.coefficients},
            points=points,
            noise=loss.errors(problem, points, data_seed=first.data_seed),
            dtype=dtype,
            device=device,
        )

    def __init__(
        self,
        problem: Equation,
        model: FieldModel,
        *,
        coefficients: Mapping[str, Sequence[float] | Array],
        points: Mapping[str, Array],
        noise: Mapping[str, Array] | None = None,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        fused: bool = True,
    ):
        inputs = model.inputs
        if inputs != len(problem.coordinates):
            raise BadRequest(
                f"{problem.label} has the coordinates {', '.join(problem.coordinates)} and the network takes {inputs} "
                f"inputs; it needs one for each coordinate."
            )
        self.problem, self.model, self.dtype, self.device = problem, model, dtype, torch.device(device)
        self.coefficients = {k: np.asarray(v, dtype=np.float64) for k, v in coefficients.items()}
        self.runs = len(next(iter(self.coefficients.values())))
        self._points, self.noise, self.wants_fused = points, noise or {}, fused
        columns = {k: torch.as_tensor(v).reshape(-1, 1) for k, v in self.coefficients.items()}
        self._terms = [_TermAt(t, problem, points, columns, self.noise.get(t.name)) for t in problem.terms()]
        self._twin: list[Physics] = []
        self._weights: dict[str, Tensor] = {}
        self._multipliers: dict[str, Tensor] = {}
        self._linear: dict[str, Tensor] = {}
        self._chosen: Tensor | None = None
        self._solutions: dict[Any, Tensor] = {}
        self._grid_kernels: dict[Any, Callable[..., None]] = {}
        self.piece = PIECE[self.device.type]
        self._kernels = self._fuse() if fused and self.device.type == "cpu" else None

    def _fuse(self) -> list[Callable[..., None]] | None:
        kernels = []
        for term in self._terms:
            residual = term.polynomial()
            if residual is None:
                return None
            kernel = self.model.fused(term.points, term.streams, residual, dtype=self.dtype)
            if kernel is None:
                return None
            kernels.append(kernel)
        return kernels

    @property
    def layout(self) -> tuple[Block, ...]:
        return self.model.layout

    @property
    def kernel(self) -> str:  # type: ignore[override]
        return build.version(self.kernel_name) if self._kernels is not None else "torch"

    @property
    def chunk(self) -> int:  # type: ignore[override]
        return int(getattr(self._kernels[0], "chunk", 0)) if self._kernels else 0

    @property
    def difficulty(self) -> Difficulty:
        axis, chosen = self.problem.axis, slice(None) if self._chosen is None else self._chosen.numpy()
        return Difficulty(axis.name, max(axis.axis), self.coefficients[axis.name][chosen], axis.easiest)

    @property
    def points(self) -> dict[str, Array]:
        """Point sets by name, each (n, d), or (B, n, d) where each of these runs has its own."""
        chosen = slice(None) if self._chosen is None else self._chosen.numpy()
        return {name: points[chosen] if points.ndim == 3 else points for name, points in self._points.items()}

    @property
    def pool(self) -> dict[str, Array]:
        """All points that a set can be drawn from by name, each (n, d)."""
        return {"interior": self.problem.pool()}

    def floor(self) -> Tensor | None:
        """The mean squares of the noise (B,), which the true solution leaves; None without any."""
        if not self.noise:
            return None
        return torch.full((self.runs,), sum(float(np.mean(e**2)) for e in self.noise.values()), dtype=torch.float64)

    # -- which runs ---------------------------------------------------------------------------------------------

    def rows(self, index: Index) -> Self:
        chosen = torch.as_tensor(np.asarray(index), dtype=torch.long)
        other = copy(self)  # terms, kernels and known solutions are shared
        other._chosen = chosen if self._chosen is None else self._chosen[chosen]
        for given in ("_weights", "_multipliers", "_linear"):  # these are of the present rows, all else of those built
            setattr(other, given, {name: _of(rows, chosen) for name, rows in getattr(self, given).items()})
        other.runs = len(chosen)
        return other

    def minibatch(self, number: int, size: int) -> Self:
        """With so many of the interior points, drawn anew for every number, and what is known of each."""
        points = self.points["interior"]
        if size >= points.shape[-2]:
            return self
        chosen = np.random.default_rng(number).choice(points.shape[-2], size, replace=False)
        here = [t.term.name for t in self._terms if "interior" in t.term.at]
        known = copy(self)
        known.noise = {name: e[chosen] if name in here else e for name, e in self.noise.items()}
        known._multipliers, known._linear = {}, {}
        held = {name: m[:, chosen] if name in here else m for name, m in self._multipliers.items()}
        other = known._moved({}, {"interior": points[..., chosen, :]})._priced(held)
        other.share = other._n_points / self._n_points
        return other

    @property
    def _n_points(self) -> int:
        """At how many points the network is evaluated for one value of the loss."""
        return sum(term.points.shape[-3] * term.points.shape[-2] for term in self._terms)

    def given(self, **context: Any) -> Self:
        """Other ``coefficients`` (by name, each (B,)), ``points`` (by set, (n, d) or (B, n, d)), or terms with
        ``weights`` (by term, (B,)) and ``multipliers`` (by term, (B, n)); the rest stays, for all terms left out too.
        """
        unknown = context.keys() - {"coefficients", "points", "weights", "multipliers"}
        if unknown:
            raise TypeError(
                "A physics loss can be given other coefficients, points, weights or multipliers, not "
                f"{', '.join(sorted(unknown))}."
            )
        points = context.get("points", {})
        fixed = {place for t in self._terms if t.term.name in {*self._multipliers, *self.noise} for place in t.term.at}
        if moved := sorted(fixed & points.keys()):
            raise BadRequest(f"The {moved[0]} points have multipliers or measured values, so they cannot be moved.")
        other = self._moved(context.get("coefficients", {}), points)._priced(context.get("multipliers", {}))
        other._weights = {**other._weights, **context.get("weights", {})}
        return other

    def _priced(self, multipliers: Mapping[str, Tensor]) -> Self:
        """The same with these multipliers, (B, n) by term, beside or in place of its own."""
        other = copy(self)
        for name, multiplier in multipliers.items():
            other._multipliers = {**other._multipliers, name: multiplier}
            if (kernel := other._kernel_of(name)) is not None:
                other._linear = {**other._linear, name: kernel.spread(multiplier)}
        return other

    def _moved(self, coefficients: Mapping[str, Any], points: Mapping[str, Array]) -> Self:
        """The same at other coefficients and points."""
        other = copy(self)
        if coefficients or points:
            chosen = slice(None) if self._chosen is None else self._chosen.numpy()
            other = type(self)(
                self.problem,
                self.model,
                coefficients={**{k: v[chosen] for k, v in self.coefficients.items()}, **coefficients},
                points={**self.points, **points},
                noise=self.noise,
                dtype=self.dtype,
                device=self.device,
                fused=self.wants_fused,
            )
            other._solutions, other._grid_kernels = self._solutions, self._grid_kernels
            other._weights, other._multipliers, other._linear = self._weights, self._multipliers, self._linear
        return other

    def _kernel_of(self, name: str) -> Any:
        """The kernel of a term; None where there is none."""
        kernels = dict(zip((t.term.name for t in self._terms), self._kernels or (), strict=False))
        return kernels.get(name)

    def _index(self, theta: Tensor) -> Tensor | None:
        """Rows of the streams that theta's rows belong to; None when they are all of them in order."""
        if self.runs == 1 and theta.shape[0] > 1:
            first = torch.zeros(1, dtype=torch.long) if self._chosen is None else self._chosen
            return first.expand(theta.shape[0])
        if theta.shape[0] != self.runs:
            raise ValueError(f"This objective is for {self.runs} runs, got theta with {theta.shape[0]} rows.")
        return self._chosen

    # -- the differentiable path --------------------------------------------------------------------------------

    def _placed(self, term: _TermAt, index: Tensor | None) -> tuple[Tensor, Streams, dict[str, Tensor]]:
        points, streams, coefficients = term.on(self.device, self.dtype)
        if index is None:
            return points, streams, coefficients
        at = index.to(self.device)
        columns = {name: column[at] for name, column in coefficients.items()}
        return points[at] if points.dim() == 4 else points, streams.rows(at), columns

    def _term_residual(self, term: _TermAt, theta: Tensor, piece: slice = slice(None)) -> Tensor:
        points, streams, coefficients = self._placed(term, self._index(theta))
        points = points[..., piece, :]
        groups, n, dims = points.shape[-3:]
        flat = self.model.propagate(theta, points.flatten(-3, -2), streams)
        residual = term.on_streams(flat.unflatten(2, (groups, n)).transpose(1, 2), points, coefficients)
        return residual if term.noise is None else residual - term.noise[piece].to(residual)

    def _pieces(self, theta: Tensor) -> list[tuple[_TermAt, slice]]:
        return [
            (term, slice(at, min(at + self.piece, term.n)))
            for term in self._terms
            for at in range(0, term.n, self.piece)
        ]

    def _partial(self, theta: Tensor, term: _TermAt, piece: slice) -> Tensor:
        residual, name = self._term_residual(term, theta, piece), term.term.name
        part = residual.square().sum(-1) / term.n
        if name in self._weights:
            part = part * self._weights[name].to(part)
        if name in self._multipliers:
            part = part + (self._multipliers[name].to(part)[:, piece] * residual).sum(-1) / term.n
        return part

    # -- verbs --------------------------------------------------------------------------------------------------

    def value_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        if self._kernels is not None:
            return self._fused(theta, gradient=True)
        loss = torch.zeros(theta.shape[0], dtype=torch.float64, device=theta.device)
        gradient = torch.zeros_like(theta)
        for term, piece in self._pieces(theta):
            leaf = theta.detach().requires_grad_()
            part = self._partial(leaf, term, piece)
            gradient += torch.autograd.grad(part.sum(), leaf)[0]
            loss += part.detach()
        return loss.to(self.dtype), gradient

    def value(self, theta: Tensor) -> Tensor:
        if self._kernels is not None:
            return self._fused(theta, gradient=False)[0]
        with torch.no_grad():
            parts = [self._partial(theta, term, piece).double() for term, piece in self._pieces(theta)]
            return torch.stack(parts).sum(0).to(self.dtype)

    def differentiable_value(self, theta: Tensor) -> Tensor:
        return torch.stack([self._partial(theta, term, piece) for term, piece in self._pieces(theta)]).sum(0)

    def _fused(self, theta: Tensor, *, gradient: bool) -> tuple[Tensor, Tensor]:
        assert self._kernels is not None
        theta, index = theta.detach().contiguous(), self._index(theta)
        loss = torch.zeros(theta.shape[0], dtype=torch.float64)
        total = torch.zeros_like(theta) if gradient else None
        for term, kernel in zip(self._terms, self._kernels, strict=True):
            weight, linear = (given.get(term.term.name) for given in (self._weights, self._linear))
            kernel(
                theta,
                loss,
                rows=index,
                gradient=total,
                weight=weight,
                linear=linear,
            )
        return loss.to(self.dtype), cast(Tensor, total)

    def hessian_times(self, theta: Tensor, v: Tensor) -> Tensor:
        out = torch.zeros_like(theta)
        for term, piece in self._pieces(theta):
            leaf = theta.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self._partial(leaf, term, piece).sum(), leaf, create_graph=True)
            out += torch.autograd.grad((slope * v).sum(), leaf)[0]
        return out

    def hessian_at(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        if self._kernels is None or self.dtype != torch.float32:
            return super().hessian_at(theta)
        return product_by_gradients(self._in_double(), theta)

    def hessian(self, theta: Tensor) -> Tensor:
        exact = self._in_double()
        return dense_hessian(exact, theta) if exact._kernels else Objective.hessian(exact, theta.detach().double())

    def gauss_newton(self, theta: Tensor) -> Tensor:
        """2 Σ_k w_k JᵀJ / n_k over the terms, J (n_k, P) the residuals' Jacobian."""
        exact, matrices = self._in_double(), []
        for row, there in enumerate(theta.detach().double()):
            own, total = exact.repeated(row, 1), there.new_zeros(len(there), len(there))
            for term in own._terms:
                jacobian, weight = own._jacobian(term, there), own._weights.get(term.term.name)
                total += 2 / term.n * (1.0 if weight is None else float(weight)) * (jacobian.T @ jacobian)
            matrices.append(total)
        return torch.stack(matrices)

    def _jacobian(self, term: _TermAt, theta: Tensor) -> Tensor:
        """Derivatives (n, P) of one run's residuals at theta (P,), point by point and in reverse."""
        points, streams, coefficients = self._placed(term, self._index(theta[None]))
        points = points.squeeze(0) if points.dim() == 4 else points  # (groups, n, d)

        def residual(weights: Tensor, here: Tensor) -> Tensor:
            flat = self.model.propagate(weights[None], here, streams)  # (1, streams, groups)
            return term.on_streams(flat.unflatten(2, (-1, 1)).transpose(1, 2), here[:, None], coefficients)[0, 0]

        at_each = torch.func.vmap(
            torch.func.grad(residual), in_dims=(None, 1), chunk_size=self.piece, randomness="same"
        )
        found: Tensor = at_each(theta, points)
        return found

    def _in_double(self) -> Physics:
        """The same in float64; terms and kernels are made once and shared by all rows."""
        if self.dtype == torch.float64:
            return self
        twin = self._twin
        if not twin:
            whole = Physics(
                self.problem,
                self.model,
                coefficients=self.coefficients,
                points=self._points,
                noise=self.noise,
                dtype=torch.float64,
                device=self.device,
                fused=self.wants_fused,
            )
            twin.append(whole)
        own = twin[0] if self._chosen is None else twin[0].rows(self._chosen)
        return own.given(weights=self._weights, multipliers=self._multipliers)

    def residuals(self, theta: Tensor) -> dict[str, Tensor]:
        if self._kernels is not None:
            theta, index, out = theta.detach().contiguous(), self._index(theta), {}
            unused = torch.zeros(theta.shape[0], dtype=torch.float64)
            for term, kernel in zip(self._terms, self._kernels, strict=True):
                residual = cast(Any, kernel).zeros(theta)
                kernel(theta, unused, rows=index, residual=residual)
                out[term.term.name] = residual[:, : term.n]
            return out
        with torch.no_grad():
            return {term.term.name: self._term_residual(term, theta) for term in self._terms}

    def residual_jvp(self, theta: Tensor, v: Tensor) -> dict[str, Tensor]:
        out = {}
        for term in self._terms:
            out[term.term.name] = torch.func.jvp(partial(self._term_residual, term), (theta.detach(),), (v,))[1]
        return out

    def residual_vjp(self, theta: Tensor, w: Mapping[str, Tensor]) -> Tensor:
        total = torch.zeros_like(theta)
        for term, kernel in zip(self._terms, self._kernels or itertools.repeat(None), strict=False):
            if (cotangent := w.get(term.term.name)) is None:
                continue
            if kernel is None:
                leaf = theta.detach().requires_grad_()
                product = (self._term_residual(term, leaf) * cotangent).sum()
                total += torch.autograd.grad(product, leaf)[0]
            else:
                spread, unused = cast(Any, kernel).zeros(theta), torch.zeros(theta.shape[0], dtype=torch.float64)
                spread[:, : term.n] = cotangent
                kernel(theta.contiguous(), unused, rows=self._index(theta), gradient=total, cotangent=spread)
        return total

    # -- against the reference solution -------------------------------------------------------------------------

    def predict(self, theta: Tensor, points: Array) -> Tensor:
        """The network's function at points (n, d), as (B, n) in the objective's precision."""
        place = torch.as_tensor(points, dtype=self.dtype, device=self.device)
        streams = Streams.value_only(theta.shape[0], points.shape[1]).to(self.dtype, self.device)
        with torch.no_grad():
            parts = [self.model.propagate(theta, piece, streams)[:, 0] for piece in place.split(self.piece)]
        return torch.cat(parts, 1)

    def reference(self, nodes: Nodes) -> Tensor:
        """The reference solution of each run on a tensor grid, as (runs, n) in float64 on the CPU."""
        chosen = range(len(next(iter(self.coefficients.values())))) if self._chosen is None else self._chosen.tolist()
        rows = []
        for i in chosen:
            c = {k: float(v[i]) for k, v in self.coefficients.items()}
            rows.append(self._solution(nodes, c))
        return torch.stack(rows)

    def _solution(self, nodes: Nodes, c: Mapping[str, float]) -> Tensor:
        key = (*(along.tobytes() for along in nodes.values()), *sorted(c.items()))
        known = self._solutions
        if key not in known:
            known[key] = torch.tensor(self.problem.solution(nodes, c)).reshape(-1)
        return known[key]

    def errors(self, theta: Tensor, *, heldout: bool = False) -> dict[str, Tensor]:
        """``test_error``: relative L2 on the test grid; ``heldout`` adds ``test_error_l1`` and ``heldout_error``."""
        difference, truth = self._difference(theta, self.problem.test_nodes())
        weight = torch.as_tensor(self.problem.test_weights()).reshape(-1)
        out = {"test_error": _ratio(difference.square() * weight, truth.square() * weight).sqrt()}
        if heldout:
            out["test_error_l1"] = _ratio(difference.abs() * weight, truth.abs() * weight)
            difference, truth = self._difference(theta, self.problem.heldout_nodes())
            out["heldout_error"] = _ratio(difference.square(), truth.square()).sqrt()
        return out

    def solution(self, theta: Tensor) -> dict[str, np.ndarray]:
        """``solution`` and ``reference`` on the test grid, (B, n_t, n_x) on x by t, and its nodes by coordinate."""
        nodes = self.problem.test_nodes()
        values = self._values(theta, nodes).double().cpu()
        reference = self.reference(nodes)
        fields = {"solution": values, "reference": reference}
        return {**nodes, **{name: field.reshape(-1, *shape(nodes)).numpy() for name, field in fields.items()}}

    def _difference(self, theta: Tensor, nodes: Nodes) -> tuple[Tensor, Tensor]:
        truth = self.reference(nodes)
        return self._values(theta, nodes).double().cpu() - truth, truth

    def _values(self, theta: Tensor, nodes: Nodes) -> Tensor:
        """``predict`` on a tensor grid, through the kernel where there is one."""
        if self._kernels is None:
            return self.predict(theta, grid_points(nodes))
        kernel = self._grid_kernel(nodes)
        theta = theta.detach().contiguous()
        values = torch.zeros(theta.shape[0], 1, cast(Any, kernel).sites, dtype=self.dtype)
        kernel(theta, torch.zeros(theta.shape[0], dtype=torch.float64), slot=values)
        return values[:, 0, : prod(shape(nodes))]

    def _grid_kernel(self, nodes: Nodes) -> Callable[..., None]:
        key, known = tuple(along.tobytes() for along in nodes.values()), self._grid_kernels
        if key not in known:
            points = torch.as_tensor(grid_points(nodes))[None]
            kernel = self.model.fused(points, Streams.value_only(1, len(nodes)), Polynomial.slot(0), dtype=self.dtype)
            assert kernel is not None
            known[key] = kernel
        return known[key]

    def memory(self, runs: int) -> int:
        size = torch.empty((), dtype=self.dtype).element_size()
        width = max(block.shape[0] for block in self.layout)
        layers = len(self.layout) // 2
        if self._kernels is not None:
            scratch = sum(int(cast(Any, k)._scratch.numel()) for k in self._kernels) * size
            return scratch + runs * self.parameters * size * 2
        graph = max(min(t.n, self.piece) * len(t.term.at) * t.streams.count for t in self._terms)
        return runs * size * (graph * width * layers * 8 + 4 * self.parameters)


def _of(rows: Tensor, index: Tensor) -> Tensor:
    return rows[index.to(rows.device)]


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return above.sum(-1) / below.sum(-1)
