"""A worker process under supervision: started, listened to, stopped, and judged by how it ended.

It is stopped by SIGTERM to its process group and, after a grace, SIGKILL; whatever it started dies with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from jobs.engine import BEAT, Message, Outcome
from sciml_backend import paths

GRACE_SECONDS = 1.0
"""How long a cancelled child may take to keep what is finished."""


class Child:
    """A worker process of one attempt, and the thread that listens to it.

    ``tell`` is called with every message, from that thread; ``environment`` is added to ours. The child dies with the
    thread that made it. Raises OSError when no process can be started.
    """

    def __init__(
        self, task: str, *, log: Path, tell: Callable[[Message], None], environment: Mapping[str, str] | None = None
    ) -> None:
        self.outcome: Outcome | None = None
        self._tell = tell
        self._last: Message = {}
        self._stopping = False
        self._reaping = threading.Lock()
        self._process = _start(task, log, environment or {})
        self.pid = self._process.pid
        self._listener = threading.Thread(target=self._listen, name=f"worker-{self._process.pid}", daemon=True)
        self._listener.start()

    @property
    def running(self) -> bool:
        """Whether the attempt has not ended."""
        return self.outcome is None

    def stop(self, *, grace: float) -> None:
        """Ask it to keep what is finished and end; kill it after ``grace`` seconds."""
        if self.running and not self._stopping:
            self._stopping = True
            self._signal(signal.SIGTERM)
            killer = threading.Timer(grace, self._signal, [signal.SIGKILL])
            killer.daemon = True
            killer.start()

    def wait(self, *, timeout: float) -> None:
        """Wait until it has ended, at most ``timeout`` seconds."""
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
                    message = json.loads(line)
                except ValueError:
                    continue
                if message.get("event") != BEAT:
                    self._last = message
                self._tell(message)
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
            return Outcome(ok=False, error_class="Stopped", error_text="It was stopped.", retry=True)
        if event == "error":
            said = {name: self._last[name] for name in ("error_class", "error_text", "retry", "out_of_memory")}
            return Outcome(ok=False, **said)
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory, perhaps)" if name == "SIGKILL" else ""
            text = f"Its worker was killed by {name}{hint}."
            return Outcome(ok=False, error_class=name, error_text=text, retry=True)
        return Outcome(ok=False, error_class="Exit", error_text=f"Its worker ended with code {code}.", retry=True)


def _start(task: str, log: Path, more: Mapping[str, str]) -> subprocess.Popen[str]:
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
            env={**_environment(), **more},
            start_new_session=True,
        )


def _headline(log: IO[str]) -> None:
    log.write(f"--- {datetime.now(UTC).isoformat(timespec='seconds')} worker started\n")
    log.flush()


def _environment() -> dict[str, str]:
    """The environment of a worker: ours, with this code first on the path and one thread for each numerical library."""
    path = os.pathsep.join(filter(None, [str(paths.ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
