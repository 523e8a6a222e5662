"""One dispatcher at a time: a file lock that the system releases with the process, and its name in ``meta``."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO

from jobs.control import ControlStore, now
from sciml_backend import paths
from sciml_backend.run import BadRequest

KEY = "owner"
PATIENCE = 0.25
"""Seconds for which the lock is tried."""


class Ownership:
    """The right to dispatch the jobs of a control store; held from construction until ``release``.

    Raises BadRequest, naming the process, when another one holds it.
    """

    def __init__(self, control: ControlStore) -> None:
        self._control = control
        paths.made(control.path.parent)
        self._file: IO[str] = open(_lock(control), "a")
        if not _locked(self._file):
            self._file.close()
            raise BadRequest(
                f"Jobs are dispatched already by process {owner_pid(control) or 'another'}; "
                "submit to it, or stop it first."
            )
        control.note(KEY, json.dumps({"pid": os.getpid(), "since": now()}))

    def release(self) -> None:
        """Let another process dispatch."""
        try:
            self._control.note(KEY, "")
        finally:
            self._file.close()


def owner_pid(control: ControlStore) -> int | None:
    """The process that dispatches now; None when there is none, whatever one that was killed has left behind."""
    if not _is_held(_lock(control)):
        return None
    pid: int | None = json.loads(control.noted(KEY) or "{}").get("pid")
    return pid


def _lock(control: ControlStore) -> Path:
    return control.path.with_name("dispatcher.lock")


def _locked(file: IO[str]) -> bool:
    """Take the lock; those who ask who has it are in the way for a moment only."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(PATIENCE / 50)


def _is_held(path: Path) -> bool:
    """Whether a dispatcher holds the lock: a shared one is refused then."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
