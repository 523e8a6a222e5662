"""Cross entropy of a classifier's scores with the labels, the mean over training images.

A network's layers are normalised by statistics over images, and a loss is to be a function of theta alone. So it has
two readings. On a batch, as strategies see it, the statistics are the batch's own and are differentiated with it.
Everywhere else they are those of the training set at the same theta, estimated anew for every theta and never kept with
a run; in gradients and curvature there they count as constants, as in PyHessian's measurements in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sciml_backend.classification import Classification, Labelled
from sciml_backend.loss import Loss
from sciml_backend.model import ImageModel, Statistics
from sciml_backend.objective import GRAPH, Index
from sciml_backend.objectives._of_runs import OfRuns
from sciml_backend.run import BadRequest, RunSpec

PIECE = 32
"""Images that are differentiated twice at a time."""
TOGETHER = 256
"""Images that are differentiated once, or only evaluated, at a time."""
ESTIMATED = 2048
"""Training images, the first of a set, that statistics are estimated on at most."""
EPOCHS = 200
"""Passes over the data of the released code of arXiv 2605.29153."""
TERM = "data"


class CrossEntropy(OfRuns):
    """Mean cross entropy with the labels; classifiers. The weight decay that training adds is the strategy's."""

    problem: Classification
    model: ImageModel
    label = "Cross entropy"

    # -- making one ---------------------------------------------------------------------------------------------------

    @classmethod
    def terms_of(cls, problem: Classification) -> tuple[str, ...]:
        return (TERM,)

    @classmethod
    def sizes(cls, problem: Classification, loss: Loss) -> dict[str, int]:
        return {"inputs": problem.channels, "outputs": len(problem.names)}

    @classmethod
    def build(
        cls,
        problem: Classification,
        model: ImageModel,
        runs: Sequence[RunSpec],
        *,
        loss: Loss,
        dtype: torch.dtype,
        device: str,
    ) -> Self:
        return cls(problem, model, runs, dtype=dtype, device=torch.device(device))

    def __init__(
        self,
        problem: Classification,
        model: ImageModel,
        runs: Sequence[RunSpec],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ):
        self.problem, self.model, self.specs = problem, model, list(runs)
        self.dtype, self.device, self.kernel, self.chunk = dtype, device, "torch", 0
        self.n = runs[0].data
        self._sets: dict[Any, tuple[Tensor, Tensor]] = {}
        self._estimated: dict[Any, tuple[Tensor, Statistics]] = {}
        self._chosen = np.arange(self.n)
        self._mirrored: np.ndarray | None = None
        self._own_statistics = False
        self._weight: Tensor | None = None

    # -- which runs and images ----------------------------------------------------------------------------------------

    def rows(self, index: Index) -> Self:
        other = self._picked(index)  # images are shared
        if self._weight is not None:
            other._weight = self._weight[torch.as_tensor(np.asarray(index))]
        return other

    def given(self, **context: Any) -> Self:
        """Other ``coefficients`` (by name, each (B,)), or the term's weight, ``weights`` (by term, (B,))."""
        if unknown := context.keys() - {"coefficients", "points", "weights"} or context.get("points"):
            raise TypeError(f"A cross entropy cannot be given other {', '.join(unknown)}.")
        other = self._moved(context.get("coefficients", {}))
        other._weight = context.get("weights", {}).get(TERM, self._weight)
        return other

    def minibatch(self, number: int, size: int) -> Self:
        """A batch by its own statistics: epoch after epoch all full batches of the images in a new order.

        What an epoch's batches leave over sits out. Where a mirror image is as good, half of the images are mirrored.
        """
        size = min(size, self.n)
        epoch, place = divmod(number, self.n // size)
        other = copy(self)
        other._own_statistics, other.share = True, size / self.n
        other._chosen = np.random.default_rng(epoch).permutation(self.n)[place * size : (place + 1) * size]
        if self.problem.mirrored:
            other._mirrored = np.random.default_rng([number, 1]).random(self.n) < 0.5
        return other

    def subset(self, samples: int) -> Self:
        """Of the first so many training images; the statistics stay those of the whole set."""
        other = copy(self)
        other._chosen = np.arange(min(samples, self.n))
        other.share = len(other._chosen) / self.n
        return other

    def published_steps(self, batch: int) -> int:
        """All full batches of 200 epochs."""
        return EPOCHS * max(1, self.n // (batch or self.n))

    def _key(self, row: int) -> Any:
        run = self.specs[row]
        return (*sorted(run.coefficients.items()), run.data_seed)

    def _set(self, row: int) -> tuple[Tensor, Tensor]:
        """Images (n, …) and labels (n,) that a row is trained on."""
        key, run = self._key(row), self.specs[row]
        if key not in self._sets:
            self._sets[key] = self._there(self.problem.labelled(self.n, run.coefficients, data_seed=run.data_seed))
        return self._sets[key]

    def _heldout(self) -> tuple[Tensor, Tensor]:
        if "test" not in self._sets:
            self._sets["test"] = self._there(self.problem.heldout())
        return self._sets["test"]

    def _there(self, some: Labelled) -> tuple[Tensor, Tensor]:
        images, classes = torch.as_tensor(some.images), torch.as_tensor(some.classes)
        return images.to(self.device, self.dtype), classes.to(self.device)

    # -- the loss -----------------------------------------------------------------------------------------------------

    def _statistics(self, theta: Tensor, row: int) -> Statistics | None:
        """What a row's network (P,) is normalised by; None for a batch's own. The last ones are kept."""
        if self._own_statistics:
            return None
        key, here = self._key(row), theta.detach()
        known = self._estimated.get(key)
        if known is None or not torch.equal(known[0], here):
            known = here.clone(), self.model.statistics(here, self._set(row)[0][:ESTIMATED])
            self._estimated[key] = known
        return known[1]

    def _pieces(self, size: int) -> list[np.ndarray]:
        size = len(self._chosen) if self._own_statistics else size
        return [self._chosen[at : at + size] for at in range(0, len(self._chosen), size)]

    def _part(self, theta: Tensor, row: int, samples: np.ndarray, statistics: Statistics | None) -> Tensor:
        """What some images add to a row's loss, for weights (P,)."""
        images, labels = (part[torch.as_tensor(samples)] for part in self._set(row))
        if self._mirrored is not None:
            mirrored = torch.as_tensor(self._mirrored[samples], device=self.device)[:, None, None, None]
            images = torch.where(mirrored, images.flip(3), images)
        total = cross_entropy(self.model.scores(theta, images, statistics), labels, reduction="sum")
        weight = 1.0 if self._weight is None else self._weight[row].to(total)
        return weight * total / len(self._chosen)

    def value_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        own = self._for(theta)
        values, gradients = theta.new_zeros(len(theta)), torch.zeros_like(theta)
        for row in range(len(theta)):
            leaf = theta[row].detach().clone().requires_grad_()
            statistics = own._statistics(leaf, row)
            for samples in own._pieces(TOGETHER):
                part = own._part(leaf, row, samples, statistics)
                values[row] += part.detach()
                gradients[row] += torch.autograd.grad(part, leaf)[0]
        return values, gradients

    def value(self, theta: Tensor) -> Tensor:
        own, values = self._for(theta), theta.new_zeros(len(theta))
        with torch.no_grad():
            for row in range(len(theta)):
                here = theta[row].clone()
                statistics = own._statistics(here, row)
                for samples in own._pieces(TOGETHER):
                    values[row] += own._part(here, row, samples, statistics)
        return values

    def differentiable_value(self, theta: Tensor) -> Tensor:
        own, values = self._for(theta), []
        for row in range(len(theta)):
            statistics = own._statistics(theta[row], row)
            values.append(sum(own._part(theta[row], row, samples, statistics) for samples in own._pieces(PIECE)))
        return torch.stack(values)  # type: ignore[arg-type]

    def hessian_times(self, theta: Tensor, v: Tensor) -> Tensor:
        own, out = self._for(theta), torch.zeros_like(theta)
        for row in range(len(theta)):
            leaf = theta[row].detach().clone().requires_grad_()
            statistics = own._statistics(leaf, row)
            for samples in own._pieces(PIECE):
                part = own._part(leaf, row, samples, statistics)
                (slope,) = torch.autograd.grad(part, leaf, create_graph=True)
                out[row] += torch.autograd.grad((slope * v[row]).sum(), leaf)[0]
        return out

    def gauss_newton(self, theta: Tensor) -> Tensor:
        raise self._no_squares()

    def residuals(self, theta: Tensor) -> dict[str, Tensor]:
        raise self._no_squares()

    def residual_jvp(self, theta: Tensor, v: Tensor) -> dict[str, Tensor]:
        raise self._no_squares()

    def residual_vjp(self, theta: Tensor, w: Mapping[str, Tensor]) -> Tensor:
        raise self._no_squares()

    def _no_squares(self) -> BadRequest:
        return BadRequest(f"{self.label} is no mean of squares, so it has no residuals; choose another diagnostic.")

    # -- on the test images -------------------------------------------------------------------------------------------

    def _tested(self, theta: Tensor) -> list[Tensor]:
        """Scores of the test images by row, (n, classes) each."""
        own, found = self._for(theta), []
        with torch.no_grad():
            for row in range(len(theta)):
                here = theta[row].clone()
                statistics = own._statistics(here, row)
                pieces = self._heldout()[0].split(TOGETHER)
                found.append(torch.cat([self.model.scores(here, images, statistics) for images in pieces]))
        return found

    def errors(self, theta: Tensor, *, heldout: bool = False) -> dict[str, Tensor]:
        """``test_error``: the share of test images given a wrong class; ``heldout_error``: their cross entropy."""
        scores, classes = self._tested(theta), self._heldout()[1]
        out = {"test_error": torch.stack([(own.argmax(1) != classes).double().mean() for own in scores]).cpu()}
        if heldout:
            out["heldout_error"] = torch.stack([cross_entropy(own.double(), classes) for own in scores]).cpu()
        return out

    def solution(self, theta: Tensor) -> dict[str, np.ndarray]:
        """The confusion matrix: of the test images of each class (rows) the share taken for each (columns).

        ``reference`` is the one without confusion.
        """
        classes, k = self._heldout()[1], len(self.problem.names)
        true = torch.nn.functional.one_hot(classes, k).double()
        taken = [torch.nn.functional.one_hot(own.argmax(1), k).double() for own in self._tested(theta)]
        found = torch.stack([true.T @ own / true.sum(0)[:, None].clamp_min(1) for own in taken]).cpu().numpy()
        along = np.arange(k)
        return {
            "taken for": along,
            "class": along,
            "solution": found,
            "reference": np.eye(k)[None].repeat(len(found), 0),
        }

    def memory(self, runs: int) -> int:
        size = torch.empty((), dtype=self.dtype).element_size()
        images = self.n * self.problem.channels * self.problem.side**2 * size
        together = len(self._chosen) if self._own_statistics else min(self.n, TOGETHER)
        working = self.model.memory(together, self.problem.side, size)
        return working + runs * (images + 4 * self.parameters * size)

    @property
    def graph_bytes(self) -> int:
        size = torch.empty((), dtype=self.dtype).element_size()
        return int(GRAPH * self.model.memory(len(self._chosen), self.problem.side, size))
