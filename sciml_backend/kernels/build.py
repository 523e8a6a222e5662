"""Compile the C files of this folder with the machine's compiler and load them through ctypes."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

FLAGS = ("-O3", "-march=native", "-std=gnu11", "-shared", "-fPIC", "-fno-math-errno", "-ffp-contract=fast")
# No -ffast-math: it would let the compiler reorder sums, and with them the last bits of every run.
UNFUSED = ("adam",)
"""Kernels that round every product and sum by itself, as torch does; the others fuse them."""


def _compiler() -> str | None:
    if os.environ.get("ATLAS_KERNELS", "").lower() in ("0", "off", "none"):
        return None
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def _cpu() -> str:
    """What -march=native depends on: a library built on one processor may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def cache_folder() -> Path:
    """Where compiled kernels are kept: ``ATLAS_CACHE``, else the user's cache folder."""
    root = os.environ.get("ATLAS_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "regime-atlas" / "kernels"


def _sources(name: str) -> list[Path]:
    """The C file of a kernel, and the others that it includes."""
    own = Path(__file__).with_name(f"{name}.c")
    included = re.findall(r'^#include "(.+)"$', own.read_text(), re.MULTILINE)
    return [own, *(own.with_name(file) for file in dict.fromkeys(included) if file != own.name)]


def _flags(name: str) -> tuple[str, ...]:
    return (*FLAGS, "-ffp-contract=off") if name in UNFUSED else FLAGS  # the last one counts


@functools.cache
def _fingerprint(name: str, compiler: str) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False, timeout=30).stdout
    source = b"\0".join(path.read_bytes() for path in _sources(name))
    flags = " ".join(_flags(name)).encode()
    return hashlib.sha256(b"\0".join([source, version, flags, _cpu().encode()])).hexdigest()[:16]


@functools.cache
def library(name: str) -> ctypes.CDLL | None:
    """The compiled ``<name>.c``, or None where no compiler works; ``ATLAS_KERNELS=off`` turns kernels off."""
    compiler = _compiler()
    if compiler is None:
        return None
    try:
        folder = cache_folder()
        target = folder / f"{name}-{_fingerprint(name, compiler)}.so"
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _compile(compiler, name, target)
        return ctypes.CDLL(str(target))
    except (OSError, subprocess.SubprocessError):
        return None


def _compile(compiler: str, name: str, target: Path) -> None:
    source = Path(__file__).with_name(f"{name}.c")
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        built = Path(scratch) / target.name
        command = [compiler, *_flags(name), str(source), "-o", str(built), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        built.replace(target)  # atomic: two processes that start together never load half a file


def version(name: str) -> str:
    """What a run's record says of the arithmetic: ``c-<fingerprint>`` or ``torch``."""
    compiler = _compiler()
    if compiler is None or library(name) is None:
        return "torch"
    return f"c-{_fingerprint(name, compiler)}"
