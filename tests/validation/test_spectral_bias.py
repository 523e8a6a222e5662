"""Spectral bias: which frequencies of a sum of sines gradient descent and Adam learn first; a minute on one core.

Rahaman et al. (2019), arXiv:1806.08734; Kopaničáková and Riccietti (2026), arXiv:2601.10222.
"""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import torch

from sciml_backend import sweep
from sciml_backend.problems.regression import MODES
from sciml_backend.run import MapName, Setting

OMEGA, SEEDS = 8.0, range(3)
SHOWN = (0, 200, 1000, 5000, 20_000)


def errors(strategy: str, settings: dict[str, Setting], seed: int) -> np.ndarray:
    """The error's part along every sine of the sum, 1 where nothing of it is learned: (steps shown, modes)."""
    (spec,) = sweep.plan(
        MapName("mlp", "regression", strategy),
        coefficients={"omega": [OMEGA]},
        data=[200],
        seeds=[seed],
        dtype="float64",
        settings=settings,
    )
    path, objective = sweep.retraced(spec), sweep.objective_of([spec])
    x = np.linspace(0, 1, 401)
    sines = np.stack([np.sin(m * OMEGA * pi * x) for m in MODES])
    thetas = torch.stack([path.theta[path.iteration.index(step)] for step in SHOWN])
    off = objective.predict(thetas, x[:, None]).numpy() - 0.5 * sines.sum(0)  # type: ignore[attr-defined]
    return np.abs(off @ sines.T) / (0.5 * (sines**2).sum(1))


@pytest.mark.parametrize(
    ("strategy", "settings"),
    [("sgd", {"steps": 20_000, "rate": 0.05, "schedule": "constant"}), ("adam", {"schedule": "constant"})],
)
def test_low_frequencies_are_learned_first(strategy: str, settings: dict[str, Setting]) -> None:
    left = np.mean([errors(strategy, settings, seed) for seed in SEEDS], axis=0)
    print(
        f"\n{strategy}: error left along ω = {', '.join(f'{m * OMEGA:g}' for m in MODES)}; mean of {len(SEEDS)} seeds"
    )
    for step, row in zip(SHOWN, left, strict=True):
        print(f"  {step:6}: {', '.join(f'{value:.3f}' for value in row)}")
    assert left[3, 0] < left[3, -1] and left[3, 0] < left[0, 0]  # later all may be learned
