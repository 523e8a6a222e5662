"""The engine beside the textbook way: gradient, L-BFGS iteration, whole run; alternating, one thread, medians."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from sciml_backend import grouping, sweep
from sciml_backend.benchmarks.textbook import TextbookConvection
from sciml_backend.engine import provenance
from sciml_backend.run import MapName

NAME = MapName("pinn", "convection", "lbfgs")
FLOP_PER_WEIGHT = 6
"""Two for the forward pass, four for both products of the backward pass."""


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternate(first: Callable[[], Any], second: Callable[[], Any], *, rounds: int) -> tuple[float, float, float]:
    """Median seconds of both, run in turn after a warm-up, and the median of the ratios second / first."""
    first(), second()
    pairs = [(_seconds(first), _seconds(second)) for _ in range(rounds)]
    return median(a for a, _ in pairs), median(b for _, b in pairs), median(b / a for a, b in pairs)


def matrix_product() -> float:
    """GFLOP/s of a 2000 x 2000 float32 product: what the machine can do."""
    a = torch.randn(2000, 2000)
    a @ a
    return 2 * 2000**3 / median(_seconds(lambda: a @ a) for _ in range(5)) / 1e9


def gradients(*, sizes: tuple[int, ...] = (100, 1000, 5000), rounds: int = 30) -> list[dict[str, float]]:
    """Loss and gradient per network: the textbook's, and ours at the batch the engine picks."""
    out = []
    for n in sizes:
        rows = grouping.rows(NAME.family, n)
        specs = sweep.plan(NAME, coefficients={"beta": [5.0]}, data=[n], seeds=range(rows))
        objective, theta = sweep.objective_of(specs), sweep.initial_weights(specs)
        textbook = TextbookConvection(beta=5.0, data=n, seed=0)
        ours, theirs, ratio = alternate(
            lambda o=objective, x=theta: o.value_and_gradient(x),  # type: ignore[misc]
            lambda t=textbook, b=rows: [t.gradient() for _ in range(b)],  # type: ignore[misc]
            rounds=max(5, rounds if n <= 1000 else rounds // 3),
        )
        weights = objective.parameters - 151  # biases cost next to nothing
        flop = FLOP_PER_WEIGHT * weights * (2 * n + 2 * 101 + 257)
        out.append(
            {
                "data": n,
                "rows": rows,
                "textbook_ms": theirs / rows * 1e3,
                "ours_ms": ours / rows * 1e3,
                "times_faster": ratio,
                "gflops": flop * rows / ours / 1e9,
            }
        )
    return out


def iteration(*, iterations: int = 500, rounds: int = 3) -> dict[str, float]:
    """Milliseconds per L-BFGS iteration and network over the first iterations at beta = 5, N_f = 100."""
    rows = grouping.rows(NAME.family, 100)
    specs = sweep.plan(NAME, coefficients={"beta": [5.0]}, data=[100], seeds=range(rows))
    objective, strategy = sweep.objective_of(specs), sweep.schedule_of(specs[0])[0]

    def ours() -> None:
        theta = sweep.initial_weights(specs)
        state = strategy.init(objective, theta)
        for _ in range(iterations):
            step = strategy.step(objective, theta, state)
            theta, state = step.theta, step.state

    def theirs() -> None:
        textbook = TextbookConvection(beta=5.0, data=100, seed=0)
        optimiser = textbook.optimiser()
        for _ in range(iterations // 20):
            optimiser.step(textbook.gradient)

    a, b, ratio = alternate(ours, theirs, rounds=rounds)
    return {
        "rows": rows,
        "textbook_ms": b / iterations * 1e3,
        "ours_ms": a / iterations / rows * 1e3,
        "times_faster": ratio * rows,
    }


def whole_run(*, rounds: int = 3) -> dict[str, float]:
    """One cell, beta = 5 and N_f = 100, from a shell's prompt to its result, imports and all; seconds."""
    words = [sys.executable, "-m"]
    ours = [*words, "sciml_backend", "run", str(NAME), "--set", "beta=5", "--data", "100", "--seed", "0"]
    theirs = [*words, "sciml_backend.benchmarks.textbook", "5", "100", "0"]

    def call(command: list[str]) -> None:
        subprocess.run(command, check=True, capture_output=True)

    a, b, ratio = alternate(lambda: call(ours), lambda: call(theirs), rounds=rounds)
    return {"textbook_s": b, "ours_s": a, "times_faster": ratio}


def report(*, quick: bool = False) -> dict[str, Any]:
    """All of the above with what it ran on; ``quick`` takes fewer rounds."""
    provenance.prepare("cpu", threads=1)
    return {
        "threads": 1,
        "kernel": sweep.objective_of(sweep.plan(NAME, coefficients={"beta": [5.0]}, data=[100])).kernel,
        "versions": provenance.versions(),
        "matrix_product_gflops": matrix_product(),
        "gradient": gradients(rounds=9 if quick else 30),
        "iteration": iteration(iterations=100 if quick else 500, rounds=1 if quick else 3),
        "run": whole_run(rounds=1 if quick else 3),
    }
