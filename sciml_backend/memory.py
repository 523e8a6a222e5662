"""How much memory there is to use."""

from __future__ import annotations

import os
from pathlib import Path

import torch


def free(device: str | torch.device) -> int:
    """Bytes that can be had on a device: what the system calls available, within the container's own limit."""
    place = torch.device(device)
    if place.type == "cuda":
        kept = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)  # torch uses it again
        return int(torch.cuda.mem_get_info(place)[0]) + kept
    return min(_available(), _container())


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _container() -> int:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text().strip()
        return int(limit) - int((folder / "memory.current").read_text()) if limit != "max" else 1 << 62
    except (OSError, ValueError):
        return 1 << 62
