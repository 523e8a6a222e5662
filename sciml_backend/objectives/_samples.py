"""What losses over samples of a solution operator share: pieces of samples, terms, errors on a set held out.

A term is a mean over samples, of squares  mean(r²)  or of norms  mean|r|  with one r for each sample. A strategy may be
given it with a weight, and with multipliers: then it is  w mean(r²) + mean(λ r).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from sciml_backend.kernels import build
from sciml_backend.loss import Loss
from sciml_backend.model import OperatorModel, Share, Stepper
from sciml_backend.objective import GRAPH, Index, product_by_central_gradients
from sciml_backend.objectives._of_runs import OfRuns
from sciml_backend.run import BadRequest, RunSpec, setting
from sciml_backend.solution_operator import Samples, SolutionOperator

PIECE = 8
"""Samples that are differentiated twice at a time."""
SETS = 2
"""Sets that are kept beside two for each run."""
KEPT = 512 * 2**20
"""Bytes up to which a set's inputs, say, are made once; those of a larger one are made batch by batch."""


@dataclass(frozen=True, kw_only=True)
class OnGrid(Loss):
    """On which grid a solution operator is learned; with any strategy."""

    grid: int = setting(0, "nodes along a side of the samples' grid (0: the published one)")

    def side(self, problem: SolutionOperator) -> int:
        """Nodes along a side."""
        return self.grid or problem.grid

    def check(self, problem: SolutionOperator, terms: Sequence[str]) -> None:
        super().check(problem, terms)
        if self.side(problem) not in problem.grids:
            known = " or ".join(map(str, problem.grids))
            raise BadRequest(f"{problem.label} is sampled with {known} nodes a side, got grid={self.grid}.")


class Set:
    """Samples as tensors of a precision on a device: inputs and targets of any of them, and what else a term reads."""

    def __init__(self, samples: Samples, beside: Mapping[str, np.ndarray], dtype: torch.dtype, device: torch.device):
        self.samples, self.dtype, self.device = samples, dtype, device
        one = samples.inputs(np.arange(1))
        self._inputs = self._on(samples.inputs()) if one.nbytes * len(samples) <= KEPT else None
        self._targets = self._whole(samples.targets)
        self._beside = {name: self._whole(array) for name, array in beside.items()}

    def __len__(self) -> int:
        return len(self.samples)

    def _on(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array).to(self.device, self.dtype)

    def _whole(self, array: np.ndarray) -> np.ndarray | Tensor:
        return self._on(array) if array.nbytes <= KEPT else array

    def _some(self, whole: np.ndarray | Tensor, chosen: np.ndarray) -> Tensor:
        return whole[torch.as_tensor(chosen)] if isinstance(whole, Tensor) else self._on(whole[chosen])

    def inputs(self, chosen: np.ndarray) -> Tensor:
        """(k, channels, h, w)."""
        return self._on(self.samples.inputs(chosen)) if self._inputs is None else self._some(self._inputs, chosen)

    def targets(self, chosen: np.ndarray) -> Tensor:
        """(k, 1, h, w)."""
        return self._some(self._targets, chosen)

    def other(self, name: str, chosen: np.ndarray) -> Tensor:
        """What a term reads beside them, (k, …)."""
        return self._some(self._beside[name], chosen)


