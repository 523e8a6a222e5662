"""Kernels: compiled once, kept, and never needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sciml_backend.kernels import build

ROOT = Path(__file__).resolve().parents[2]

LOSS = """
import torch
from sciml_backend import sweep
from sciml_backend.run import MapName
name = MapName("pinn", "reaction_diffusion", "lbfgs")
specs = sweep.plan(name, coefficients={"rho": [5]}, data=[100], dtype="float64")
objective = sweep.objective_of(specs)
loss, gradient = objective.value_and_gradient(sweep.initial_weights(specs))
print(objective.kernel.split("-")[0], repr(float(loss[0])), repr(float(gradient.norm())))
"""


def call(code: str, **env: str) -> list[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "env",
    [{"ATLAS_KERNELS": "off"}, {"CC": "/nonexistent/cc"}, {"CC": "false"}, {"PATH": "/nonexistent", "CC": ""}],
    ids=["turned off", "missing", "broken", "not on PATH"],
)
def test_without_a_compiler_the_numbers_are_the_same(env: dict[str, str], tmp_path: Path) -> None:
    kind, loss, slope = call(LOSS, ATLAS_CACHE=str(tmp_path), **env)
    _, expected_loss, expected_slope = call(LOSS)
    assert kind == "torch"
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-12)
    assert float(slope) == pytest.approx(float(expected_slope), rel=1e-9)


def test_a_read_only_cache_is_no_obstacle() -> None:
    kind, *_ = call(LOSS, ATLAS_CACHE="/proc/nowhere")
    assert kind == "torch"


@pytest.mark.skipif(build.library("taylor_mlp") is None, reason="no C compiler")
def test_a_kernel_is_compiled_once(tmp_path: Path) -> None:
    code = "from sciml_backend.kernels import build; build.library('taylor_mlp'); print(build.version('taylor_mlp'))"
    first = call(code, ATLAS_CACHE=str(tmp_path))
    (file,) = tmp_path.rglob("*.so")
    made = file.stat().st_mtime_ns
    assert call(code, ATLAS_CACHE=str(tmp_path)) == first
    assert file.stat().st_mtime_ns == made and first[0].startswith("c-")
