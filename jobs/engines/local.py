"""The engine of this machine: supervised child processes, one attempt each, and nothing else to start."""

from __future__ import annotations

import os
from collections.abc import Collection

from jobs.child import GRACE_SECONDS, Child
from jobs.engine import Message, OnProgress, Outcome
from jobs.logs import log_path
from sciml_backend.run import BadRequest


class LocalEngine:
    """Children of this process, at most ``slots`` at a time (default ``ATLAS_WORKERS``, else the cores but one).

    Its children live no longer than the thread that submitted them. Raises BadRequest when ``ATLAS_WORKERS`` is no
    number of workers.
    """

    outlives_us = False
    trouble = ""

    def __init__(self, *, slots: int | None = None) -> None:
        self.slots = slots or slots_allowed()
        self._children: dict[str, Child] = {}
        self._callback: OnProgress = lambda key, message: None

    def submit(self, key: str, task: str, *, job_id: str) -> None:
        """Start a child."""

        def tell(message: Message) -> None:
            self._callback(key, message)

        self._children[key] = Child(task, log=log_path(job_id), tell=tell)

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
