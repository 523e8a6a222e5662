"""The contract of an optimiser: a state, a step, and for every row a reason to stop.

``theta`` is (B, P): B training runs, P parameters each. A strategy advances every row by one iteration, each with its
own step length and its own status; the engine owns the loop, records, and compacts finished rows out. An ``Outer``
strategy minimises a succession of other objectives with a strategy that it is given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import inf
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from sciml_backend.linalg.row_wise import Floats, Integers
from sciml_backend.run import BadRequest, Setting, Status


@dataclass(frozen=True)
class Difficulty:
    """The coefficient along a map's x axis: its name, the largest value there, each run's own (B,), the easiest."""

    name: str
    largest: float
    values: Floats
    easiest: float = 0.0


class Minimisable(Protocol):
    """What a strategy asks of an objective."""

    def value_and_gradient(self, theta: Tensor, /) -> tuple[Tensor, Tensor]:
        """Loss (B,) and gradient (B, P) at theta (B, P), in new tensors: strategies keep them."""
        ...

    def rows(self, index: Integers, /) -> Minimisable:
        """The same objective for these rows only, in this order."""
        ...


class Curved(Minimisable, Protocol):
    """What a strategy of second order asks of an objective."""

    def hessian_at(self, theta: Tensor, /) -> Callable[[Tensor], Tensor]:
        """v (B, P) to the Hessian at theta (B, P) times v."""
        ...

    def rows(self, index: Integers, /) -> Curved:
        """The same objective for these rows only, in this order."""
        ...


class Dense(Minimisable, Protocol):
    """What a strategy of second order asks of an objective with few parameters."""

    def hessian(self, theta: Tensor, /) -> Tensor:
        """The Hessian at theta (B, P), (B, P, P) in float64."""
        ...

    def gauss_newton(self, theta: Tensor, /) -> Tensor:
        """The part of the Hessian that the residuals' first derivatives make, (B, P, P) in float64."""
        ...

    def rows(self, index: Integers, /) -> Dense:
        """The same objective for these rows only, in this order."""
        ...


class Posable(Minimisable, Protocol):
    """What is asked of an objective that it poses anew: with other coefficients, points, weights, multipliers."""

    def given(self, **context: Any) -> Posable:
        """The same objective with another context."""
        ...

    def residuals(self, theta: Tensor, /) -> dict[str, Tensor]:
        """Every term's residuals at theta (B, P) by name, each (B, n)."""
        ...

    def present(self, residuals: Mapping[str, Tensor], /) -> dict[str, Tensor]:
        """Which entries of the residuals (B, n) are there, by term."""
        ...

    @property
    def points(self) -> Mapping[str, Any]:
        """Point sets by name, each (n, d)."""
        ...

    @property
    def pool(self) -> Mapping[str, Any]:
        """All points that a set can be drawn from by name, each (n, d)."""
        ...

    @property
    def difficulty(self) -> Difficulty:
        """The coefficient that makes the problem hard."""
        ...


class State:
    """What a strategy remembers between steps: a dataclass of arrays with one entry per row, first axis B.

    A state is used up by the step it is given to, which may change its arrays in place.
    """

    def rows(self, index: Integers) -> Self:
        """A copy for these rows only, in this order."""
        chosen = {f.name: _rows(getattr(self, f.name), index) for f in fields(self)}  # type: ignore[arg-type]
        return replace(self, **chosen)  # type: ignore[type-var]

    def put(self, index: Integers, other: Self) -> None:
        """Have the rows of ``other``, in their order, stand in the place of these."""
        _put_fields(self, index, other)


def _rows(value: Any, index: Integers) -> Any:
    if value is None:
        return None
    if isinstance(value, Tensor):
        return value[torch.as_tensor(index, device=value.device)]
    if isinstance(value, np.ndarray):
        return value[index]
    if isinstance(value, Mapping):
        return {name: _rows(part, index) for name, part in value.items()}
    return value.rows(index)


def _put(value: Any, index: Integers, other: Any) -> None:
    if isinstance(value, Tensor):
        value[torch.as_tensor(index, device=value.device)] = other
    elif isinstance(value, np.ndarray):
        value[index] = other
    elif isinstance(value, Mapping):
        for name, part in value.items():
            _put(part, index, other[name])
    elif isinstance(value, State):
        value.put(index, other)
    elif value is not None:
        assert is_dataclass(value), f"a {type(value).__name__} has no rows to put"
        _put_fields(value, index, other)


