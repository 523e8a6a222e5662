"""A job in words: what it does, who asked for it and where it runs, how far it is, how it ended."""

from __future__ import annotations

import time
from functools import lru_cache

from jobs.job import JobInfo, State
from pages import activity, choice, pace, services
from pages.estimate import duration
from sciml_backend.run import BadRequest, MapName

ENDS = {State.SUCCEEDED: "done", State.CANCELLED: "cancelled", State.DEAD: "failed"}
ICONS = {
    State.SUCCEEDED: ":material/check_circle:",
    State.CANCELLED: ":material/cancel:",
    State.DEAD: ":material/error:",
}


def what(job: JobInfo) -> str:
    """What a job does."""
    if job.kind == "train":
        return f"Training {runs(job.n_cells)} of {maps(job)}"
    entry = services.record()["diagnostics"].get(job.spec.get("diagnostic"), {})
    spec = activity.only_cell(job)
    of = "" if spec is None else f", {activity.cell_words(spec)}"
    return f"{entry.get('label', job.kind)} of a run of {maps(job)}{of}"


def span(job: JobInfo) -> str:
    """Which runs a training job is about: each coefficient, amount of data and seed as a value or from … to …."""
    return _span(job.job_id) if job.kind == "train" else ""


@lru_cache(maxsize=1024)
def _span(job_id: str) -> str:
    values: dict[str, set[float]] = {}
    for spec in activity.specs(job_id):
        for name, value in activity.facts(spec).items():
            values.setdefault(name, set()).add(float(value))
    return ", ".join(f"{name} = {_from_to(found)}" for name, found in values.items())


def _from_to(values: set[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def runs(n: int) -> str:
    """A number of runs."""
    return f"{n:,} run{'s' * (n != 1)}"


def maps(job: JobInfo) -> str:
    """The maps that a job works on, by their titles; of many the first two."""
    names = job.spec.get("maps", ())
    more = f" and {len(names) - 2} more maps" if len(names) > 2 else ""
    return ", ".join(map(_title, names[:2])) + more


def _title(name: str) -> str:
    try:
        return choice.choice(MapName.parse(name), "computed").title
    except BadRequest:
        return name


def asked(job: JobInfo) -> str:
    """Who asked for a job and when, where it is to run or runs, which attempt this is, and its number."""
    facts = [
        f"asked by {plain(who(job.requested_by))}, {activity.ago(job.created_at)}",
        f"on {job.device or job.spec.get('device', 'cpu')}",
        f"attempt {job.attempt}" if job.attempt > 1 else "",
        job.job_id,
    ]
    return " · ".join(filter(None, facts))


def who(requested_by: str) -> str:
    """A person, or what stands for one."""
    return requested_by or "the command line"


def plain(text: str) -> str:
    """A person's own text, safe to stand in Markdown: no link, no markup, no picture."""
    return "".join(f"&#{ord(c)};" if c in _MARKUP else c for c in text)


_MARKUP = set("\\`*_{}[]()<>#+!|~$@:&")


def now(job: JobInfo) -> str:
    """How far an active job is and how long it still takes."""
    facts = [f"{job.n_done:,} of {runs(job.n_cells)}" if job.kind == "train" and job.started_at else ""]
    if reached := max((row["iteration"] for row in job.progress.get("training") or []), default=0):
        facts.append(f"{job.progress.get('n_training', 1)} in training, at iteration {reached:,}")
    if job.state not in (State.RUNNING, State.QUEUED):
        facts.append(_state(job))
    facts.append(pace.left(job))
    return " · ".join(filter(None, facts)) or job.state.sentence.rstrip(".").lower()


def _state(job: JobInfo) -> str:
    if job.state is State.RETRY_WAIT and job.not_before:
        return f"interrupted; tried again in {duration(max(job.not_before - time.time(), 1))}"
    return job.state.sentence.rstrip(".").lower()


def ended(job: JobInfo) -> str:
    """How and when a job ended, what it took, and who asked for it; words that do not change as time goes by."""
    part = f"{job.n_done:,} of {runs(job.n_cells)}" if job.kind == "train" and job.n_done < job.n_cells else ""
    took = f"{duration(job.seconds)} on {job.device or job.spec.get('device', 'cpu')}" if job.seconds else ""
    how = f"{ENDS.get(job.state, job.state)} {activity.moment(job.finished_at) if job.finished_at else ''}".rstrip()
    person = who(job.requested_by).partition("@")[0]  # a whole address would become a link inside a title
    return " · ".join(filter(None, [how, part, took, plain(person)]))


def share(job: JobInfo) -> float:
    """How much of a job is done, from 0 to 1."""
    return min(job.n_done / max(job.n_cells, 1), 1.0)
