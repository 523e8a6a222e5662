"""The engine's five verbs, and the engine of this machine: supervised child processes, one job each.

A child is stopped by SIGTERM to its process group and, after a grace, SIGKILL; whatever it started dies with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol

from jobs.logs import log_path
from sciml_backend import paths
from sciml_backend.run import BadRequest

GRACE_SECONDS = 1.0
"""How long a cancelled child may take to keep what is finished."""

Message = Mapping[str, Any]
OnProgress = Callable[[str, Message], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended; ``retry`` says whether another one may end better."""

    ok: bool
    stopped: bool = False
    error_class: str = ""
    error_text: str = ""
    retry: bool = False


LOST = Outcome(ok=False, error_class="WorkerLost", error_text="Its worker is gone.", retry=True)


class Engine(Protocol):
    """Runs attempts of jobs by key; called by the dispatcher only."""

    def submit(self, key: str, task: str, *, job_id: str) -> None:
        """Start an attempt; ``task`` is a ``Task`` as text. Raises OSError when nothing could be started."""

    def cancel(self, key: str) -> None:
        """Ask an attempt to stop; it has ended within about a second. Unknown and ended keys are fine."""

    def status(self, keys: Collection[str]) -> dict[str, Outcome | None]:
        """How attempts ended, None while they run; unknown keys are left out, ended ones not asked for forgotten."""

    def on_progress(self, callback: OnProgress) -> None:
        """Have ``callback(key, message)`` called, from any thread, with every message of a worker."""

    def capacity(self) -> int:
        """How many more attempts may start now."""


class LocalEngine:
    """Children of this process, at most ``slots`` at a time (default ``ATLAS_WORKERS``, else the cores but one).

    Its children live no longer than the thread that submitted them. Raises BadRequest when ``ATLAS_WORKERS`` is no
    number of workers.
    """

    def __init__(self, *, slots: int | None = None) -> None:
        self.slots = slots or slots_allowed()
        self._children: dict[str, _Child] = {}
        self._callback: OnProgress = lambda key, message: None

    def submit(self, key: str, task: str, *, job_id: str) -> None:
        """Start a child."""
        self._children[key] = _Child(task, log=log_path(job_id), tell=lambda message: self._callback(key, message))

    def cancel(self, key: str) -> None:
        """Stop a child within GRACE_SECONDS."""
        if child := self._children.get(key):
            child.stop(grace=GRACE_SECONDS)

    def status(self, keys: Collection[str]) -> dict[str, Outcome | None]:
        """Outcomes by key, None for running children."""
        self._children = {k: c for k, c in self._children.items() if c.running or k in keys}
        return {key: self._children[key].outcome for key in keys if key in self._children}

    def on_progress(self, callback: OnProgress) -> None:
        """Name the receiver of the children's messages."""
        self._callback = callback

    def capacity(self) -> int:
        """Free slots."""
        return max(0, self.slots - sum(child.running for child in self._children.values()))

    def close(self, *, grace: float) -> None:
        """Stop all children and wait until they are gone."""
        for child in self._children.values():
            child.stop(grace=grace)
        for child in self._children.values():
            child.wait(timeout=grace + 5)


def slots_allowed() -> int:
    """How many workers may run at once: ``ATLAS_WORKERS``, else cores less one. Raises BadRequest when it is none."""
    asked = os.environ.get("ATLAS_WORKERS")
    if not asked:
        return max(1, len(os.sched_getaffinity(0)) - 1)
    if not (asked.isdecimal() and int(asked) > 0):
        raise BadRequest(f"ATLAS_WORKERS is a whole number of workers, at least 1; got {asked!r}.")
    return int(asked)


class _Child:
    """A worker process and the thread that listens to it."""

    def __init__(self, task: str, *, log: Path, tell: Callable[[Message], None]) -> None:
        self.outcome: Outcome | None = None
        self._tell = tell
        self._last: Message = {}
        self._stopping = False
        self._reaping = threading.Lock()
        self._process = _start(task, log)
        self._listener = threading.Thread(target=self._listen, name=f"worker-{self._process.pid}", daemon=True)
        self._listener.start()

    @property
    def running(self) -> bool:
        return self.outcome is None

    def stop(self, *, grace: float) -> None:
        if self.running and not self._stopping:
            self._stopping = True
            self._signal(signal.SIGTERM)
            killer = threading.Timer(grace, self._signal, [signal.SIGKILL])
            killer.daemon = True
            killer.start()

    def wait(self, *, timeout: float) -> None:
        self._listener.join(timeout)

    def _signal(self, number: signal.Signals) -> None:
        with self._reaping:  # once reaped, the number may belong to another process
            if self._process.returncode is None:
                try:
                    os.killpg(self._process.pid, number)
                except ProcessLookupError:
                    pass

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                try:
                    self._last = json.loads(line)
                    self._tell(self._last)
                except ValueError:
                    continue
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self._signal(signal.SIGKILL)  # what the worker started must not outlive it
        with self._reaping:
            code = self._process.wait()
        self.outcome = self._judge(code)

    def _judge(self, code: int) -> Outcome:
        event = self._last.get("event")
        if code == 0 and event == "end":
            return Outcome(ok=True)
        if self._stopping:
            return Outcome(ok=False, stopped=True, error_class="Stopped", error_text="It was stopped.", retry=True)
        if event == "error":
            return Outcome(
                ok=False, error_class=self._last["class"], error_text=self._last["text"], retry=self._last["retry"]
            )
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory, perhaps)" if name == "SIGKILL" else ""
            return Outcome(ok=False, error_class=name, error_text=f"Its worker was killed by {name}{hint}.", retry=True)
        return Outcome(ok=False, error_class="Exit", error_text=f"Its worker ended with code {code}.", retry=True)


def _start(task: str, log: Path) -> subprocess.Popen[str]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile("w+") as stdin, log.open("a") as stderr:
        stdin.write(task)
        stdin.seek(0)
        _headline(stderr)
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.worker", str(os.getpid())],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=_environment(),
            start_new_session=True,
        )


def _headline(log: IO[str]) -> None:
    log.write(f"--- {datetime.now(UTC).isoformat(timespec='seconds')} worker started\n")
    log.flush()


def _environment() -> dict[str, str]:
    """The environment of a worker: ours, with this code first on the path and one thread for each numerical library."""
    path = os.pathsep.join(filter(None, [str(paths.ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
