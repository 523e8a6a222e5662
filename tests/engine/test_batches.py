"""Batches: like with like, most data first, no larger than cache or memory allow."""

from __future__ import annotations

import pytest

from sciml_backend import sweep
from sciml_backend.engine import batches
from sciml_backend.run import BadRequest, MapName

NAME = MapName("pinn", "convection", "lbfgs")


def test_a_batch_shares_everything_but_coefficients_and_seeds() -> None:
    runs = sweep.plan(NAME, coefficients={"beta": [5, 30]}, data=[100, 5000], seeds=[0, 1, 2])
    runs += sweep.plan(NAME, coefficients={"beta": [5]}, data=[100], seeds=[0], dtype="float64")
    made = list(batches.batches(runs))
    assert sorted(s.cell_id for b in made for s in b) == sorted(s.cell_id for s in runs)
    assert all(len({batches.kind(s) for s in b}) == 1 for b in made)
    assert [b[0].data for b in made] == sorted((b[0].data for b in made), reverse=True)
    assert max(len(b) for b in made) <= batches.CPU_ROWS
    assert {len(b) for b in made if b[0].data == 5000} == {3}


def test_a_gpu_takes_them_all_at_once() -> None:
    runs = sweep.plan(NAME, data=[25_000], seeds=[0, 1, 2, 3, 4])
    assert len(list(batches.batches(runs, device="cuda"))) == 1


def test_a_batch_that_would_not_fit_is_refused_before_it_runs() -> None:
    with pytest.raises(BadRequest, match="predicted to need 1024.0 GiB"):
        batches.require_memory(2**40, device="cpu")
    batches.require_memory(2**20, device="cpu")
