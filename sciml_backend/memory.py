"""How much memory there is, and how much of it anything may be predicted to take."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from sciml_backend.run import NoMemory

SHARE = 0.5
"""The part of free memory that anything may be predicted to take."""


def room(device: str | torch.device) -> int:
    """Bytes that may be taken on a device."""
    return int(free(device) * SHARE)


def require(needed: int, device: str | torch.device, what: str, instead: str) -> None:
    """Raise NoMemory, saying ``what`` needs so many bytes and what to do ``instead``, where there is no room."""
    there = free(device)
    if needed > there * SHARE:
        raise NoMemory(
            f"{what} needs {needed / 2**30:.1f} GiB, more than half of the {there / 2**30:.1f} GiB that are free; "
            f"{instead}."
        )


KEPT = {-1: 2**31 - 1, -3: 2**25}
"""What glibc is told: to keep freed memory at the end of the heap, M_TRIM_THRESHOLD, and to take blocks of up to 32 MiB
from the heap, M_MMAP_THRESHOLD. Both are the largest it accepts."""


def keep_freed() -> None:
    """Keep freed memory for the next step: to give it back and fault it in anew costs more than a step on vectors of P.

    Only glibc is told; ``free`` gives back what is kept before it counts.
    """
    if mallopt := _of_glibc("mallopt"):
        for option, value in KEPT.items():
            mallopt(option, value)


@cache
def _of_glibc(name: str) -> Callable[..., int] | None:
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return found


def free(device: str | torch.device) -> int:
    """Bytes that can be had on a device: what the system calls available, within the container's own limit."""
    place = torch.device(device)
    if place.type == "cuda":
        kept = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)  # torch uses it again
        return int(torch.cuda.mem_get_info(place)[0]) + kept
    if give_back := _of_glibc("malloc_trim"):
        give_back(0)
    return min(_available(), _container())


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _container(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """What the container's limit leaves; files that were read and may be dropped from memory do not count as taken."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        taken = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        current = int((folder / "memory.current").read_text()) - int(taken.get("inactive_file", 0))
        return int(limit) - current if limit != "max" else 1 << 62
    except (OSError, ValueError):
        return 1 << 62
