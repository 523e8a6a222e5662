"""The devices of this machine: its cores as one, and each GPU as nvidia-smi tells of it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sciml_backend.run import BadRequest

WHOLE = 1.0
SMALL = 0.25
"""The share of a GPU that a small job takes; a big one takes it whole."""

BUSY_MEMORY, BUSY_PERCENT = 0.1, 25
"""A GPU on which nothing of ours runs is somebody else's above this part of its memory or this utilisation."""

_QUERY = "index,name,memory.total,memory.used,utilization.gpu"


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device as found: ``slots`` are its cores, or 1 for a GPU; memory in bytes; ``percent`` its utilisation."""

    name: str
    label: str
    slots: float
    memory: int
    memory_used: int
    percent: int = 0

    def refusal(self, *, used: float, share: float, now: datetime | None = None) -> str:
        """Why an attempt that takes ``share`` cannot start now, in words; empty when it can.

        ``used`` is what attempts of ours take of the device.
        """
        if used + share > self.slots + 1e-9:
            return "in use"
        if not self.name.startswith("cuda"):
            return ""
        if not _hours_allow(now or datetime.now()):
            return f"GPUs are ours from {os.environ['ATLAS_GPU_HOURS']} o'clock only"
        if used == 0 and (self.memory_used > BUSY_MEMORY * self.memory or self.percent > BUSY_PERCENT):
            return f"others use it ({self.memory_used / 2**30:.0f} GiB, {self.percent} % busy)"
        if self.memory - self.memory_used < 0.9 * share * self.memory:
            return "its memory is taken"
        return ""


def found(*, cores: int) -> list[Device]:
    """The devices of this machine, with ``cores`` of its cores."""
    return [_cpu(cores), *_gpus()]


def require_hours() -> None:
    """Raise BadRequest when ``ATLAS_GPU_HOURS`` is no span of hours."""
    text = os.environ.get("ATLAS_GPU_HOURS", "")
    if text and _span(text) is None:
        raise BadRequest(f"ATLAS_GPU_HOURS is a span of hours like 20-7, got {text!r}.")


def _cpu(cores: int) -> Device:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    free = os.sysconf("SC_AVPHYS_PAGES") * size
    return Device(
        name="cpu", label=_processor(), slots=float(cores), memory=pages * size, memory_used=pages * size - free
    )


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1] if model else platform.machine()


def _gpus() -> list[Device]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        asked = [command, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
        lines = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
    gpus = []
    for line in lines:
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 5 and fields[0].isdecimal():
            total, used, percent = (int(text) if text.isdecimal() else 0 for text in fields[2:])
            gpus.append(
                Device(
                    name=f"cuda:{fields[0]}",
                    label=fields[1],
                    slots=WHOLE,
                    memory=total * 2**20,
                    memory_used=used * 2**20,
                    percent=percent,
                )
            )
    return gpus


def _hours_allow(now: datetime) -> bool:
    span = _span(os.environ.get("ATLAS_GPU_HOURS", ""))
    if span is None:
        return True
    start, stop = span
    return start <= now.hour < stop if start < stop else now.hour >= start or now.hour < stop


def _span(text: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"(\d{1,2})-(\d{1,2})", text)
    if match is None or not (int(match[1]) < 24 and int(match[2]) <= 24):
        return None
    return int(match[1]), int(match[2])
