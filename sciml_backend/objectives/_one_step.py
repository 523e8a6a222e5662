"""What losses of a learned vector field share: samples of trajectories, one-step residuals, rollouts.

The network f(x) is to give x' in one of the state's embeddings. A sample is a point x of the trajectory and the next
one, y; its residual is  Φ(f, x) - (y - x)  with the increment Φ of a Runge-Kutta method over one step, Δ f(x) for
Euler's (Chen et al. 2018, arXiv:1806.07366, with the steps of arXiv 2605.29153). Over the whole horizon the method goes
on from its own points instead.

Rows have trajectories of different lengths: shorter ones are padded with samples of weight zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from torch import Tensor

from sciml_backend.dynamics import Dynamics
from sciml_backend.kernels import build
from sciml_backend.kernels.vector_field import MULTIPLE, NAME, FusedField, available
from sciml_backend.linalg.row_wise import Floats, Integers
from sciml_backend.loss import Loss
from sciml_backend.model import Block, Model
from sciml_backend.objective import TOGETHER, Index, Objective, dense_hessian, product_by_gradients
from sciml_backend.run import BadRequest, RunSpec, setting
from sciml_backend.strategy import Difficulty

Function = Callable[[Tensor], Tensor]


def _euler(f: Function, x: Tensor, h: float) -> Tensor:
    return h * f(x)


def _midpoint(f: Function, x: Tensor, h: float) -> Tensor:
    return h * f(x + h / 2 * f(x))


def _rk4(f: Function, x: Tensor, h: float) -> Tensor:
    k1 = f(x)
    k2 = f(x + h / 2 * k1)
    k3 = f(x + h / 2 * k2)
    return h / 6 * (k1 + 2 * k2 + 2 * k3 + f(x + h * k3))


INTEGRATORS: dict[str, Callable[[Function, Tensor, float], Tensor]] = {
    "euler": _euler,
    "midpoint": _midpoint,
    "rk4": _rk4,
}


@dataclass(frozen=True, kw_only=True)
class Rollout(Loss):
    """How a vector field is compared with a trajectory, and in which coordinates it is learned; with any strategy.

    A term has the weight 1 unless told: ``--set weight.physics=0.1``.
    """

    state: str = setting("angles", "coordinates of the state that the network is given: angles or sphere")
    integrator: str = setting("euler", "method that goes from a point to the next: euler, midpoint or rk4")
    horizon: str = setting(
        "step", "what is compared: step (every point with the next one) or whole (a rollout with the trajectory)"
    )

    def check(self, problem: Dynamics, terms: Sequence[str]) -> None:
        super().check(problem, terms)
        known = {"state": problem.embeddings, "integrator": INTEGRATORS, "horizon": ("step", "whole")}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise BadRequest(f"{name} is {' or '.join(values)}, got {getattr(self, name)!r}.")
        if "physics" in terms and self.state != problem.own:
            raise BadRequest(f"The equation is written for the state {problem.own}; leave state at that.")


@dataclass(frozen=True)
class Trajectories:
    """The trajectories behind an objective: of which runs (coefficients (B,) by name, points (B,)), and how seen."""

    problem: Dynamics
    loss: Rollout
    coefficients: Mapping[str, np.ndarray]
    points: np.ndarray

    def of(self, row: int, n: int, start: tuple[float, ...]) -> np.ndarray:
        """The first n points of a row's trajectory as the network is given them, (n, m)."""
        states = self.problem.trajectory(n, self._c(row), start=start)
        return self.problem.embeddings[self.loss.state].of(states)

    @cached_property
    def tested(self) -> Tensor:
        """The test's trajectory of every run, (B, T, m) in float64."""
        problem = self.problem
        rows = [self.of(row, problem.test_points, problem.test_start) for row in range(len(self.points))]
        return torch.as_tensor(np.stack(rows))

    def samples(self, *, physics: bool) -> Samples:
        """All samples of the training trajectories, in float64."""
        most = -(-int(self.points.max() - 1) // MULTIPLE) * MULTIPLE
        rows = [self._samples(row, int(n), most, physics) for row, n in enumerate(self.points)]
        return Samples(*(torch.as_tensor(np.stack(part)) for part in zip(*rows, strict=True)))

    def exact_slopes(self, row: int, n: int) -> np.ndarray:
        """x' by the equation at the first n points, in the network's coordinates, (n, m)."""
        states = self.problem.trajectory(n, self._c(row), start=self.problem.start)
        ahead = NEAR * self.problem.field(states, self._c(row))
        embed = self.problem.embeddings[self.loss.state].of
        return (embed(states + ahead) - embed(states - ahead)) / (2 * NEAR)

    def _c(self, row: int) -> dict[str, float]:
        return {name: float(values[row]) for name, values in self.coefficients.items()}

    def _samples(self, row: int, n: int, most: int, physics: bool) -> tuple[np.ndarray, ...]:
        points = self.of(row, n, self.problem.start)
        targets = [points[1:] - points[:-1]]
        if physics:
            targets.append(self.problem.step * self.exact_slopes(row, n - 1))
        share = np.zeros(most)
        share[: n - 1] = 1 / ((n - 1) * points.shape[1])
        return _padded(points[:-1].T, most), np.stack([_padded(t.T, most) for t in targets]), share


NEAR = 1e-5
"""How far from a state, in steps of its slope, its embedding is differentiated by central differences."""


def _padded(samples: np.ndarray, most: int) -> np.ndarray:
    return np.concatenate([samples, np.repeat(samples[:, :1], most - samples.shape[1], 1)], 1)


@dataclass(frozen=True)
class Samples:
    """Points x (B, m, S), the increments wanted of every term (B, K, m, S), and each sample's share of a mean (B, S).

    Padded samples repeat the first one and have no share.
    """

    x: Tensor
    target: Tensor
    share: Tensor

    def rows(self, index: Tensor) -> Samples:
        """The samples of these rows."""
        return Samples(*(part.index_select(0, index) for part in (self.x, self.target, self.share)))

    def to(self, dtype: torch.dtype, device: torch.device) -> Samples:
        """The same numbers in another precision, contiguous."""
        return Samples(*(part.to(device, dtype).contiguous() for part in (self.x, self.target, self.share)))

    def batches(self, size: int) -> list[Samples]:
        """Every row's samples cut into batches of so many, in order; rows with fewer batches go round theirs."""
        count, m = (self.share > 0).sum(1), self.x.shape[1]
        return [self._batch(number, size, count, m) for number in range(-(-int(count.max()) // size))]

    def _batch(self, number: int, size: int, count: Tensor, m: int) -> Samples:
        at = number * size + torch.arange(-(-size // MULTIPLE) * MULTIPLE, device=count.device)
        there = (at < count[:, None]) & (at < (number + 1) * size)
        at = torch.where(there, at, 0)
        share = there.to(self.share) / (m * there.sum(1, keepdim=True).clamp(min=1))
        x = self.x.gather(2, at[:, None].expand(-1, m, -1))
        target = self.target.gather(3, at[:, None, None].expand(-1, *self.target.shape[1:3], -1))
        return Samples(x, target, share)


@dataclass(frozen=True)
class Batches:
    """All batches of all rows, one after the other; what part of its row's samples each has, and their size.

    A row's batches begin at ``first`` (B,) and are ``count`` (B,).
    """

    samples: Samples
    first: Integers
    count: Integers
    share: Floats
    size: int

    @classmethod
    def of(cls, samples: Samples, size: int) -> Batches:
        """The samples in batches of so many."""
        cut = samples.batches(size)
        every = Samples(*(torch.stack([getattr(one, f.name) for one in cut], 1).flatten(0, 1) for f in fields(Samples)))
        seen = (every.share > 0).sum(1).reshape(-1, len(cut)).cpu().numpy()
        first = np.arange(len(seen)) * len(cut)
        return cls(every, first, (seen > 0).sum(1), (seen / seen.sum(1, keepdims=True)).ravel(), size)

    def turn(self, number: int) -> tuple[Samples, Floats]:
        """The batch of every row whose turn it is, each row going round its own, and its share of the row's samples."""
        at = self.first + number % self.count
        return self.samples.rows(torch.as_tensor(at, device=self.samples.x.device)), self.share[at]


class OneStep(Objective):
    """Mean squares of the terms of runs that share problem, model, loss and precision; lengths may differ."""

    loss = Rollout
    kernel_name = NAME
    physics: ClassVar[bool] = False
    """Whether the equation is a term too, Δ (f(x) - x'): as large as the data's for the same error of f."""

    @classmethod
    def terms_of(cls, problem: Dynamics) -> tuple[str, ...]:
        return ("data", "physics") if cls.physics else ("data",)

    @classmethod
    def sizes(cls, problem: Dynamics, loss: Rollout) -> dict[str, int]:
        m = len(problem.embeddings[loss.state].names)
        return {"inputs": m, "outputs": m}

    @classmethod
    def build(
        cls,
        problem: Dynamics,
        model: Model,
        runs: Sequence[RunSpec],
        *,
        loss: Rollout,
        dtype: torch.dtype,
        device: str,
    ) -> Self:
        coefficients = {name: np.array([run.coefficients[name] for run in runs]) for name in runs[0].coefficients}
        source = Trajectories(problem, loss, coefficients, np.array([run.data for run in runs]))
        return cls(model, source, dtype=dtype, device=device)

    def __init__(
        self,
        model: Model,
        source: Trajectories,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        fused: bool = True,
    ):
        self.model, self.source, self.dtype, self.device = model, source, dtype, torch.device(device)
        self.terms, self.wants_fused = self.terms_of(source.problem), fused
        self._exact = source.samples(physics=self.physics)
        self._samples = self._exact.to(dtype, self.device)
        self._chosen = torch.arange(len(source.points))
        self._cuts: tuple[tuple[int, int], ...] = ()  # the number and size of the batch that it is, if it is one
        self._weights: dict[str, Tensor] = {}
        self._multipliers: dict[str, Tensor] = {}
        self._fused: FusedField | None = None
        if fused and self.device.type == "cpu" and available() and model.widths:
            self._fused = self._kernel_in(dtype)
        self._batches: dict[tuple[str, int], Batches] = {}
        self._linear: Tensor | None = None
        self._weighted: Tensor | None = None

    def _kernel_in(self, dtype: torch.dtype) -> FusedField:
        return FusedField(self.model.widths or (), [self.source.problem.step] * len(self.terms), dtype=dtype)

    @property
    def runs(self) -> int:  # type: ignore[override]
        return len(self._chosen)

    @property
    def layout(self) -> tuple[Block, ...]:
        return self.model.layout

    @property
    def kernel(self) -> str:  # type: ignore[override]
        return build.version(NAME) if self._steps_fused else "torch"

    @property
    def chunk(self) -> int:  # type: ignore[override]
        return 0

    @property
    def difficulty(self) -> Difficulty:
        axis = self.source.problem.axis
        return Difficulty(
            axis.name, max(axis.axis), self.source.coefficients[axis.name][self._chosen.numpy()], axis.easiest
        )

    @property
    def _steps_fused(self) -> bool:
        loss = self.source.loss
        return self._fused is not None and loss.integrator == "euler" and loss.horizon == "step"

    # -- which runs and samples -----------------------------------------------------------------------------------

    def rows(self, index: Index) -> Self:
        chosen = torch.as_tensor(np.asarray(index), dtype=torch.long)
        other = self._with(self._samples.rows(chosen.to(self.device)))
        other._chosen, other.share = self._chosen[chosen], np.broadcast_to(self.share, self.runs)[np.asarray(index)]
        for given in ("_weights", "_multipliers"):
            setattr(other, given, {name: part[chosen.to(part.device)] for name, part in getattr(self, given).items()})
        return other

    def minibatch(self, number: int, size: int) -> Self:
        samples, share = self._turn("samples", self._samples, number, size)
        other = self._with(samples)
        other.share, other._cuts = share, (*self._cuts, (number, self._batches["samples", size].size))
        if self._multipliers:
            x = self._samples.x
            every = torch.stack([part.reshape(x.shape) for part in self._multipliers.values()], 1).to(x)
            held, _ = self._turn("multipliers", replace(self._samples, target=every), number, size)
            other._multipliers = {term: held.target[:, k].flatten(1) for k, term in enumerate(self._multipliers)}
        return other

    def _turn(self, of: str, samples: Samples, number: int, size: int) -> tuple[Samples, Floats]:
        """The batch of these samples whose turn it is; cut once."""
        if (of, size) not in self._batches:
            most = int((samples.share > 0).sum(1).max())
            self._batches[of, size] = Batches.of(samples, min(size, most))
        return self._batches[of, size].turn(number)

    def _with(self, samples: Samples) -> Self:
        other = copy(self)
        other._samples, other._linear, other._weighted, other._batches = samples, None, None, {}
        return other

    def given(self, **context: Any) -> Self:
        """Other ``coefficients`` (by name, each (B,)), or terms with ``weights`` (by term, (B,)) and ``multipliers``
        (by term, (B, n)); the rest stays.
        """
        unknown = context.keys() - {"coefficients", "points", "weights", "multipliers"}
        if unknown or context.get("points"):
            raise TypeError("The loss of a vector field can be given other coefficients, weights or multipliers only.")
        other = self._with(self._samples)
        if context.get("coefficients"):
            other = self._at(context["coefficients"])
        other._weights = {**self._weights, **context.get("weights", {})}
        other._multipliers = {**self._multipliers, **context.get("multipliers", {})}
        return other

    def _at(self, coefficients: Mapping[str, np.ndarray]) -> Self:
        """The same runs at other coefficients."""
        source, chosen = self.source, self._chosen.numpy()
        own = {name: values[chosen] for name, values in source.coefficients.items()}
        moved = replace(source, coefficients={**own, **coefficients}, points=source.points[chosen])
        return type(self)(self.model, moved, dtype=self.dtype, device=self.device, fused=self.wants_fused)

    # -- the loss -------------------------------------------------------------------------------------------------

    def _shares(self) -> Tensor:
        """What the square of each sample's residual counts in each term, (B, K, S)."""
        if not self._weights and len(self.terms) == 1:
            return self._samples.share[:, None]
        if self._weighted is None:
            shares = [self._weights.get(term, torch.ones(self.runs)).to(self._samples.share) for term in self.terms]
            self._weighted = torch.stack(shares, 1)[..., None] * self._samples.share[:, None]
        return self._weighted

    def _linears(self) -> Tensor | None:
        """What each residual counts by itself, (B, K, m, S), or None."""
        if self._linear is None and self._multipliers:
            x = self._samples.x
            parts = [self._multipliers.get(term, torch.zeros(())).to(x) for term in self.terms]
            spread = [part.reshape(x.shape) if part.dim() else torch.zeros_like(x) for part in parts]
            self._linear = torch.stack(spread, 1) * self._samples.share[:, None, None]
        return self._linear

    def _residual(self, theta: Tensor) -> Tensor:
        """All residuals (B, K, m, S) by torch operations."""
        x, target, loss = self._samples.x, self._samples.target, self.source.loss

        def f(points: Tensor) -> Tensor:
            return self.model.apply(theta, points.mT).mT

        step, h = INTEGRATORS[loss.integrator], self.source.problem.step
        if loss.horizon == "step":
            found = [step(f, x, h) - target[:, 0]]
        else:
            found = [self._rolled_out(lambda at: step(f, at, h)) - (x + target[:, 0])]
        if self.physics:
            found.append(h * f(x) - target[:, 1])
        return torch.stack(found, 1)

    def _rolled_out(self, step: Function) -> Tensor:
        """Where a rollout from the first point is instead of each sample's next point, (B, m, S)."""
        at, states = self._samples.x[..., :1], []
        for _ in range(self._samples.x.shape[2]):
            at = at + step(at)
            states.append(at)
        return torch.cat(states, 2)

    def differentiable_value(self, theta: Tensor) -> Tensor:
        own = self._for(theta)
        return torch.cat([one._value_of(part) for one, part in own._side_by_side(theta)])

    def _side_by_side(self, theta: Tensor) -> Iterator[tuple[Self, Tensor]]:
        """What torch computes at once: each row on a CPU, to keep its bits, and all of them on other devices."""
        if self.device.type == "cpu":
            yield from self._alone(theta)
        else:
            yield self, theta

    def _alone(self, theta: Tensor) -> Iterator[tuple[Self, Tensor]]:
        """Every row by itself, no longer than it is: the last bits of a sum depend on how long it is."""
        for row, part in enumerate(theta.split(1)):
            one = self.rows([row]) if self.runs > 1 else self
            count = int((one._samples.share > 0).sum())
            yield one._shortened(-(-count // MULTIPLE) * MULTIPLE), part

    def _shortened(self, length: int) -> Self:
        """The same with so many samples, padded ones included."""
        if length == self._samples.x.shape[2]:
            return self
        x, target, share = (part[..., :length] for part in vars(self._samples).values())
        other = self._with(Samples(x, target, share))
        m = x.shape[1]
        other._multipliers = {
            term: part.unflatten(1, (m, -1))[..., :length].flatten(1) for term, part in self._multipliers.items()
        }
        return other

    def _value_of(self, theta: Tensor) -> Tensor:
        residual = torch.where(self._samples.share[:, None, None] > 0, self._residual(theta), 0.0)
        value = (residual.square() * self._shares()[:, :, None]).sum((1, 2, 3))
        linear = self._linears()
        return value if linear is None else value + (residual * linear).sum((1, 2, 3))

    def _residuals_by_torch(self, theta: Tensor) -> Tensor:
        """All residuals (B, K, m, S)."""
        length, rows = self._samples.x.shape[2], []
        for one, part in self._side_by_side(theta):
            found = one._residual(part)
            rows.append(torch.nn.functional.pad(found, (0, length - found.shape[-1])))
        return torch.cat(rows)

    def value_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        if self._steps_fused:
            gradient = torch.zeros_like(theta)
            return self._called(theta, gradient=gradient).to(self.dtype), gradient
        leaf = theta.detach().requires_grad_()
        value = self.differentiable_value(leaf)
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]

    def value(self, theta: Tensor) -> Tensor:
        if self._steps_fused:
            return self._called(theta).to(self.dtype)
        with torch.no_grad():
            return self.differentiable_value(theta)

    def _called(self, theta: Tensor, **outputs: Tensor | None) -> Tensor:
        """The loss (B,) in double by the kernel, which fills the outputs."""
        own, loss = self._for(theta), torch.zeros(len(theta), dtype=torch.float64)
        samples, linear = own._samples, own._linears()
        kernel = cast(FusedField, self._fused)
        shares = own._shares().contiguous()
        kernel(theta.detach().contiguous(), samples.x, samples.target, shares, loss, linear=linear, **outputs)
        return loss

    def training_error(self, theta: Tensor) -> Tensor:
        """The mean square of the data's residuals alone, as published (B,)."""
        if not self.physics:
            return self.value(theta)
        return self._unweighted().given(weights={"physics": torch.zeros(self.runs)}).value(theta)

    def _unweighted(self) -> Self:
        other = self._with(self._samples)
        other._weights, other._multipliers = {}, {}
        return other

    def floor(self) -> Tensor:
        """The training error of the exact vector field (B,): what the length of a step alone makes of it.

        NaN where the network does not take Euler steps from the trajectory's own points.
        """
        loss = self.source.loss
        if loss.integrator != "euler" or loss.horizon != "step":
            return torch.full((self.runs,), torch.nan, dtype=torch.float64)
        floors = []
        for row in self._chosen.tolist():
            n = int(self.source.points[row])
            points = self.source.of(row, n, self.source.problem.start)
            steps = self.source.problem.step * self.source.exact_slopes(row, n - 1)
            floors.append(float(np.mean((steps - np.diff(points, axis=0)) ** 2)))
        return torch.tensor(floors, dtype=torch.float64)

    # -- derivatives ----------------------------------------------------------------------------------------------

    def hessian_times(self, theta: Tensor, v: Tensor) -> Tensor:
        leaf = theta.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.differentiable_value(leaf).sum(), leaf, create_graph=True)
        return torch.autograd.grad((slope * v).sum(), leaf)[0]

    def hessian_at(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        if not self._steps_fused or self.dtype != torch.float32:
            return super().hessian_at(theta)
        return product_by_gradients(self._in_double(), theta)

    def hessian(self, theta: Tensor) -> Tensor:
        exact = self._in_double()
        return dense_hessian(exact, theta) if exact._steps_fused else Objective.hessian(exact, theta.detach().double())

    def gauss_newton(self, theta: Tensor) -> Tensor:
        """2 Σ_k w_k JᵀJ over the terms, J the residuals' Jacobian and w_k the share of each in its term's mean."""
        exact, matrices = self._in_double(), []
        for own, there in exact._for(theta)._alone(theta.detach().double()):
            root = (2 * own._shares()[:, :, None]).sqrt()
            jacobian = torch.func.jacrev(partial(own._scaled, root), chunk_size=TOGETHER)(there[0])
            matrices.append(jacobian.T @ jacobian)
        return torch.stack(matrices)

    def _scaled(self, root: Tensor, theta: Tensor) -> Tensor:
        """One row's residuals at theta (P,) times the root of what each counts, flat."""
        return (self._residual(theta[None]) * root).flatten()

    def _in_double(self) -> Self:
        """The same in float64."""
        if self.dtype == torch.float64:
            return self
        exact = self._exact.rows(self._chosen)
        for number, size in self._cuts:
            exact, _ = Batches.of(exact, size).turn(number)
        other = self._with(exact.to(torch.float64, self.device))
        other.dtype = torch.float64
        if self._fused is not None:
            other._fused = self._kernel_in(torch.float64)
        return other

    def residuals(self, theta: Tensor) -> dict[str, Tensor]:
        own = self._for(theta)
        found = torch.empty_like(own._samples.target)
        if self._steps_fused:
            self._called(theta, residual=found)
        else:
            with torch.no_grad():
                found = own._residuals_by_torch(theta)
        return own._by_term(found)

    def present(self, residuals: Mapping[str, Tensor]) -> dict[str, Tensor]:
        there = (self._samples.share > 0)[:, None].expand(-1, self._samples.x.shape[1], -1).flatten(1)
        return {term: there.expand(len(r), -1) for term, r in residuals.items()}

    def _by_term(self, parts: Tensor) -> dict[str, Tensor]:
        """(B, K, m, S) as (B, m S) by term, padded samples zero."""
        parts = torch.where(self._samples.share[:, None, None] > 0, parts, 0.0)
        return dict(zip(self.terms, parts.flatten(2).unbind(1), strict=True))

    def residual_jvp(self, theta: Tensor, v: Tensor) -> dict[str, Tensor]:
        own = self._for(theta)
        return own._by_term(torch.func.jvp(own._residuals_by_torch, (theta.detach(),), (v,))[1])

    def residual_vjp(self, theta: Tensor, w: Mapping[str, Tensor]) -> Tensor:
        own = self._for(theta)
        x = own._samples.x
        parts = [w[term].to(x).reshape(x.shape) if term in w else torch.zeros_like(x) for term in self.terms]
        cotangent = torch.stack(parts, 1) * (own._samples.share[:, None, None] > 0)
        if self._steps_fused:
            gradient = torch.zeros_like(theta)
            self._called(theta, gradient=gradient, cotangent=cotangent)
            return gradient
        leaf = theta.detach().requires_grad_()
        return torch.autograd.grad((own._residuals_by_torch(leaf) * cotangent).sum(), leaf)[0]

    # -- against the trajectory ------------------------------------------------------------------------------------

    def _truth(self) -> Tensor:
        """The test's trajectory of every row, (B, m, T) in float64."""
        return self.source.tested.index_select(0, self._chosen).mT

    def _predicted(self, theta: Tensor, start: Tensor, steps: int) -> Tensor:
        """A rollout from start (B, m), (B, m, 1 + steps) in float64."""
        problem, loss = self.source.problem, self.source.loss
        start = start.to(self.device, self.dtype).contiguous()
        if self._fused is not None and loss.integrator == "euler":
            states = self._fused.rollout(theta.detach().contiguous(), start, step=problem.step, steps=steps)
            return torch.cat([start[..., None], states], 2).double().cpu()
        step, at, path = INTEGRATORS[loss.integrator], start[:, None], [start]
        with torch.no_grad():
            for _ in range(steps):
                at = at + step(lambda x: self.model.apply(theta, x), at, problem.step)
                path.append(at[:, 0])
        return torch.stack(path, 2).double().cpu()

    def errors(self, theta: Tensor, *, heldout: bool = False) -> dict[str, Tensor]:
        """``test_error``: of a rollout along the test's trajectory, relative L2 by component, their mean.

        ``heldout`` adds its relative L1 and, as ``heldout_error``, the error of one step from each of its true points,
        relative to how far that step goes.
        """
        own = self._for(theta)
        truth = own._truth()
        difference = own._predicted(theta, truth[..., 0], truth.shape[2] - 1) - truth
        out = {"test_error": _relative(difference, truth, 2)}
        if heldout:
            out["test_error_l1"] = _relative(difference, truth, 1)
            x = truth[..., :-1].to(self.device, self.dtype)
            h, step = self.source.problem.step, INTEGRATORS[self.source.loss.integrator]
            with torch.no_grad():
                increment = step(lambda at: self.model.apply(theta, at.mT).mT, x, h).double().cpu()
            out["heldout_error"] = _relative(increment - truth.diff(), truth.diff(), 2)
        return out

    def solution(self, theta: Tensor) -> dict[str, np.ndarray]:
        """``solution`` and ``reference``, (B, m, T), over the times ``t`` (T,), and the ``components``' names (m,)."""
        own, problem = self._for(theta), self.source.problem
        truth = own._truth()
        found = own._predicted(theta, truth[..., 0], truth.shape[2] - 1)
        names = problem.embeddings[self.source.loss.state].names
        times = problem.step * np.arange(truth.shape[2])
        return {"t": times, "components": np.array(names), "solution": found.numpy(), "reference": truth.numpy()}

    def memory(self, runs: int) -> int:
        samples = int(self.source.points.max()) * (2 + len(self.terms)) * len(self.terms) * 4
        width = max(block.shape[0] for block in self.layout)
        graph = 0 if self._steps_fused else 8 * width * int(self.source.points.max()) * len(self.layout)
        size = torch.empty((), dtype=self.dtype).element_size()
        return runs * size * (samples + graph + 4 * self.parameters)


def _relative(difference: Tensor, truth: Tensor, order: int) -> Tensor:
    """Norms over time of each component's difference over those of the truth, (B, m, T) to (B,): their mean."""
    above, below = (torch.linalg.vector_norm(part, order, dim=2) for part in (difference, truth))
    found: Tensor = (above / below).mean(1)
    return found
