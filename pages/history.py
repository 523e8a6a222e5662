"""Jobs that ended: how, when and at what cost, and what each person's jobs took."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from jobs import queue
from jobs.job import JobInfo, State, Usage
from pages import act, activity, address, choice, job_words, words
from pages.estimate import duration

FIRST = 15
MORE = 30
OPENED = 3
"""A failure among this many newest ends is shown in full at once."""


def show() -> None:
    """The history with its filters, and the totals."""
    usage = queue.usage()
    if not usage:
        return
    st.subheader("History")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        people = sorted({row.requested_by for row in usage})
        person = st.selectbox(
            "Asked by", [None, *people], format_func=_person, key="history_person", width=260, help="Whose jobs."
        )
        state = st.selectbox(
            "Ended", [None, *job_words.ENDS], format_func=_end, key="history_state", width=160, help="How they ended."
        )
    limit = st.session_state.get("history_shown", FIRST)
    found = queue.ended(state=state, requested_by=person, limit=limit + 1)
    for k, job in enumerate(found[:limit]):
        _row(job, opened=job.state is State.DEAD and k < OPENED)
    if not found:
        st.caption("No such job has ended yet.")
    if len(found) > limit and st.button("Show more", key="history_more", type="tertiary"):
        st.session_state["history_shown"] = limit + MORE
        st.rerun(scope="fragment")
    _totals(usage)


def _person(requested_by: str | None) -> str:
    return "everyone" if requested_by is None else job_words.who(requested_by)


def _end(state: State | None) -> str:
    return "in any way" if state is None else job_words.ENDS[state]


def _row(job: JobInfo, *, opened: bool) -> None:
    # The title is part of what an expander is known by: one that changed with the time would close it.
    title = f"{job_words.what(job)} · {job_words.ended(job)}"
    shown = st.expander(
        title, expanded=opened, icon=job_words.ICONS[job.state], key=f"ended_{job.job_id}", on_change="rerun"
    )
    if not shown.open:  # what nobody looks at is neither read nor sent
        return
    with shown:
        st.markdown(f":small[{' · '.join(filter(None, [job_words.span(job), job_words.asked(job)]))}]")
        if job.error_text:
            st.error(job.error_text)
        with st.container(horizontal=True, vertical_alignment="center"):
            if job.state is not State.SUCCEEDED and act.button("Queue again", job, help=AGAIN):
                act.on(queue.requeue, job)
            _link(job)
            log = job.state is State.DEAD or st.toggle(
                "Log", key=f"log_{job.job_id}", help="The last lines that the job's worker wrote."
            )
        if log:
            act.log(job)


AGAIN = "Try once more; finished runs are not repeated."


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


def _totals(usage: list[Usage]) -> None:
    """A line per person: jobs, finished runs, and hours on each kind of device."""
    st.subheader("Cost")
    frame = pd.DataFrame([row.to_json() for row in usage])
    people = frame.groupby("requested_by")[["jobs", "runs", "seconds"]].sum().sort_values("seconds", ascending=False)
    spent = frame.pivot_table(index="requested_by", columns="device", values="seconds", aggfunc="sum", fill_value=0.0)
    rows = {
        job_words.plain(job_words.who(person)): {
            "jobs": f"{total['jobs']:,.0f}",
            "finished runs": f"{total['runs']:,.0f}",
            **{f"time on {device}": _time(spent.loc[person, device]) for device in spent.columns},
        }
        for person, total in people.head(PEOPLE).iterrows()
    }
    st.table(words.table(rows), border="horizontal")
    more = f" The {PEOPLE} who took most of {len(people)}." if len(people) > PEOPLE else ""
    st.caption(f"All jobs that were ever queued, with the time that all their attempts so far spent on devices.{more}")


def _time(seconds: float) -> str:
    return duration(seconds) if seconds else "–"


PEOPLE = 20
