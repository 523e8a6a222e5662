from __future__ import annotations

import streamlit as st

from jobs import queue
from jobs.job import JobInfo
from pages import activity, address, choice, services
from pages.estimate import duration
from sciml_backend.run import BadRequest

services.guard()


def board() -> None:
    """All jobs, drawn again and again."""
    found = queue.jobs(limit=100)
    active = [job for job in found if job.state.active]
    _state(active)
    for job in active:
        with st.container(border=True):
            _active(job)
    ended = [job for job in found if not job.state.active]
    if ended:
        st.subheader("History")
        for job in ended:
            _ended(job)


def _state(active: list[JobInfo]) -> None:
    """What is going on, and what is in the way."""
    if reason := queue.paused():
        st.warning(reason, icon=":material/pause_circle:")
    elif active and queue.dispatcher_pid() is None:
        st.warning("Nobody dispatches jobs at the moment, so they wait.", icon=":material/pause_circle:")
    if not active:
        st.info(
            "No job is waiting or running. **Fill missing cells** on the Regime map trains a map's cells; "
            "the Cell page computes spectra and landscapes.",
            icon=":material/check_circle:",
        )


def _active(job: JobInfo) -> None:
    words, button = st.columns([5, 1], vertical_alignment="center")
    words.markdown(f"**{_what(job)}**  \n{_who(job)}")
    if button.button(
        "Cancel", key=f"cancel_{job.job_id}", help="Stop the job; its finished runs stay.", width="stretch"
    ):
        _try(queue.cancel, job)
    st.progress(min(job.n_done / max(job.n_cells, 1), 1.0), f"{activity.progress(job)}{_left(job)}")
    _log(job)


def _ended(job: JobInfo) -> None:
    took = ""
    if job.started_at and job.finished_at:
        took = f" in {duration(activity.seconds_between(job.started_at, job.finished_at))}"
    title = f"{_what(job)}: {ENDS.get(str(job.state), job.state)}{_how_many(job)}{took}"
    with st.expander(title, icon=ICONS.get(str(job.state)), key=f"ended_{job.job_id}"):
        st.markdown(_who(job))
        _link(job)
        if job.error_text:
            st.error(job.error_text)
        if job.state in (queue.State.DEAD, queue.State.CANCELLED):
            if st.button(
                "Queue again", key=f"requeue_{job.job_id}", help="Try once more; finished runs are not repeated."
            ):
                _try(queue.requeue, job)
        _log(job)


ENDS = {"succeeded": "done", "cancelled": "cancelled", "dead": "failed"}
ICONS = {"succeeded": ":material/check_circle:", "cancelled": ":material/cancel:", "dead": ":material/error:"}


def _how_many(job: JobInfo) -> str:
    return f", {job.n_done} of {job.n_cells} runs" if job.n_done < job.n_cells else ""


def _link(job: JobInfo) -> None:
    """The way to the cell of a job that is about one."""
    spec = activity.only_cell(job)
    if spec is None:
        return
    chosen = choice.choice(spec.map, "computed")
    values = {part: getattr(spec, part) for part in ("family", "problem", "strategy", "variant", "seed")}
    values |= {"x": spec.coefficients.get(chosen.x.name), "y": float(spec.data)}
    st.page_link(
        "pages/cell.py", label="Open the cell", icon=":material/arrow_forward:", query_params=address.query(values)
    )


def _log(job: JobInfo) -> None:
    if st.toggle("Log", key=f"log_{job.job_id}", help="The last lines that the job's worker wrote."):
        st.code(queue.log_tail(job.job_id) or "The log is empty.", language=None, height=220)


def _try(act: object, job: JobInfo) -> None:
    try:
        act(job.job_id, requested_by=activity.visitor())  # type: ignore[operator]
    except BadRequest as refusal:
        st.error(str(refusal))
    else:
        st.rerun()


def _what(job: JobInfo) -> str:
    maps = ", ".join(job.spec.get("maps", ()))
    if job.kind == "train":
        return f"Training {job.n_cells} run{'s' * (job.n_cells != 1)} of {maps}"
    entry = services.record()["diagnostics"].get(job.spec.get("diagnostic"), {})
    spec = activity.only_cell(job)
    of = "" if spec is None else f", {activity.cell_words(spec)}"
    return f"{entry.get('label', job.kind)} of a run of {maps}{of}"


def _who(job: JobInfo) -> str:
    asked = f"asked by {job.requested_by or 'the command line'}, {activity.ago(job.created_at)}"
    device = f", on {job.spec['device']}" if "device" in job.spec else ""
    tries = f", attempt {job.attempt}" if job.attempt > 1 else ""
    return f":small[{asked}{device}{tries} · {job.job_id}]"


def _left(job: JobInfo) -> str:
    """The time left if the rest goes as the finished part did."""
    if job.kind != "train" or not job.started_at or not job.n_done:
        return ""
    so_far = activity.seconds_between(job.started_at, None)
    return f"; about {duration(so_far / job.n_done * (job.n_cells - job.n_done))} left at this pace"


st.title("Jobs")
st.caption("Work in the background goes on when this page is closed.")
st.fragment(board, run_every=2)()
