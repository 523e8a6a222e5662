"""Says once, on whatever page, that a job of this visitor ended, and how."""

from __future__ import annotations

import streamlit as st

from jobs import queue
from jobs.job import JobInfo, State
from pages import activity, job_words, services

SECONDS = 3.0
MOST = 3
"""Toasts at a time."""

_SEEN, _TOLD = "_seen_event", "_told_ends"


def watch() -> None:
    """Look every few seconds; while nothing ends this is one indexed query."""
    services.fragment(_look, run_every=SECONDS)()


def _look() -> None:
    now = queue.last_event()
    seen = st.session_state.setdefault(_SEEN, now)  # what ended before this visit is on the Jobs page
    if now == seen:
        return
    st.session_state[_SEEN] = now
    told: set[tuple[str, int]] = st.session_state.setdefault(_TOLD, set())
    fresh = [job for job in queue.ended_since(seen) if activity.is_own(job) and (job.job_id, job.attempt) not in told]
    told.update((job.job_id, job.attempt) for job in fresh)
    for job in fresh[:MOST]:
        _tell(job)
    if len(fresh) > MOST:
        st.toast(f"{len(fresh) - MOST} more of your jobs ended; the Jobs page lists them.", icon=":material/checklist:")


def _tell(job: JobInfo) -> None:
    why = f" {job_words.plain(job.error_text)}" if job.state is State.DEAD and job.error_text else ""
    how = {State.SUCCEEDED: "Done", State.CANCELLED: "Cancelled", State.DEAD: "Failed"}[job.state]
    st.toast(f"**{how}:** {job_words.what(job)}.{why}", icon=job_words.ICONS[job.state], duration="long")
