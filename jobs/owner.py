"""One dispatcher at a time: a file lock that the system releases with the process, and its name in ``meta``."""

from __future__ import annotations

import fcntl
import json
import os
from typing import IO

from jobs.control import ControlStore, now
from sciml_backend.run import BadRequest

KEY = "owner"


class Ownership:
    """The right to dispatch the jobs of a control store; held from construction until ``release``.

    Raises BadRequest, naming the process, when another one holds it.
    """

    def __init__(self, control: ControlStore) -> None:
        self._control = control
        control.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = open(control.path.with_name("dispatcher.lock"), "w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise BadRequest(
                f"Jobs are dispatched already by process {owner_pid(control) or 'another'}; "
                "submit to it, or stop it first."
            ) from None
        control.note(KEY, json.dumps({"pid": os.getpid(), "since": now()}))

    def release(self) -> None:
        """Let another process dispatch."""
        self._control.note(KEY, "")
        self._file.close()


def owner_pid(control: ControlStore) -> int | None:
    """The process that dispatches now; None when there is none."""
    pid = json.loads(control.noted(KEY) or "{}").get("pid")
    return pid if pid and _alive(pid) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
