"""Batches: like with like, most data first, no larger than cache or memory allow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sciml_backend import grouping, sweep
from sciml_backend.engine import batches
from sciml_backend.family import FAMILIES
from sciml_backend.run import BadRequest, MapName

NAME = MapName("pinn", "convection", "lbfgs")


def test_a_batch_shares_everything_but_coefficients_and_seeds() -> None:
    runs = sweep.plan(NAME, coefficients={"beta": [5, 30]}, data=[100, 5000], seeds=[0, 1, 2])
    runs += sweep.plan(NAME, coefficients={"beta": [5]}, data=[100], seeds=[0], dtype="float64")
    made = list(batches.batches(runs))
    assert sorted(s.cell_id for b in made for s in b) == sorted(s.cell_id for s in runs)
    assert all(len({grouping.kind(s) for s in b}) == 1 for b in made)
    assert [b[0].data for b in made] == sorted((b[0].data for b in made), reverse=True)
    assert max(len(b) for b in made) <= FAMILIES["pinn"].rows
    assert {len(b) for b in made if b[0].data == 5000} == {3}


def test_a_gpu_takes_them_all_at_once() -> None:
    runs = sweep.plan(NAME, data=[25_000], seeds=[0, 1, 2, 3, 4])
    assert len(list(batches.batches(runs, device="cuda"))) == 1


def test_a_gpu_takes_operators_together_and_networks_for_images_one_by_one() -> None:
    for name, together in (("fno/poisson_2d/adam@coarse", 16), ("resnet/digits/sgd", 1)):
        runs = sweep.plan(MapName.parse(name), data=[128], seeds=[0, 1])
        assert max(len(b) for b in batches.batches(runs, device="cuda")) == together
        assert all(len(b) == 1 for b in batches.batches(runs))


def test_batches_shrink_to_what_memory_holds() -> None:
    runs = sweep.plan(NAME, coefficients={"beta": [5, 6, 7]}, data=[100], seeds=[0, 1, 2])
    assert [len(b) for b in batches.batches(runs, fits=lambda spec: 4)] == [4, 4, 1]
    assert batches.rows_that_fit(fixed=2**20, per_row=2**20, device="cpu") > 100


def test_a_run_that_does_not_fit_is_refused_before_it_runs() -> None:
    with pytest.raises(BadRequest, match=r"predicted to need 1024\.0 GiB"):
        batches.rows_that_fit(fixed=0, per_row=2**40, device="cpu")
    (huge,) = sweep.plan(
        NAME, coefficients={"beta": [5]}, data=[100], model={"width": 2048, "depth": 12}, settings={"history": 10_000}
    )
    with pytest.raises(BadRequest, match="a shorter history"):
        next(iter(sweep.train([huge])))


MEASURE = """
import re
from pathlib import Path
from sciml_backend import sweep
from sciml_backend.engine import batches
from sciml_backend.run import MapName

def status(field):
    return int(re.search(field + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

specs = sweep.plan(MapName("pinn", "convection", "lbfgs"), coefficients={"beta": [5]}, data=[400], seeds=range(8),
                   settings={"max_epochs": 7}, model={"width": 100})
said = {}
original = batches.rows_that_fit
batches.rows_that_fit = lambda **given: said.update(given) or original(**given)
sweep.objective_of(specs).value_and_gradient(sweep.initial_weights(specs))
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = status("VmRSS")
list(sweep.train(specs))
print(status("VmHWM") - before, said["fixed"] + 8 * said["per_row"])
"""


def test_the_prediction_covers_what_a_batch_takes() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=300, check=True)
    taken, predicted = map(int, done.stdout.split())
    assert 0.2 * predicted < taken < 1.2 * predicted