def _put_fields(value: Any, index: Integers, other: Any) -> None:
    for f in fields(value):
        _put(getattr(value, f.name), index, getattr(other, f.name))


S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Step(Generic[S]):
    """One iteration of every row.

    ``theta`` (B, P) and ``state`` are what the next step is given; ``loss`` and ``gradient_norm`` (the largest absolute
    component), (B,) each, belong to ``theta``; ``evaluations`` (B,) is what this step cost in evaluations of loss and
    gradient on all data, the first step's including those of ``init``; one on a batch counts by its share. ``status``
    and ``reason`` (a sentence, empty while running) have one entry per row. A diverged row keeps its last finite theta.
    """

    theta: Tensor
    state: S
    loss: Floats
    gradient_norm: Floats
    evaluations: Floats | Integers
    status: list[Status]
    reason: list[str]


@dataclass(frozen=True)
class Part:
    """Another strategy within a schedule, by its identifier, with the settings that differ from its own defaults."""

    identifier: str
    settings: Mapping[str, Setting]


def part(identifier: str, doc: str, **settings: Setting) -> Any:
    """A field that holds another strategy; whoever asks for the run may name another one, and change its settings."""
    return field(metadata={"part": Part(identifier, settings), "doc": doc})


class Strategy(ABC, Generic[S]):
    """An optimiser; a frozen dataclass of its settings, in a module named by its identifier.

    Those that move points or weigh terms themselves say so.

    ``before`` are the phases that a run of this name goes through first; ``variants`` those that its maps are offered
    in, where the problem's own would not do.
    """

    label: ClassVar[str]
    before: ClassVar[tuple[Part, ...]] = ()
    variants: ClassVar[tuple[str, ...]] = ()
    moves_points: ClassVar[bool] = False
    weighs_terms: ClassVar[bool] = False

    def within(self) -> Iterator[Strategy[Any]]:
        """Itself and every strategy that it is made of."""
        yield self
        for part in (getattr(self, f.name) for f in fields(self)):  # type: ignore[arg-type]
            if isinstance(part, Strategy):
                yield from part.within()

    def check(self, terms: Sequence[str]) -> None:
        """Raise BadRequest when it cannot train a loss of these terms."""
        return None

    @property
    def most_parameters(self) -> int | None:
        """The largest P that it can train by itself, or None."""
        return None

    @property
    def holds_points(self) -> bool:
        """Whether it keeps something for each interior point, so that these cannot be drawn anew."""
        return False

    @property
    def as_published(self) -> bool:
        """Whether it takes as many steps as were published for the amount of data."""
        return False

    @property
    def vectors(self) -> int:
        """At most how many vectors of P numbers a row keeps while it steps; memory is predicted from it."""
        return 12

    @property
    def largest_batch(self) -> int:
        """Samples of its largest batch, 0 where it sees all there are; memory is predicted from it."""
        return 0

    @property
    def expected_iterations(self) -> int:
        """About how many iterations a run takes, for estimates where none was timed; PINNs took 2,500 to 8,500."""
        return 4000

    @abstractmethod
    def init(self, objective: Minimisable, theta: Tensor) -> S:
        """The state at theta (B, P), before the first step."""

    @abstractmethod
    def step(self, objective: Minimisable, theta: Tensor, state: S) -> Step[S]:
        """One iteration of every row given."""

    def _require(self, *names: str, above: float = -inf, least: float = -inf) -> None:
        """Raise BadRequest unless these settings exceed one number, or come up to another."""
        for name in names:
            value = getattr(self, name)
            if not value > above:
                raise BadRequest(f"The setting {name} of {self.label} must be greater than {above:g}, got {value!r}.")
            if not value >= least:
                raise BadRequest(f"The setting {name} of {self.label} must be at least {least:g}, got {value!r}.")


C = TypeVar("C", bound=State)


@dataclass
class OuterState(State, Generic[C]):
    """Where each row is: the objective of its present stage and the inner strategy's state there.

    ``stage`` counts the stages begun, ``iteration`` the steps taken in the present one; (B,) each. The objective is
    None where it is to be posed anew, from the one that the next step is given.
    """

    objective: Posable | None
    inner: Any
    context: C
    stage: Integers
    iteration: Integers

    def rows(self, index: Integers) -> Self:
        """A copy for these rows only, in this order."""
        return State.rows(replace(self, objective=None), index)

    def put(self, index: Integers, other: Self) -> None:
        """Have the rows of ``other``, in their order, stand in the place of these."""
        self.objective = None
        super().put(index, other)