class OnSamples(OfRuns):
    """The loss of runs that share problem, model, amount of data and precision; each has its own training set."""

    problem: SolutionOperator
    model: OperatorModel
    loss: ClassVar[type[Loss]] = OnGrid
    kernel_name = "fourier_operator"
    norms: ClassVar[bool] = False
    """Whether the terms are means of norms, not of squares."""
    weight: ClassVar[Mapping[str, float]] = {}
    """What a term counts in the loss, where not 1."""

    # -- what a subclass says ---------------------------------------------------------------------------------------

    @abstractmethod
    def _parts(self, outputs: Tensor, own: Set, chosen: np.ndarray) -> dict[str, Tensor]:
        """r by term, (k, m) each, of solutions (k, 1, h, w) of some samples; m = 1 where terms are means of norms."""

    @classmethod
    def _beside(cls, problem: Any, run: RunSpec, loss: Any) -> dict[str, np.ndarray]:
        """What terms read beside the samples, by name, (n, …)."""
        return {}

    # -- making one -------------------------------------------------------------------------------------------------

    @classmethod
    def sizes(cls, problem: SolutionOperator, loss: OnGrid) -> dict[str, int]:
        return {"inputs": problem.channels, "outputs": 1}

    @classmethod
    def check(cls, problem: SolutionOperator, model: OperatorModel, loss: OnGrid) -> None:
        model.check(loss.side(problem), loss.side(problem))

    @classmethod
    def build(
        cls,
        problem: SolutionOperator,
        model: OperatorModel,
        runs: Sequence[RunSpec],
        *,
        loss: OnGrid,
        dtype: torch.dtype,
        device: str,
    ) -> Self:
        return cls(problem, model, runs, loss=loss, dtype=dtype, device=torch.device(device))

    def __init__(
        self,
        problem: SolutionOperator,
        model: OperatorModel,
        runs: Sequence[RunSpec],
        *,
        loss: OnGrid,
        dtype: torch.dtype,
        device: torch.device,
    ):
        self.problem, self.model, self.specs, self.chosen_loss = problem, model, list(runs), loss
        self.dtype, self.device, self.side = dtype, device, loss.side(problem)
        self.terms = self.terms_of(problem)
        self.n = runs[0].data
        self._sets: dict[Any, Set] = {}
        self._chosen: np.ndarray = np.arange(self.n)
        self._weights: dict[str, Tensor] = {}
        self._multipliers: dict[str, Tensor] = {}
        self._stepper: Stepper = model.on_grid(self.side, self.side, dtype=dtype, device=device, most=self.n)
        self._twin: list[OnSamples] = []

    @property
    def kernel(self) -> str:  # type: ignore[override]
        return build.version(self.kernel_name) if self._stepper.fused else "torch"

    @property
    def chunk(self) -> int:  # type: ignore[override]
        return self._stepper.samples

    # -- which runs and samples -------------------------------------------------------------------------------------

    def rows(self, index: Index) -> Self:
        chosen, other = np.asarray(index), self._picked(index)  # sets and the network's memory are shared
        for given in ("_weights", "_multipliers"):
            kept = {k: v[torch.as_tensor(chosen, device=v.device)] for k, v in getattr(self, given).items()}
            setattr(other, given, kept)
        return other

    def given(self, **context: Any) -> Self:
        """Other ``coefficients`` (by name, each (B,)), or terms with ``weights`` (by term, (B,)) and ``multipliers``
        (by term, (B, n)); the rest stays.
        """
        if unknown := context.keys() - {"coefficients", "points", "weights", "multipliers"} or context.get("points"):
            raise TypeError(f"A loss over samples cannot be given other {', '.join(unknown)}.")
        other = self._moved(context.get("coefficients", {}))
        other._weights = {**self._weights, **context.get("weights", {})}
        other._multipliers = {**self._multipliers, **context.get("multipliers", {})}
        return other

    def _of(self, chosen: np.ndarray) -> Self:
        other = copy(self)
        other._chosen, other.share = chosen, len(chosen) / self.n
        return other

    def subset(self, samples: int) -> Self:
        """So many of the samples at equal distances: a set may be ordered."""
        samples = min(samples, self.n)
        return self._of(np.arange(samples) * self.n // samples)

    def _set(self, row: int, *, split: str = "train") -> Set:
        run = self.specs[row]
        key = (split, *sorted(run.coefficients.items()), run.data_seed)
        if key not in self._sets:
            while len(self._sets) >= SETS + 2 * self.runs:  # a curriculum brings ever new ones
                self._sets.pop(next(iter(self._sets)))
            n = self.n if split == "train" else self.problem.grids[self.side]
            samples = self.problem.samples(n, run.coefficients, split=split, grid=self.side, data_seed=run.data_seed)
            beside = self._beside(self.problem, run, self.chosen_loss) if split == "train" else {}
            self._sets[key] = Set(samples, beside, self.dtype, self.device)
        return self._sets[key]

    # -- the loss ---------------------------------------------------------------------------------------------------

    def _share(self, outputs: Tensor, *, row: int, samples: np.ndarray) -> Tensor:
        """What some samples, by their outputs, add to a row's loss."""
        solutions = self.problem.solution(outputs)
        total = outputs.new_zeros(())
        for term, r in self._parts(solutions, self._set(row), samples).items():
            count = len(self._chosen) * r.shape[1]
            weight = self._weights[term][row].to(r) if term in self._weights else 1.0
            if term in self._multipliers:
                own = self._multipliers[term][row].to(r).unflatten(0, (self.n, -1))[torch.as_tensor(samples)]
                part = weight * r.square().sum() + (own * r).sum()
            else:
                part = weight * self.weight.get(term, 1.0) * (r if self.norms else r.square()).sum()
            total = total + part / count
        return total

    def _sharing(self, rows: Sequence[int], chosen: np.ndarray) -> Share:
        """``_share`` of one of these rows and a slice of these samples."""

        def share(outputs: Tensor, /, *, row: int, samples: slice) -> Tensor:
            return self._share(outputs, row=rows[row], samples=chosen[samples])

        return share

    @property
    def _together(self) -> bool:
        """Whether all rows take a step at once."""
        return self.device.type != "cpu"

    def _pieces(self, size: int) -> list[np.ndarray]:
        return [self._chosen[at : at + size] for at in range(0, len(self._chosen), size)]

    def value_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        every = range(len(theta))
        groups = [every] if self._together else [every[row : row + 1] for row in every]
        found = [self._for(theta)._step_of(theta, rows) for rows in groups]
        # Of one row, nothing is copied: an operator's gradient is as large as all else in a step on few samples.
        values, gradients = found[0] if len(found) == 1 else map(torch.cat, zip(*found, strict=True))
        return values.to(theta), gradients

    def _step_of(self, theta: Tensor, rows: range) -> tuple[Tensor, Tensor]:
        """Loss (k,) in float64 and gradient (k, P) of these rows of theta (B, P)."""

        def piece(samples: np.ndarray) -> tuple[Tensor, Tensor]:
            inputs = [self._set(row).inputs(samples) for row in rows]
            fields = torch.stack(inputs) if len(inputs) > 1 else inputs[0]
            part = theta[rows.start : rows.stop]
            return self._stepper.value_and_gradient(part, fields, self._sharing(rows, samples))

        # One after the other: a gradient for every piece at once would not fit into what ``memory`` says.
        return reduce(lambda total, more: (total[0] + more[0], total[1] + more[1]), map(piece, self._pieces(256)))

    def value(self, theta: Tensor) -> Tensor:
        own, values = self._for(theta), torch.zeros(len(theta), dtype=torch.float64)
        with torch.no_grad():
            for row in range(len(theta)):
                for samples in own._pieces(256):
                    outputs = self._stepper.predict(theta[row : row + 1], own._set(row).inputs(samples))[0]
                    values[row] += own._share(outputs, row=row, samples=samples).double().cpu()
        return values.to(theta)

    def differentiable_value(self, theta: Tensor) -> Tensor:
        own = self._for(theta)
        rows = [
            sum(own._plain(theta[row], row, samples) for samples in own._pieces(PIECE)) for row in range(len(theta))
        ]
        return torch.stack(rows)  # type: ignore[arg-type]

    @property
    def graph_bytes(self) -> int:
        size = torch.empty((), dtype=self.dtype).element_size()
        return int(GRAPH * self.model.memory(len(self._chosen), self.side, self.side, size))

    def _plain(self, theta: Tensor, row: int, samples: np.ndarray) -> Tensor:
        """What some samples add to a row's loss, by plain torch, for weights (P,)."""
        outputs = self.model.apply(theta[None], self._set(row).inputs(samples))[0]
        return self._share(outputs, row=row, samples=samples)

    def hessian_times(self, theta: Tensor, v: Tensor) -> Tensor:
        own, out = self._for(theta), torch.zeros_like(theta)
        for row in range(len(theta)):
            for samples in own._pieces(PIECE):
                leaf = theta[row].detach().requires_grad_()
                (slope,) = torch.autograd.grad(own._plain(leaf, row, samples), leaf, create_graph=True)
                out[row] += torch.autograd.grad((slope * v[row]).sum(), leaf)[0]
        return out

    def hessian_at(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        if self.dtype != torch.float32 or not self._stepper.fused:
            return super().hessian_at(theta)
        return product_by_central_gradients(self._in_double(), theta)

    def _in_double(self) -> Self:
        """The same in float64."""
        if not self._twin:
            self._twin.append(
                type(self)(
                    self.problem,
                    self.model,
                    self.specs,
                    loss=self.chosen_loss,
                    dtype=torch.float64,
                    device=self.device,
                )
            )
        other: Self = copy(self._twin[0])  # type: ignore[assignment]
        other.specs, other._chosen = self.specs, self._chosen
        other._weights, other._multipliers = self._weights, self._multipliers
        return other

    def gauss_newton(self, theta: Tensor) -> Tensor:
        raise BadRequest(
            f"{self.label} has too many residuals for a dense matrix; choose another strategy or diagnostic."
        )

    def residuals(self, theta: Tensor) -> dict[str, Tensor]:
        own, rows = self._for(theta), []
        with torch.no_grad():
            for row in range(len(theta)):
                parts = []
                for samples in own._pieces(256):
                    outputs = self._stepper.predict(theta[row : row + 1], own._set(row).inputs(samples))[0]
                    parts.append(own._parts(self.problem.solution(outputs), own._set(row), samples))
                rows.append({term: torch.cat([part[term] for part in parts]).flatten() for term in self.terms})
        return {term: torch.stack([row[term] for row in rows]) for term in self.terms}

    def _all_parts(self, theta: Tensor, row: int) -> dict[str, Tensor]:
        """All residuals of a row by plain torch, flat, for weights (P,)."""
        outputs = self.model.apply(theta[None], self._set(row).inputs(self._chosen))[0]
        parts = self._parts(self.problem.solution(outputs), self._set(row), self._chosen)
        return {term: part.flatten() for term, part in parts.items()}

    def residual_jvp(self, theta: Tensor, v: Tensor) -> dict[str, Tensor]:
        own = self._for(theta)
        rows = [
            torch.func.jvp(partial(own._all_parts, row=row), (theta[row].detach(),), (v[row],))[1]
            for row in range(len(theta))
        ]
        return {term: torch.stack([row[term] for row in rows]) for term in self.terms}

    def residual_vjp(self, theta: Tensor, w: Mapping[str, Tensor]) -> Tensor:
        own, rows = self._for(theta), []
        for row in range(len(theta)):
            weights = {term: every[row].unflatten(0, (len(own._chosen), -1)) for term, every in w.items()}
            used = torch.stack([(weight != 0).any(1) for weight in weights.values()]).any(0)
            if not used.any():
                rows.append(torch.zeros_like(theta[row]))
                continue
            leaf = theta[row].detach().requires_grad_()
            parts = own._of(own._chosen[used.cpu().numpy()])._all_parts(leaf, row)
            product = sum((weight[used].flatten() * parts[term]).sum() for term, weight in weights.items())
            rows.append(torch.autograd.grad(product, leaf)[0])
        return torch.stack(rows)

    # -- against the solutions ----------------------------------------------------------------------------------------

    def _errors(self, theta: Tensor, split: str, order: int) -> Tensor:
        """Relative distance of each row's solutions to the true ones, the mean over samples of a split, (B,)."""
        own, found = self._for(theta), []
        for row in range(len(theta)):
            held = own._set(row, split=split)
            every, ratios = np.arange(len(held)), []
            for at in range(0, len(held), 256):
                samples = every[at : at + 256]
                outputs = self._stepper.predict(theta[row : row + 1], held.inputs(samples))[0]
                ratios.append(relative(self.problem.solution(outputs), held.targets(samples), order=order))
            found.append(torch.cat(ratios).double().mean().cpu())
        return torch.stack(found)

    def errors(self, theta: Tensor, *, heldout: bool = False) -> dict[str, Tensor]:
        """``test_error``: relative L2 distance to the solutions held out, mean over samples; ``heldout`` adds L1."""
        with torch.no_grad():
            out = {"test_error": self._errors(theta, self.problem.heldout, 2)}
            if heldout:
                out["test_error_l1"] = self._errors(theta, self.problem.heldout, 1)
        return out

    def solution(self, theta: Tensor) -> dict[str, np.ndarray]:
        """``solution`` and ``reference`` of the first sample held out, (B, h, w), and the nodes ``x`` and ``y``."""
        own, first = self._for(theta), np.arange(1)
        found, truth = [], []
        for row in range(len(theta)):
            held = own._set(row, split=self.problem.heldout)
            outputs = self._stepper.predict(theta[row : row + 1], held.inputs(first))[0]
            found.append(self.problem.solution(outputs)[0, 0].double().cpu().numpy())
            truth.append(held.targets(first)[0, 0].double().cpu().numpy())
        along = self.problem.nodes(self.side)
        return {"x": along, "y": along, "solution": np.stack(found), "reference": np.stack(truth)}

    def memory(self, runs: int) -> int:
        size = torch.empty((), dtype=self.dtype).element_size()
        data = 0
        for samples in (self.n, self.problem.grids[self.side]):  # those to learn from, and those held out
            nodes = samples * self.side**2
            data += min(KEPT, nodes * self.problem.channels * size)
            data += nodes * (8 + size)  # a field and its solution at least, and that in this precision
        return (runs if self._together else 1) * self._stepper.bytes + runs * (data + 4 * self.parameters * size)


def relative(found: Tensor, wanted: Tensor, *, order: int = 2) -> Tensor:
    """The norm of each sample's difference over that of what is wanted, (k,)."""
    difference, truth = (part.flatten(1) for part in (found - wanted, wanted))
    above, below = (torch.linalg.vector_norm(part, order, dim=1) for part in (difference, truth))
    ratio: Tensor = above / below
    return ratio
