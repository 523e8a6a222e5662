"""How long a job still takes: by its own pace, and before its first run is done by the cost model of its map."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from jobs.job import JobInfo, State
from pages import activity, results, services
from pages.estimate import Cost, cost, duration

if TYPE_CHECKING:
    from sciml_backend.store.connection import Store


def left(job: JobInfo) -> str:
    """The time left in words; empty where nothing tells it."""
    if job.kind != "train" or job.state not in (State.RUNNING, State.QUEUED, State.RETRY_WAIT):
        return ""
    store = services.store()
    work = _work(store, store.version(), job.job_id)
    done = min(job.n_done, len(work.seconds))
    before, total = float(work.seconds[:done].sum()), float(work.seconds.sum())
    if job.state is not State.RUNNING:
        return f"about {duration(total - before)} of work" if work.known else ""
    if done:
        return f"about {duration(job.spent * (total - before) / before)} left at this pace"
    if not work.known:
        return ""
    rest = total - job.spent
    if rest > 0:
        return f"about {duration(rest)} left, as runs of this map usually take"
    return f"longer than the {duration(total)} that such runs usually take"


def cost_of(name: str) -> Cost | None:
    """The cost model of a map: from its stored runs, else from the catalogue's record."""
    store = services.store()
    return _cost(store, store.version(), name)


class _Work:
    """Seconds of each run of a job, in the order of training; alike and not ``known`` where no model tells them."""

    def __init__(self, job_id: str) -> None:
        specs = sorted(activity.specs(job_id), key=lambda spec: -spec.data)
        found = [(cost_of(str(spec.map)), spec.data) for spec in specs]
        self.known = all(model is not None for model, _ in found)
        known = [model.of([data]) if self.known and model else 1.0 for model, data in found]
        self.seconds = np.maximum(known, 1e-3)


@lru_cache(maxsize=256)
def _work(store: Store, version: int, job_id: str) -> _Work:
    return _Work(job_id)


@lru_cache(maxsize=32)
def _cost(store: Store, version: int, name: str) -> Cost | None:
    return cost(results.runs(name, "computed"), services.record()["cost"].get(name))