STAGE = {"max_epochs": 1, "epoch_iterations": 2000, "epoch_evaluations": 2500}
"""L-BFGS as the strategy within a stage: one long epoch, which a tolerance ends (arXiv 2605.29153, Table 2)."""
STAGE_ITERATIONS = 500
"""About how many iterations such a stage takes: 440 to 600 on convection."""


class Outer(Strategy[OuterState[C]], Generic[C]):
    """A strategy that minimises a succession of objectives, each until the inner strategy ends there.

    With ``stage_iterations`` every stage but the last one also ends after so many steps. Every row goes on to its next
    stage by itself. A subclass says what the stages are made of: their ``context`` before the first one, how it goes
    on, what objective it poses, and how many there are.
    """

    inner: Strategy[Any]
    stage_iterations: int = 0

    @property
    def vectors(self) -> int:
        return self.inner.vectors + 4

    @property
    def largest_batch(self) -> int:
        return self.inner.largest_batch

    @property
    def expected_of_a_stage(self) -> int:
        """About how many iterations a stage takes."""
        return min(self.inner.expected_iterations, self.stage_iterations or self.inner.expected_iterations)

    @abstractmethod
    def context(self, objective: Posable, theta: Tensor) -> C:
        """The context of every row's first stage."""

    @abstractmethod
    def next(self, objective: Posable, theta: Tensor, context: C) -> C:
        """The context after a stage that ended at theta (B, P)."""

    @abstractmethod
    def pose(self, objective: Posable, context: C) -> Posable:
        """The objective of a stage."""

    def watched(self, objective: Posable, context: C) -> Minimisable:
        """The stage's objective as the inner strategy sees it during a step."""
        return objective

    @abstractmethod
    def stages(self, context: C) -> Integers:
        """How many stages each row has, (B,)."""

    def init(self, objective: Any, theta: Tensor) -> OuterState[C]:
        """The first stage at theta (B, P)."""
        context = self.context(objective, theta)
        posed = self.pose(objective, context)
        inner = self.inner.init(self.watched(posed, context), theta)
        one = np.ones(len(theta), dtype=np.int64)
        return OuterState(posed, inner, context, one, 0 * one)

    def step(self, objective: Any, theta: Tensor, state: OuterState[C]) -> Step[OuterState[C]]:
        """One step of the inner strategy; a row whose stage ended begins the next one. ``loss`` is the stage's own."""
        posed = state.objective or self.pose(objective, state.context)
        step = self.inner.step(self.watched(posed, state.context), theta, state.inner)
        state.objective = posed
        state.inner, state.iteration = step.state, state.iteration + 1
        total = self.stages(state.context)
        last = state.stage >= total
        status, reason = list(step.status), list(step.reason)
        on = []
        for row, inner in enumerate(step.status):
            long = 0 < self.stage_iterations <= state.iteration[row] and not last[row]
            if inner is Status.DIVERGED or not (inner.finished or long):
                continue
            status[row], reason[row] = self.ended(inner, step.reason[row], int(total[row]))
            if not last[row]:
                status[row], reason[row] = Status.RUNNING, ""
                on.append(row)
        if on:
            self._go_on(objective, step.theta, state, np.array(on))
        return Step(step.theta, state, step.loss, step.gradient_norm, step.evaluations, status, reason)

    def ended(self, inner: Status, reason: str, stages: int) -> tuple[Status, str]:
        """What is said of a row whose last stage ended."""
        return Status.BUDGET_SPENT, f"All {stages} stages were trained."

    def _go_on(self, objective: Posable, theta: Tensor, state: OuterState[C], rows: Integers) -> None:
        there = theta[torch.as_tensor(rows, device=theta.device)]
        own: Any = objective.rows(rows)
        state.context.put(rows, self.next(own, there, state.context.rows(rows)))
        state.objective = self.pose(objective, state.context)
        seen = self.watched(state.objective, state.context).rows(rows)
        state.inner.put(rows, self.inner.init(seen, there))
        state.stage[rows] += 1
        state.iteration[rows] = 0
