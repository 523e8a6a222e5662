"""What a visitor does to a job: buttons, and one sentence where it cannot be done."""

from __future__ import annotations

from typing import Protocol

import streamlit as st

from jobs import queue
from jobs.job import JobInfo
from pages import activity
from sciml_backend.run import BadRequest


class Verb(Protocol):
    """A verb of the queue."""

    def __call__(self, job_id: str, *, requested_by: str) -> JobInfo:
        """Do it, or raise BadRequest."""


def button(label: str, job: JobInfo, *, help: str, icon: str | None = None) -> bool:
    """A button for one job."""
    return st.button(label, key=f"{label.lower().replace(' ', '_')}_{job.job_id}", help=help, icon=icon)


def on(verb: Verb, job: JobInfo) -> None:
    """Do it and draw the page anew, or say why not."""
    try:
        changed = verb(job.job_id, requested_by=activity.visitor())
    except BadRequest as refusal:
        refuse(refusal)
        return
    if verb is queue.requeue:
        activity.remember(changed)
    st.rerun()


def refuse(refusal: BadRequest) -> None:
    """Say why something cannot be done; unlike a box in a list that is drawn every two seconds, a toast stays."""
    st.toast(str(refusal), icon=":material/block:", duration="long")


def log(job: JobInfo, *, lines: int = 50) -> None:
    """The end of a job's log."""
    try:
        text = queue.log_tail(job.job_id, lines)
    except BadRequest as refusal:
        text = str(refusal)
    st.code(text or "The log is empty.", language=None, height=220 if text.count("\n") > 8 else "content")
