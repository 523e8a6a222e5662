"""What a record says of the place where its numbers were made; no host names, no paths."""

from __future__ import annotations

import hashlib
import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from sciml_backend import __version__, memory
from sciml_backend.kernels import build
from sciml_backend.run import BadRequest


def versions() -> str:
    """Versions of the code and of what computes, as one line."""
    code = f"{__version__}+{_sources()}"
    found = {"regime-atlas": code, "python": platform.python_version(), "torch": torch.__version__}
    try:
        found["numpy"] = version("numpy")
    except PackageNotFoundError:  # pragma: no cover - numpy is always there
        pass
    return " ".join(f"{name} {number}" for name, number in found.items())


@cache
def _sources() -> str:
    """A hash of this package's code: which code made a run, whatever its version says."""
    package = Path(__file__).resolve().parents[1]
    content = hashlib.sha256()
    for path in sorted(p for p in package.rglob("*") if p.suffix in (".py", ".c")):
        content.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:8]


def kernels(objective: str) -> str:
    """Which arithmetic made a run: the objective's, and that of vectors and histories (``two_loop``)."""
    return f"{objective} {build.version('two_loop')}"


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def device_label(device: str) -> str:
    """``cpu`` with its architecture, or the GPU's name."""
    if device.startswith("cuda"):
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({platform.machine()})"


def prepare(device: str, *, threads: int) -> torch.device:
    """Set threads and memory, turn TF32 off, and give the device back; raises BadRequest when it is not there."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadRequest(f"There is no GPU that torch can use here, and {device!r} was asked for; use --device cpu.")
    if threads < 1:
        raise BadRequest(f"threads is at least 1, got {threads}.")
    try:
        place = torch.device(device)
    except RuntimeError:
        raise BadRequest(f"A device is cpu, cuda or cuda:N, got {device!r}.") from None
    if place.type not in ("cpu", "cuda"):
        raise BadRequest(f"A device is cpu, cuda or cuda:N, got {device!r}.")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise BadRequest(f"There are {torch.cuda.device_count()} GPUs here, and {device!r} was asked for.")
    torch.set_num_threads(threads)
    memory.keep_freed()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return place
