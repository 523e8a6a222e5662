"""Background work as a page sees it: which cells are being trained, and what is going on for a map."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from jobs import queue
from jobs.job import JobInfo
from pages import services
from pages.choice import Choice
from pages.estimate import duration
from sciml_backend.run import RunSpec

_OWN = "_own_jobs"


def running_cells(chosen: Choice) -> set[tuple[float, float]]:
    """The (x, y) of a computed map that are queued or in training now."""
    if chosen.source != "computed":
        return set()
    claimed = queue.claimed_cells()
    return {
        (coefficients[chosen.x.name], data)
        for job_id in set(claimed.values())
        for cell_id, name, coefficients, data in _cells(job_id)
        if cell_id in claimed and name == str(chosen.name) and chosen.x.name in coefficients
    }


def stamp() -> tuple[int, int]:
    """Changes whenever results arrived or cells were claimed or released."""
    return services.store().version(), hash(frozenset(queue.claimed_cells()))


def jobs_of(name: str) -> list[JobInfo]:
    """The active jobs of a map, of those that wait the first hundred at most."""
    active = [*queue.running(), *queue.waiting(limit=100)]
    return [job for job in active if name in job.spec.get("maps", ())]


def visitor() -> str:
    """Who asks for a job."""
    return str(st.user.to_dict().get("email", "")) or "dashboard"


def remember(job: JobInfo) -> None:
    """A job that this visit asked for."""
    st.session_state.setdefault(_OWN, set()).add(job.job_id)


def is_own(job: JobInfo) -> bool:
    """Whether this visit asked for a job, or the person who is logged in did at any time."""
    person = str(st.user.to_dict().get("email", ""))
    return job.job_id in st.session_state.get(_OWN, ()) or (bool(person) and job.requested_by == person)


def follow(name: str, *, seconds: float = 2.0) -> None:
    """Show the progress of a map's jobs, and draw the page again when results arrive."""
    drawn = stamp()

    def look() -> None:
        if stamp() != drawn:
            st.rerun()
        for job in jobs_of(name):
            what = job.spec.get("diagnostic") or "training"
            st.progress(job.n_done / max(job.n_cells, 1), f"{what}: {progress(job)}")

    services.fragment(look, run_every=seconds)()


def progress(job: JobInfo) -> str:
    """How far a job is, in words."""
    done = f"{job.n_done} of {job.n_cells} runs" if job.kind == "train" else job.state.sentence
    training = job.progress.get("training") or []
    reached = max((row["iteration"] for row in training), default=0)
    return f"{done}, now at iteration {reached:,}" if reached else f"{done}; {job.state.sentence.lower()}"


def only_cell(job: JobInfo) -> RunSpec | None:
    """The cell of a job that has one."""
    return specs(job.job_id)[0] if job.n_cells == 1 else None


def cell_words(spec: RunSpec) -> str:
    """A run within its map."""
    return ", ".join(f"{name} = {value}" for name, value in facts(spec).items())


def concerns(job_id: str, cell_id: str) -> bool:
    """Whether a job is about a cell."""
    return any(cell == cell_id for cell, *_ in _cells(job_id))


@lru_cache(maxsize=256)
def _cells(job_id: str) -> tuple[tuple[str, str, dict[str, float], int], ...]:
    return tuple((cell.cell_id, str(cell.map), dict(cell.coefficients), cell.data) for cell in specs(job_id))


@lru_cache(maxsize=64)
def specs(job_id: str) -> list[RunSpec]:
    """The cells of a job, which never change; shared, never change the list."""
    return queue.cells(job_id)


def facts(spec: RunSpec) -> dict[str, str]:
    """What tells a run from others of its map: coefficients, amount of data, seed."""
    known = services.record()["problems"].get(spec.problem, {}).get("coefficients", ())
    labels = {c["name"]: c["label"] for c in known}
    coefficients = {labels.get(name, name): f"{value:g}" for name, value in spec.coefficients.items()}
    return {**coefficients, "N": str(spec.data), "seed": str(spec.seed)}


def seconds_between(start: str, end: str | None) -> float:
    """Seconds from one ISO 8601 time to another, or to now."""
    until = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return (until - datetime.fromisoformat(start)).total_seconds()


def ago(moment: str) -> str:
    """A past moment in words."""
    return f"{duration(seconds_between(moment, None))} ago"


def moment(time: str) -> str:
    """A time as the visitor's clock shows it."""
    try:
        zone: tzinfo = ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):  # a browser may say anything
        zone = UTC
    return f"{datetime.fromisoformat(time).astimezone(zone):%d %b %H:%M}".removeprefix("0")
