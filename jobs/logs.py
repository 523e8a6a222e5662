"""Log files: one per job, what its workers wrote to standard error, all attempts in a row."""

from __future__ import annotations

from pathlib import Path

from sciml_backend import paths

TAIL_BYTES = 64 * 1024


def log_path(job_id: str) -> Path:
    """Where the job's log is."""
    return paths.var() / "logs" / f"{job_id}.log"


def tail(job_id: str, *, lines: int = 50) -> str:
    """The last lines of the job's log; empty when it has none yet."""
    try:
        with log_path(job_id).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
