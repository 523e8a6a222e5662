"""Slow science: the cells the published picture rests on, judged by five seeds, never by one.

Minutes on one core. The float64 counts are reported, not asserted: nobody published them.
"""

from __future__ import annotations

import pytest

from sciml_backend import sweep
from sciml_backend.run import MapName, RunRecord

NAME = MapName("pinn", "convection", "lbfgs")
SEEDS = range(5)


def trained(beta: float, data: int, dtype: str) -> list[RunRecord]:
    specs = sweep.plan(NAME, coefficients={"beta": [beta]}, data=[data], seeds=SEEDS, dtype=dtype)
    return [record for records in sweep.train(specs) for record in records]


def well_trained(r: RunRecord) -> bool:
    return (r.train_loss or 1) <= 5e-5 and (r.test_error or 9) <= 0.02


def over_trained(r: RunRecord) -> bool:
    return (r.train_loss or 1) <= 1e-3 and (r.test_error or 0) >= 1


def under_trained(r: RunRecord) -> bool:
    return (r.train_loss or 0) >= 4e-3


def report(records: list[RunRecord]) -> str:
    return ", ".join(f"{r.train_loss:.2e}/{r.test_error:.3f} ({r.iterations})" for r in records)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_easy_cell_is_well_trained_in_every_seed(dtype: str) -> None:
    records = trained(5.0, 100, dtype)
    print(f"\n{dtype} beta=5 N_f=100, train/test (iterations): {report(records)}")
    assert dtype == "float64" or all(well_trained(r) for r in records)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_too_few_points_are_over_trained_in_every_seed(dtype: str) -> None:
    records = trained(50.0, 500, dtype)
    print(f"\n{dtype} beta=50 N_f=500, train/test (iterations): {report(records)}")
    assert dtype == "float64" or all(over_trained(r) for r in records)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_hard_cell_is_under_trained_in_most_seeds(dtype: str) -> None:
    records = trained(30.0, 5000, dtype)
    print(f"\n{dtype} beta=30 N_f=5000, train/test (iterations): {report(records)}")
    mean = sum(r.train_loss or 0 for r in records) / len(records)
    assert dtype == "float64" or (sum(map(under_trained, records)) >= 3 and mean >= 5e-3)
