"""A small disk of its own for an installation: a tmpfs that a ballast file fills."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.faults.world import Impossible


@contextlib.contextmanager
def small_disk(folder: Path, *, mebibytes: int) -> Iterator[None]:
    """Mount a tmpfs of this size at ``folder`` meanwhile; raises Impossible where that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    size = ["-o", f"size={mebibytes}m"]
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", *size, "tmpfs", folder], capture_output=True, text=True)
    except FileNotFoundError:
        raise Impossible("there is no mount here, so no small disk can be had") from None
    if done.returncode:
        raise Impossible(f"a small disk cannot be mounted here ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def ballast(folder: Path, *, leave: int) -> Iterator[None]:
    """Fill the folder's disk but for ``leave`` bytes, and free it in the end."""
    file = folder / "ballast"
    try:
        with file.open("wb", buffering=0) as filling, contextlib.suppress(OSError):
            for piece in (2**16, 2**9):
                with contextlib.suppress(OSError):
                    while filling.write(bytes(piece)):
                        pass
            filling.truncate(max(0, filling.tell() - leave))
        yield
    finally:
        file.unlink()
