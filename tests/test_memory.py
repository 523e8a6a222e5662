"""What the C library keeps of freed memory, in a process of its own: it is told once for all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sciml_backend.memory import _container, _of_glibc

ROOT = Path(__file__).resolve().parents[1]
CODE = """
import resource, sys
import torch
from sciml_backend import memory

MIB = 2**18  # numbers of four bytes

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

def step():
    parts = [torch.zeros(10 * MIB) for _ in range(4)]

if sys.argv[1] == "kept":
    memory.keep_freed()
[step() for _ in range(5)]
before = faults()
[step() for _ in range(10)]
after = faults()
held = resident()
memory.free("cpu")
print((after - before) / 10, held - resident())
"""


FIXED = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""What glibc starts from: left alone it learns from what is freed, so what it keeps depends on what came before."""


def measured(how: str) -> tuple[float, float]:
    """Page faults of a step, and MiB that are given back when free memory is counted."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, how],
        env=os.environ | FIXED,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    faults, freed = map(float, done.stdout.split())
    return faults, freed


@pytest.mark.skipif(_of_glibc("mallopt") is None, reason="not glibc")
def test_freed_memory_serves_the_next_step_and_counts_as_free() -> None:
    """A step on four vectors of 10 MiB faults all of their 10,240 pages in anew, unless they are kept."""
    faults, freed = measured("kept")
    usual, _ = measured("as usual")
    assert faults < 100 < 1_000 < usual
    assert freed > 30


def test_files_that_were_read_do_not_count_against_a_container_s_limit(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 150\nfile 750\ninactive_file 700\nactive_file 50\n")
    assert _container(tmp_path) == 800
    (tmp_path / "memory.max").write_text("max\n")
    assert _container(tmp_path) > 2**60 and _container(tmp_path / "nowhere") > 2**60
