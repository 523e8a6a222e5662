"""The contract of a kind of job: a module of ``jobs.kinds`` with a function ``run``.

A job names its kind and carries JSON; no code travels. Operators add kinds as files in ``$ATLAS_PLUGINS/kinds``.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sciml_backend.run import BadRequest, RunSpec


@dataclass(frozen=True, kw_only=True)
class Task:
    """One attempt at a job: what its worker is told. ``parts`` are the cells, ``spec`` whatever else was asked.

    Memory ran out before when ``shrink`` is above 1: batches are to be this many times smaller than usual.
    """

    job_id: str
    attempt: int
    kind: str
    spec: Mapping[str, Any]
    parts: Mapping[int, list[RunSpec]]
    shrink: int = 1

    @property
    def cells(self) -> list[RunSpec]:
        """The cells of all parts."""
        return [cell for part in self.parts.values() for cell in part]

    def to_text(self) -> str:
        """JSON that ``from_text`` reads back."""
        parts = {part: [cell.to_json() for cell in cells] for part, cells in self.parts.items()}
        return json.dumps({**vars(self), "spec": dict(self.spec), "parts": parts})

    @classmethod
    def from_text(cls, text: str) -> Task:
        """Inverse of ``to_text``."""
        content = json.loads(text)
        parts = {int(part): [RunSpec.from_json(cell) for cell in cells] for part, cells in content.pop("parts").items()}
        return cls(**content, parts=parts)


Report = Callable[[Mapping[str, Any]], None]
"""Takes a worker's progress: ``done`` (finished cells of the job) and whatever else a page may show."""


class Kind(Protocol):
    """What a module of ``jobs.kinds`` offers."""

    def run(self, task: Task, *, report: Report, should_stop: Callable[[], bool]) -> None:
        """Do the task and deliver its parts to the spool; return early, keeping what is finished, when told to stop.

        Raises BadRequest when the task can never be done, OSError or MemoryError when another try may help.
        """


def require(kind: str) -> None:
    """Raise BadRequest when there is no such kind; imports nothing of it."""
    if not kind.isidentifier() or importlib.util.find_spec(f"jobs.kinds.{kind}") is None:
        raise BadRequest(f"There is no kind of job called {kind!r}.")


def load(kind: str) -> Kind:
    """The kind's module; raises BadRequest when there is none."""
    require(kind)
    module: Any = importlib.import_module(f"jobs.kinds.{kind}")
    return module  # type: ignore[no-any-return]
