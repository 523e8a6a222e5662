"""The worker: a child process that does one attempt at a job and dies with its parent.

It reads a ``Task`` from standard input and writes JSON lines to standard output: ``{"event": "started" | "progress" |
"beat" | "end" | "error", ...}``. Whatever libraries print goes to the log.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobs import kind
from jobs.engine import BEAT
from sciml_backend.run import BadRequest, NoMemory, NoSpace

PR_SET_PDEATHSIG = 1
OUT_OF_MEMORY_FIRST = 500
BEAT_SECONDS = 2.0
STOPPED = 128 + signal.SIGTERM


def main() -> int:
    """Do the task of standard input; the exit code is 0 when every part was written."""
    die_with(int(sys.argv[1]))
    tell = _private_stdout()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    tell({"event": "started", "pid": os.getpid()})
    threading.Thread(target=_beat, args=(tell,), daemon=True).start()
    try:
        task = kind.Task.from_text(sys.stdin.read())
        kind.load(task.kind).run(
            task,
            report=lambda progress: tell({"event": "progress", "pid": os.getpid(), **progress}),
            should_stop=stop.is_set,
        )
    except Exception as error:
        tell({"event": "error", **describe(error)})  # first: the disk of the log may be full
        if not isinstance(error, BadRequest):
            traceback.print_exc()
        return 1
    if stop.is_set():
        return STOPPED
    tell({"event": "end"})
    return 0


def _beat(tell: Callable[[Mapping[str, Any]], None]) -> None:
    """Say again and again that we live: a worker that is silent for a lease is given up."""
    while True:
        time.sleep(BEAT_SECONDS)
        tell({"event": BEAT})


def die_with(parent: int) -> None:
    """Be killed when the parent (its thread that started us) ends, and before it when memory runs out."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(str(OUT_OF_MEMORY_FIRST))
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def describe(error: Exception) -> Mapping[str, Any]:
    """An error as a message: one sentence, whether another try may help, and whether it needs a smaller batch."""
    text, name = str(error).strip().split("\n")[0], type(error).__name__
    if isinstance(error, BadRequest):
        retry = isinstance(error, NoSpace | NoMemory)
        return {"error_class": name, "error_text": text, "retry": retry, "out_of_memory": False}
    out_of_memory = isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
    retry = out_of_memory or isinstance(error, OSError) or "CUDA error" in text
    sentence = f"{name}: {text or 'it said nothing'}; the log has the details."
    return {"error_class": name, "error_text": sentence, "retry": retry, "out_of_memory": out_of_memory}


def _private_stdout() -> Callable[[Mapping[str, Any]], None]:
    """A function that writes JSON lines to what was standard output; prints go to standard error from now on."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    lock = threading.Lock()

    def tell(message: Mapping[str, Any]) -> None:
        with lock:
            lines.write(json.dumps(message) + "\n")

    return tell


if __name__ == "__main__":
    sys.exit(main())
