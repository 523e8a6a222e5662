"""The queue: what pages and the command line call. Needs neither torch nor a database server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence

from jobs import logs
from jobs.control import ControlStore
from jobs.devices import SMALL, WHOLE, found
from jobs.engine import DeviceState
from jobs.job import ENDED, JobInfo, State, Usage
from jobs.owner import owner_pid
from sciml_backend import paths
from sciml_backend.run import BadRequest, RunSpec, Setting

__all__ = ["JobInfo", "State", "Usage"]

AT_WORK = (State.RUNNING, State.CANCELLING, State.INGESTING, State.SUBMITTED)

PRIORITY = 100
"""A job's priority lies between this and its negative."""
SMALL_JOB = 64
"""Runs up to which a training takes a share of a GPU only."""


def submit_training(
    specs: Sequence[RunSpec], *, device: str | None = None, requested_by: str = "", priority: int = 0
) -> JobInfo:
    """Queue the training of these cells, less those that are queued or running already.

    ``device`` is cpu, cuda or cuda:N (default ``ATLAS_DEVICE``, else cpu); higher ``priority`` goes first. Raises
    BadRequest when no cell is left, or when there is no such device or priority.
    """
    where = _device(device)
    _require_priority(priority)
    spec = {"maps": sorted({str(cell.map) for cell in specs}), "device": where}
    share = 0.0 if where == "cpu" else WHOLE if len(specs) > SMALL_JOB else SMALL
    return _control().submit(
        "train", specs, spec=spec, claim=True, requested_by=requested_by, priority=priority, gpu=share
    )


def submit_diagnostic(
    spec: RunSpec,
    kind: str,
    *,
    settings: Mapping[str, Setting] | None = None,
    device: str | None = None,
    requested_by: str = "",
    priority: int = 0,
) -> JobInfo:
    """Queue a diagnostic of one trained cell.

    Raises BadRequest when the same one is queued or running, or when there is no such device or priority.
    """
    where = _device(device)
    _require_priority(priority)
    asked = {"maps": [str(spec.map)], "device": where, "diagnostic": kind, "settings": dict(settings or {})}
    share = 0.0 if where == "cpu" else SMALL
    return _control().submit(
        "diagnose", [spec], spec=asked, claim=False, requested_by=requested_by, priority=priority, gpu=share
    )


def jobs(*, limit: int = 100) -> list[JobInfo]:
    """Active jobs first, then the newest."""
    return _control().jobs(limit=limit)


def running() -> list[JobInfo]:
    """Jobs that workers or the store are busy with."""
    return _control().in_service_order(AT_WORK, limit=1000)


def waiting(*, limit: int = 100) -> list[JobInfo]:
    """Jobs that wait for a worker, the next one first; after them those that wait for another try."""
    return _control().in_service_order((State.QUEUED, State.RETRY_WAIT), limit=limit)


def ended(*, state: State | None = None, requested_by: str | None = None, limit: int = 100) -> list[JobInfo]:
    """The history, the last end first: of everyone or one person, of every end or one."""
    return _control().ended(states=[state] if state else ENDED, requested_by=requested_by, limit=limit)


def counts() -> dict[State, int]:
    """How many jobs are in each state that occurs."""
    return _control().counts()


def usage() -> list[Usage]:
    """What the jobs of each person took on each kind of device, the greatest first."""
    return _control().usage()


def last_event() -> int:
    """A number that grows whenever a job is queued, changes its state or gets another priority."""
    return _control().last_event()


def ended_since(event: int, *, limit: int = 100) -> list[JobInfo]:
    """Jobs that ended after ``event`` (see ``last_event``), the last one first."""
    return _control().ended_since(event, limit=limit)


def job(job_id: str) -> JobInfo:
    """One job; raises BadRequest when there is none."""
    return _control().job(job_id)


def cells(job_id: str) -> list[RunSpec]:
    """The cells of a job; raises BadRequest when there is no such job."""
    _control().job(job_id)
    return [cell for part in _control().parts(job_id).values() for cell in part]


def cancel(job_id: str, *, requested_by: str = "") -> JobInfo:
    """Stop a job; its finished cells stay. Raises BadRequest when it has ended."""
    return _control().cancel(job_id, actor=requested_by or "queue")


def requeue(job_id: str, *, requested_by: str = "") -> JobInfo:
    """Queue a dead or cancelled job again; raises BadRequest when it is neither or its cells are taken."""
    return _control().requeue(job_id, actor=requested_by or "queue")


def retry(job_id: str, *, requested_by: str = "") -> JobInfo:
    """Queue a job at once that waits for its next try; raises BadRequest when it does not."""
    return _control().retry(job_id, actor=requested_by or "queue")


def prioritise(job_id: str, priority: int, *, requested_by: str = "") -> JobInfo:
    """Serve a job before all those of lower priority; raises BadRequest when it has ended or there is no such one."""
    _require_priority(priority)
    return _control().prioritise(job_id, priority, actor=requested_by or "queue")


def log_tail(job_id: str, lines: int = 50) -> str:
    """The last lines of a job's log; raises BadRequest when there is no such job."""
    _control().job(job_id)
    return logs.tail(job_id, lines=lines)


def claimed_cells() -> dict[str, str]:
    """The cells that are queued or in training now, each with its job_id."""
    return _control().claims()


def dispatcher_pid() -> int | None:
    """The process that dispatches jobs now; None when nobody does, so that jobs wait."""
    return owner_pid(_control())


def paused() -> str:
    """Why no job is started at present, as one sentence; empty when nothing is in the way."""
    return _control().noted("paused")


def _control() -> ControlStore:
    return ControlStore(paths.control())


def devices() -> list[DeviceState]:
    """The devices that jobs compute on, as last noted by the dispatcher; empty when none ever ran."""
    return [DeviceState(**device) for device in json.loads(_control().noted("devices") or "[]")]


def _device(asked: str | None) -> str:
    """The device asked for; raises BadRequest when the engine has none like it: the job would wait for ever."""
    device = asked or os.environ.get("ATLAS_DEVICE") or "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise BadRequest(f"A device is cpu, cuda or cuda:N, got {device!r}.")
    if device != "cpu":
        names = [state.name for state in devices()] if dispatcher_pid() else _own_devices()
        if device not in names and device not in {name.partition(":")[0] for name in names}:
            raise BadRequest(f"There is no device {device} here (there is {', '.join(names)}); choose one of these.")
    return device


def _require_priority(priority: int) -> None:
    if abs(priority) > PRIORITY:
        raise BadRequest(f"A priority lies between -{PRIORITY} and {PRIORITY}, got {priority}.")


def _own_devices() -> list[str]:
    """Who dispatches later is not known yet; without a cluster it will be this machine."""
    if os.environ.get("ENGINE_ADDRESS"):
        return ["cpu", "cuda"]
    return [device.name for device in found(cores=1)]
