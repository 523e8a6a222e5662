"""State and JobInfo: the vocabulary of the queue, and the table of allowed transitions."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Where a job is on its way; ``sentence`` is what a page shows."""

    QUEUED = "queued"
    SUBMITTED = "submitted"
    RUNNING = "running"
    INGESTING = "ingesting"
    RETRY_WAIT = "retry_wait"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    DEAD = "dead"

    @property
    def active(self) -> bool:
        """Whether the job still holds its cells."""
        return self not in (State.SUCCEEDED, State.CANCELLED, State.DEAD)

    @property
    def sentence(self) -> str:
        """The state in words."""
        return SENTENCES[self]


SENTENCES: Mapping[State, str] = {
    State.QUEUED: "Waiting for a free worker.",
    State.SUBMITTED: "Its worker is starting.",
    State.RUNNING: "Running.",
    State.INGESTING: "Computed; the results are being read into the store.",
    State.RETRY_WAIT: "Interrupted; it will be tried again.",
    State.CANCELLING: "Being stopped.",
    State.SUCCEEDED: "Every part is delivered.",
    State.CANCELLED: "Cancelled; the parts that were finished are kept.",
    State.DEAD: "Given up; see its error, then requeue it.",
}

ACTIVE = tuple(state for state in State if state.active)
ENDED = tuple(state for state in State if not state.active)
ON_A_WORKER = (State.SUBMITTED, State.RUNNING, State.CANCELLING)

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.SUBMITTED, State.CANCELLED}),
    State.SUBMITTED: frozenset({State.RUNNING, State.INGESTING, State.RETRY_WAIT, State.QUEUED, State.CANCELLING,
                                State.DEAD}),
    State.RUNNING: frozenset({State.INGESTING, State.RETRY_WAIT, State.QUEUED, State.CANCELLING, State.DEAD}),
    State.INGESTING: frozenset({State.SUCCEEDED, State.RETRY_WAIT, State.CANCELLED, State.DEAD}),
    State.RETRY_WAIT: frozenset({State.QUEUED, State.CANCELLED}),
    State.CANCELLING: frozenset({State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.CANCELLED: frozenset({State.QUEUED}),
    State.DEAD: frozenset({State.QUEUED}),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JobInfo:
    """One job as a page or the command line sees it.

    ``n_cells`` is how many cells it was given, ``n_done`` how many of them are finished; times are UTC in ISO 8601;
    ``spec`` is what was asked for besides the cells, ``progress`` the worker's last report, ``device`` where its last
    attempt runs, ``seconds`` what all attempts that ended spent there, ``not_before`` when it is tried again (Unix
    seconds).
    """

    job_id: str
    kind: str
    state: State
    attempt: int
    n_cells: int
    n_done: int
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    requested_by: str = ""
    priority: int = 0
    error_class: str | None = None
    error_text: str | None = None
    device: str = ""
    seconds: float = 0.0
    not_before: float | None = None
    spec: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spent(self) -> float:
        """Seconds on devices so far, those of the attempt that runs included."""
        if self.state is not State.RUNNING or self.started_at is None:
            return self.seconds
        since = time.time() - datetime.fromisoformat(self.started_at).timestamp()
        return self.seconds + max(since, 0.0)  # the clock may have been set back

    def to_json(self) -> dict[str, Any]:
        """A plain dict, as printed by the command line: all but the live curves, which are for drawing."""
        progress = {name: value for name, value in self.progress.items() if name != "curves"}
        return {**vars(self), "state": str(self.state), "spec": dict(self.spec), "progress": progress}


@dataclass(frozen=True)
class Usage:
    """What the jobs of one person took on one kind of device (cpu, cuda): jobs, finished runs, seconds."""

    requested_by: str
    device: str
    jobs: int
    runs: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """A plain dict, as printed by the command line."""
        return dict(vars(self))


_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_job_id() -> str:
    """A ULID: 26 letters that sort by time of creation (48 bits of milliseconds, 80 random bits)."""
    number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
