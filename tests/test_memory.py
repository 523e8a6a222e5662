"""What the C library keeps of freed memory, in a process of its own: it is told once for all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sciml_backend.memory import _of_glibc

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


def measured(how: str) -> tuple[float, float]:
    """Page faults of a step, and MiB that are given back when free memory is counted."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, how], capture_output=True, text=True, cwd=ROOT, check=True, timeout=120
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
