"""How fast jobs start, stop and are listed: ``python -m jobs bench``, in a data folder of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import psutil

from jobs import queue
from jobs.dispatcher import Dispatcher
from jobs.engine import Need
from jobs.job import State
from sciml_backend import paths
from sciml_backend.run import RunSpec

SETTLE_SECONDS = 2.0
LONG = RunSpec(family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": 50.0}, data=25_000, seed=0)
"""A run that takes minutes, nearly all of them inside the compiled kernel."""


def bench_jobs(*, queued: int = 1000, cancels: int = 5) -> dict[str, float]:
    """Figures of this machine; each name ends in its unit.

    They are: how long a dispatcher takes to open its engine and find room, and what memory that adds when idle (its
    processes together, shared pages in proportion); a running job from its cancellation until it has ended and
    until its slot is free; and how long ``queued`` jobs take to be listed here and on the command line.
    """
    with paths.vanishing():
        return {**_listing(queued), **_engine_and_cancel(cancels)}


def _listing(queued: int) -> dict[str, float]:
    cells = [LONG.but(seed=seed) for seed in range(queued)]
    submitting = [_milliseconds(partial(queue.submit_training, [cell])) for cell in cells]
    listing = [_milliseconds(lambda: queue.jobs(limit=queued)) for _ in range(20)]
    command = [sys.executable, "-m", "jobs", "list", "--json", "--limit", str(queued)]
    printing = [
        _milliseconds(lambda: subprocess.run(command, cwd=paths.ROOT, check=True, capture_output=True))
        for _ in range(3)
    ]
    for job in queue.jobs(limit=queued):
        queue.cancel(job.job_id)
    return {
        "submit_job_ms": statistics.median(submitting),
        f"list_{queued}_queued_ms": statistics.median(listing),
        f"command_list_{queued}_queued_ms": statistics.median(printing),
    }


def _engine_and_cancel(cancels: int) -> dict[str, float]:
    before, began = _memory(), time.perf_counter()
    dispatcher = Dispatcher()
    try:
        _until(lambda: dispatcher.engine.capacity(Need()))
        up = time.perf_counter() - began
        time.sleep(SETTLE_SECONDS)
        idle = _memory() - before
        ended, freed = zip(*(_cancel_one(dispatcher, seed) for seed in range(cancels)), strict=True)
    finally:
        dispatcher.stop()
    return {
        "engine_up_s": up,
        "engine_idle_mb": idle / 1e6,
        "cancel_s": statistics.median(ended),
        "cancel_longest_s": max(ended),
        "slot_free_s": statistics.median(freed),
        "slot_free_longest_s": max(freed),
    }


def _cancel_one(dispatcher: Dispatcher, seed: int) -> tuple[float, float]:
    """Seconds from the request until the job has ended, and until its process and all others are gone."""
    job = queue.submit_training([LONG.but(seed=seed)])
    _until(lambda: queue.job(job.job_id).progress.get("training"))
    began = time.perf_counter()
    queue.cancel(job.job_id)
    _until(lambda: queue.job(job.job_id).state is State.CANCELLED)
    ended = time.perf_counter() - began
    _until(lambda: not psutil.Process().children(recursive=True))
    _until(lambda: all(device.used == 0 for device in dispatcher.engine.devices()))
    return ended, time.perf_counter() - began


def _memory() -> int:
    """Bytes of this process and its children; what several share is divided between them."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(process.memory_full_info().pss for process in processes)


def _milliseconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def _until(condition: Callable[[], object], *, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"Not within {seconds:g} s.")
        time.sleep(0.01)
