"""The engine of this machine: supervised child processes, one attempt each, and nothing else to start."""

from __future__ import annotations

import os
import time
from collections.abc import Collection

from jobs.child import GRACE_SECONDS, Child
from jobs.devices import Device, found, require_hours
from jobs.engine import DeviceState, Message, Need, OnProgress, Outcome
from jobs.logs import log_path
from sciml_backend.run import BadRequest

LOOK_SECONDS = 2.0


class LocalEngine:
    """Children of this process on its machine's devices, at most ``slots`` at a time on its cores.

    ``slots`` is ``ATLAS_WORKERS`` by default, else the cores but one. Children live no longer than the thread that
    submitted them. Raises BadRequest when ``ATLAS_WORKERS`` or ``ATLAS_GPU_HOURS`` is wrong.
    """

    outlives_us = False
    trouble = ""

    def __init__(self, *, slots: int | None = None) -> None:
        require_local()
        self.slots = slots or slots_allowed()
        self._children: dict[str, tuple[Child, Need]] = {}
        self._callback: OnProgress = lambda key, message: None
        self._found = found(cores=self.slots)
        self._looked_at = time.monotonic()

    def submit(self, key: str, task: str, *, job_id: str, need: Need) -> None:
        """Start a child that sees its own GPU only."""

        def tell(message: Message) -> None:
            self._callback(key, message)

        number = need.device.partition(":")[2]
        visible = {"CUDA_VISIBLE_DEVICES": number} if need.device.startswith("cuda:") else {}
        self._children[key] = Child(task, log=log_path(job_id), tell=tell, environment=visible), need

    def cancel(self, key: str) -> None:
        """Stop a child within GRACE_SECONDS."""
        if key in self._children:
            self._children[key][0].stop(grace=GRACE_SECONDS)

    def status(self, keys: Collection[str]) -> dict[str, Outcome | None]:
        """Outcomes by key, None for running children."""
        self._children = {k: c for k, c in self._children.items() if c[0].running or k in keys}
        return {key: self._children[key][0].outcome for key in keys if key in self._children}

    def on_progress(self, callback: OnProgress) -> None:
        """Name the receiver of the children's messages."""
        self._callback = callback

    def capacity(self, need: Need) -> str:
        """The fitting device with most room; a GPU that others use has none."""
        used = {device.name: self._used(device.name) for device in self._look()}
        fitting = [
            device
            for device in self._found
            if need.device in (device.name, device.name.partition(":")[0])
            and not device.refusal(used=used[device.name], share=need.share)
        ]
        return min(fitting, key=lambda device: used[device.name]).name if fitting else ""

    def devices(self) -> list[DeviceState]:
        """The devices of this machine."""
        return [
            DeviceState(
                name=device.name,
                label=device.label,
                slots=device.slots,
                used=(used := self._used(device.name)),
                memory=device.memory,
                memory_used=device.memory_used,
                blocked=device.refusal(used=used, share=0.0),
            )
            for device in self._look()
        ]

    def close(self, *, grace: float) -> None:
        """Stop all children and wait until they are gone."""
        for child, _ in self._children.values():
            child.stop(grace=grace)
        for child, _ in self._children.values():
            child.wait(timeout=grace + 5)

    def _used(self, name: str) -> float:
        return sum(need.share for child, need in self._children.values() if child.running and need.device == name)

    def _look(self) -> list[Device]:
        """The devices as they were LOOK_SECONDS ago at most."""
        if time.monotonic() > self._looked_at + LOOK_SECONDS:
            self._found, self._looked_at = found(cores=self.slots), time.monotonic()
        return self._found


def require_local() -> None:
    """Raise BadRequest when ``ATLAS_WORKERS`` or ``ATLAS_GPU_HOURS`` is wrong."""
    slots_allowed()
    require_hours()


def slots_allowed() -> int:
    """How many workers may run at once: ``ATLAS_WORKERS``, else cores less one. Raises BadRequest when it is none."""
    asked = os.environ.get("ATLAS_WORKERS")
    if not asked:
        return max(1, len(os.sched_getaffinity(0)) - 1)
    if not (asked.isdecimal() and int(asked) > 0):
        raise BadRequest(f"ATLAS_WORKERS is a whole number of workers, at least 1; got {asked!r}.")
    return int(asked)
