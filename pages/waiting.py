"""Jobs that wait: for a worker, in the order of service, or for another try."""

from __future__ import annotations

import streamlit as st

from jobs import queue
from jobs.job import JobInfo, State
from pages import act, activity, job_words, running
from sciml_backend.run import BadRequest

FIRST = 10
MORE = 20


def show() -> None:
    """The first of them, and how many there are."""
    counts = queue.counts()
    total = counts.get(State.QUEUED, 0) + counts.get(State.RETRY_WAIT, 0)
    if not total:
        return
    st.subheader("Waiting")
    limit = st.session_state.get("waiting_shown", FIRST)
    for place, job in enumerate(queue.waiting(limit=limit), 1):
        _row(place, job)
    if total > limit:
        more = min(MORE, total - limit)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"The first {limit} of {total:,} are shown.", width="content")
            if st.button(f"Show {more} more", key="waiting_more", type="tertiary"):
                st.session_state["waiting_shown"] = limit + more
                st.rerun()


def _row(place: int, job: JobInfo) -> None:
    queued = job.state is State.QUEUED
    with st.container(
        horizontal=True, vertical_alignment="center", wrap=False, gap="small", key=f"waiting_{job.job_id}"
    ):
        head = f"{place}. " if queued else ":material/replay: "
        facts = " · ".join(filter(None, [job_words.span(job), job_words.now(job), job_words.asked(job)]))
        st.markdown(f"**{head}{job_words.what(job)}**  \n:small[{facts}]{_why(job)}", width="stretch")
        if queued:
            with st.popover(
                str(job.priority),
                icon=":material/swap_vert:",
                help="Serve it earlier or later.",
                key=f"place_{job.job_id}",
            ):
                _priority(job)
        elif act.button("Try now", job, help="Do not wait for the next try."):
            act.on(queue.retry, job)
        if act.button("Cancel", job, help=running.CANCEL):
            act.on(queue.cancel, job)


def _why(job: JobInfo) -> str:
    """The error after which a job is tried again."""
    if job.state is not State.RETRY_WAIT or not job.error_text:
        return ""
    return f"  \n:small[:orange[{job_words.plain(job.error_text)}]]"


def _priority(job: JobInfo) -> None:
    # The key names the priority that is drawn: else a stale number would stay when somebody else changes it.
    key = f"priority_{job.job_id}_{job.priority}"

    def change() -> None:
        try:
            queue.prioritise(job.job_id, int(st.session_state[key]), requested_by=activity.visitor())
        except BadRequest as refusal:
            act.refuse(refusal)

    st.number_input(
        "Priority",
        value=max(-queue.PRIORITY, min(job.priority, queue.PRIORITY)),  # older queues took any number
        min_value=-queue.PRIORITY,
        max_value=queue.PRIORITY,
        step=1,
        key=key,
        on_change=change,
        width=160,
        help="Higher goes first; jobs start with 0. Jobs of the same priority are served by age.",
    )
