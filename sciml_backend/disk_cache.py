"""Arrays that took long to compute, kept on disk under a hash of what determines them, and the last ones in memory.

Files appear whole or not at all, so that processes that make the same one need not know of each other; a damaged one is
made anew. Beyond ``LIMIT`` bytes the files used longest ago go. Nothing rests on the cache: where it cannot be written,
arrays are computed each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sciml_backend import paths

Arrays = dict[str, NDArray[Any]]

LIMIT = 4 * 10**9
"""Bytes on disk."""
IN_MEMORY = 10**9
"""Bytes in memory, beside the arrays asked for last."""
DRAFT_AGE = 86_400
"""Seconds after which a draft that nobody finished is litter."""

_recent: OrderedDict[Path, Arrays] = OrderedDict()


def kept(identity: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
    """The arrays that ``make()`` gives, from memory or disk when they are there.

    ``identity`` is all that determines them, as JSON values. The arrays are shared: do not write into them.
    """
    path = paths.samples() / f"{_hash(identity)}.npz"
    found = _recent.pop(path, None) or _read(path)
    if found is None:
        found = make()
        with suppress(OSError):
            _write(path, found)
    _remember(path, found)
    return found


def forget() -> None:
    """Let go of what is in memory."""
    _recent.clear()


def _hash(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def _remember(path: Path, arrays: Arrays) -> None:
    _recent[path] = arrays
    while len(_recent) > 1 and sum(a.nbytes for held in _recent.values() for a in held.values()) > IN_MEMORY:
        _recent.popitem(last=False)


def _read(path: Path) -> Arrays | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as zipped:
            if zipped.zip.testzip():  # reading an array compares no checksum where its header tells of a shorter one
                return None
            found = {name: zipped[name] for name in zipped.files}
        os.utime(path)
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):
        return None
    return found


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{uuid4().hex}.tmp")
    try:
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _prune(path)


def _prune(newest: Path) -> None:
    """Remove the oldest files beyond the limit, but never the newest, and drafts of processes that are gone."""
    for draft in newest.parent.glob("*.tmp"):
        with suppress(OSError):
            if draft.stat().st_mtime < time.time() - DRAFT_AGE:
                draft.unlink()
    room = LIMIT - newest.stat().st_size
    others = [(part.stat(), part) for part in newest.parent.glob("*.npz") if part != newest]
    for status, part in sorted(others, key=lambda entry: -entry[0].st_mtime):
        room -= status.st_size
        if room < 0:
            with suppress(OSError):
                part.unlink()
