"""Darcy's two residuals at the sampled solution, and the mean ratios that advection-diffusion rests on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml_backend import catalog
from sciml_backend.solution_operator import PeriodicOperator
from sciml_backend.solvers import periodic_square


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path))


def module(name: str) -> Any:
    return sys.modules[catalog.entry("problems", name).cls.__module__]


def off(kind: str, r: float, *, n: int, grid: int, split: str = "train") -> np.ndarray:
    problem: Any = catalog.problem("darcy")
    u = torch.tensor(problem.samples(n, {"r": r}, grid=grid, split=split).targets)[:, 0]
    known = torch.tensor(problem.known(kind, n, {"r": r}, grid=grid, split=split))
    return module("darcy").RESIDUALS[kind](u, known).square().mean(dim=(1, 2)).sqrt().numpy()


@pytest.mark.parametrize(
    ("r", "wanted"),
    [
        (1.5, (0.43, 0.41)),
        (2, (0.74, 0.70)),
        (3, (1.21, 1.14)),
        (4, (1.57, 1.47)),
        (6, (2.16, 2.01)),
        (10, (3.14, 2.91)),
    ],
)
def test_the_published_residual_is_as_far_off_as_measured_on_the_original(r: float, wanted: tuple[float, ...]) -> None:
    found = off("published", r, n=2, grid=61)
    print(f"published residual at r = {r:g}: {found.round(3)}")
    assert found == pytest.approx(wanted, abs=6e-3)


@pytest.mark.parametrize("r", [1, 2, 3, 4, 6, 10])
@pytest.mark.parametrize(("grid", "n"), [(31, 12), (61, 3)])
def test_the_corrected_residual_holds_at_the_solution(r: float, grid: int, n: int) -> None:
    found = off("corrected", r, n=n, grid=grid, split="test")
    print(f"corrected residual at r = {r:g}, {grid} nodes a side: {found.min():.5f} to {found.max():.5f}")
    assert found.max() < 1e-2


@pytest.mark.parametrize("grid", [32, 128])
def test_the_mean_ratios_are_those_of_the_table(grid: int) -> None:
    """Measured anew, on samples from elsewhere, for each λ of the table."""
    problem = catalog.problem("advection_diffusion")
    assert isinstance(problem, PeriodicOperator)
    n = 16_384 if grid == 32 else 1024
    found = problem.samples(n, {"Psi": 1.0}, grid=grid, data_seed=7)
    mix = np.linalg.norm(found.numbers[:, 3:].astype(float), axis=1, keepdims=True)
    diffusion, direction = found.numbers[:, :3] / (1 - mix), found.numbers[:, 3:] / mix
    for one, wanted in module("advection_diffusion").MEAN_RATIO.items():
        ratios = []
        for start in range(0, n, 512):
            rows = slice(start, start + 512)
            given = {"diffusion": (1 - one) * diffusion[rows], "velocity": one * direction[rows]}
            u = periodic_square.solve(found.fields[rows, 0].astype(float), **given)
            diffused, advected = periodic_square.terms(u, **given)
            ratios.append(np.linalg.norm(advected, axis=(1, 2)) / np.linalg.norm(diffused, axis=(1, 2)))
        ratio = np.concatenate(ratios)
        error = ratio.std() / np.sqrt(n)
        print(f"λ = {one:.2f}: {ratio.mean():.4f} ± {error:.4f}, table {wanted:.4f}")
        assert abs(ratio.mean() - wanted) < 4 * error + 1e-3 * wanted
