"""The same curvature by the PyHessian package: an independent second opinion.

Yao, Gholami, Keutzer and Mahoney (2020), arXiv:1912.07145; the package PyHessian, version 0.1.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sciml_backend import memory
from sciml_backend.diagnostic import Finding, OfTheLoss, affordable_steps, hessian_at
from sciml_backend.run import BadRequest, setting

if TYPE_CHECKING:
    from sciml_backend.objective import Objective


@dataclass(frozen=True, kw_only=True)
class PyHessianOpinion(OfTheLoss):
    """Largest eigenvalue by size, trace and spectral quadrature of the trained run by the PyHessian package.

    It shares no code with ours. PyHessian stops its trace when two running means happen to be close, or when that of a
    negative trace moves at all, so ``trace_samples`` says after how many samples it did. ``lambda_max`` is the
    eigenvalue of largest size, which may be negative.
    """

    label: ClassVar[str] = "PyHessian, a second opinion"
    steps: int = setting(100, "Lanczos steps of the spectral density, at most")
    runs: int = setting(2, "start vectors of the spectral density")
    iterations: int = setting(100, "power iterations, and samples of the trace, at most")
    tolerance: float = setting(1e-3, "relative change at which eigenvalue and trace count as settled")
    seed: int = setting(0, "seed of the random vectors")

    def __post_init__(self) -> None:
        counts = min(self.steps, self.runs, self.iterations)
        self.require(counts >= 1, f"steps, runs and iterations must be at least 1, got {counts}.")
        self.require(self.tolerance > 0, f"tolerance must be positive, got {self.tolerance}.")

    def compute(self, objective: Objective, *, theta_initial: Tensor, theta_final: Tensor) -> Finding:
        """Measure the end of the training; raises BadRequest when the package is not installed."""
        hessian_at(objective, theta_final)  # the same demands on dtype and finiteness as ours
        steps = affordable_steps(self.steps, theta_final)
        graph = "What PyHessian keeps of all samples"
        memory.require(objective.graph_bytes, theta_final.device, graph, "take some of them, such as --with data=64")
        with _pyhessian(self.seed) as package:
            weights = _Weights(objective, theta_final)
            judge = package.hessian(
                weights,
                lambda outputs, targets: (outputs - targets).sum(),
                data=(torch.empty(0), torch.zeros(1, dtype=theta_final.dtype)),
                cuda=theta_final.is_cuda,
            )
            values, _ = judge.eigenvalues(maxIter=self.iterations, tol=self.tolerance, top_n=1)
            samples = judge.trace(maxIter=self.iterations, tol=self.tolerance)
            nodes, shares = judge.density(iter=steps, n_v=self.runs)
            weights.theta.grad = None  # else the graph of the gradient keeps itself alive
        numbers = {
            "lambda_max": float(values[0]),
            "trace": float(np.mean(samples)),
            "trace_samples": float(len(samples)),
        }
        if len(samples) > 1:
            numbers["trace_error"] = float(np.std(samples, ddof=1) / len(samples) ** 0.5)
        return Finding(numbers, {"nodes": np.array(nodes), "weights": np.array(shares)})


class _Weights(nn.Module):
    """A model whose only parameter is theta and whose output, for any input, is the run's loss."""

    def __init__(self, objective: Objective, theta: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta.clone())
        self._objective = objective

    def forward(self, inputs: Tensor) -> Tensor:
        return self._objective.differentiable_value(self.theta.unsqueeze(0))


@contextmanager
def _pyhessian(seed: int) -> Iterator[Any]:
    """The package, with what it takes for granted: ``torch.eig``, float64 by default and a seeded global generator."""
    try:
        package = importlib.import_module("pyhessian")
    except ImportError:
        raise BadRequest("The second opinion needs the PyHessian package: pip install pyhessian==0.1.") from None
    torch_module: Any = torch
    dtype, removed = torch.get_default_dtype(), torch_module.eig
    torch.set_default_dtype(torch.float64)
    torch_module.eig = _eig
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            torch.manual_seed(seed)
            # It keeps the gradient's graph on the parameter; ``compute`` lets go of it.
            warnings.filterwarnings("ignore", message="Using backward.. with create_graph=True")
            yield package
    finally:
        torch_module.eig = removed
        torch.set_default_dtype(dtype)


def _eig(matrix: Tensor, eigenvectors: bool = False) -> tuple[Tensor, Tensor]:
    """``torch.eig`` as torch had it, for the symmetric matrices that PyHessian gives it: (n, 2) parts and vectors."""
    values, vectors = torch.linalg.eigh(matrix)
    return torch.stack([values, torch.zeros_like(values)], dim=1), vectors
