"""The contract of an engine, five verbs that run attempts of jobs on its devices; the catalogue is ``jobs.engines``."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Message = Mapping[str, Any]
OnProgress = Callable[[str, Message], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended; ``retry`` says whether another one may end better.

    ``out_of_memory`` says that it may with a smaller batch.
    """

    ok: bool
    error_class: str = ""
    error_text: str = ""
    retry: bool = False
    out_of_memory: bool = False


BEAT = "beat"
"""The event of a message that only says that its worker lives."""

LOST = Outcome(ok=False, error_class="WorkerLost", error_text="Its worker is gone.", retry=True)


@dataclass(frozen=True, kw_only=True)
class Need:
    """What an attempt needs: ``device`` is cpu, cuda or cuda:N; ``share`` cores of a CPU, or the part of a GPU."""

    device: str = "cpu"
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class DeviceState:
    """A device as a page shows it: ``slots`` cores or 1 for a GPU, ``used`` of them by us; memory in bytes.

    ``blocked`` says why nothing starts there now; empty when something may.
    """

    name: str
    label: str
    slots: float
    used: float
    memory: int = 0
    memory_used: int = 0
    blocked: str = ""


class Engine(Protocol):
    """Runs attempts of jobs by key; called by the dispatcher only, from one thread."""

    outlives_us: bool
    """Whether attempts go on when this process ends, so that the next one takes them over by submitting them again."""

    trouble: str
    """Why no attempt can start at present, as one sentence; empty when nothing is in the way."""

    def submit(self, key: str, task: str, *, job_id: str, need: Need) -> None:
        """Start an attempt, or take over the one that runs under this key; ``task`` is a ``Task`` as text.

        ``need.device`` is what ``capacity`` named. Raises OSError when nothing could be started.
        """

    def cancel(self, key: str) -> None:
        """Ask an attempt to stop; it has ended within two seconds. Unknown and ended keys are fine."""

    def status(self, keys: Collection[str]) -> dict[str, Outcome | None]:
        """How attempts ended, None while they run; unknown keys are left out, ended ones not asked for forgotten."""

    def on_progress(self, callback: OnProgress) -> None:
        """Have ``callback(key, message)`` called, from any thread, with every message of a worker."""

    def capacity(self, need: Need) -> str:
        """The device on which such an attempt may start now (cpu, cuda or cuda:N); empty when it must wait."""

    def devices(self) -> list[DeviceState]:
        """Every device with what is taken of it."""

    def close(self, *, grace: float) -> None:
        """Let go of everything; attempts that do not outlive us are stopped within ``grace`` seconds."""


def require_settings() -> None:
    """Raise BadRequest when a setting of the engine is wrong; starts and reaches nothing."""
    if address := os.environ.get("ENGINE_ADDRESS"):
        from jobs.engines.cluster import require_address

        require_address(address)
    else:
        from jobs.engines.local import require_local

        require_local()


def open_engine() -> Engine:
    """The engine at ``ENGINE_ADDRESS``, or else this machine's own; raises BadRequest when a setting is wrong."""
    if address := os.environ.get("ENGINE_ADDRESS"):
        from jobs.engines.cluster import ClusterEngine

        return ClusterEngine(address)
    from jobs.engines.local import LocalEngine

    return LocalEngine()
