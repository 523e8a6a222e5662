from __future__ import annotations

import streamlit as st

from jobs import queue
from jobs.job import State
from pages import devices, history, refused, running, services, waiting

services.guard()

CARDS = 20  # running jobs shown at once
CURVES = 3  # of them, those whose curves are shown until somebody hides them


def board(drawn: int) -> None:
    """What is going on now, drawn again and again; the rest of the page is drawn again when a job changed."""
    if queue.last_event() != drawn:
        st.rerun()
    counts = queue.counts()
    _state(counts)
    devices.show()
    found = queue.running()
    for k, job in enumerate(found[:CARDS]):
        running.card(job, curves=k < CURVES)
    if len(found) > CARDS:
        st.caption(f"The first {CARDS} of {len(found)} running jobs are shown.")


def _state(counts: dict[State, int]) -> None:
    """What is going on, and what is in the way."""
    active = sum(n for state, n in counts.items() if state.active)
    if reason := queue.paused():
        st.warning(reason, icon=":material/pause_circle:")
    elif active and queue.dispatcher_pid() is None:
        st.warning("Nobody dispatches jobs at the moment, so they wait.", icon=":material/pause_circle:")
    if active:
        groups = {"waiting": (State.QUEUED,), "to be tried again": (State.RETRY_WAIT,)}
        busy = active - counts.get(State.QUEUED, 0) - counts.get(State.RETRY_WAIT, 0)
        told = [f"**{busy:,}** running"]
        told += [f"**{n:,}** {name}" for name, states in groups.items() if (n := sum(counts.get(s, 0) for s in states))]
        st.markdown(" · ".join(told))
    else:
        st.info(
            "No job is waiting or running. **Fill missing cells** on the Regime map trains a map's cells; "
            "the Cell page computes spectra and landscapes.",
            icon=":material/check_circle:",
        )


st.title("Jobs")
st.caption("Work in the background goes on when this page is closed.")
drawn = queue.last_event()
services.fragment(board, run_every=2)(drawn)
services.fragment(waiting.show, run_every=20)()
services.fragment(history.show, run_every=60)()
services.fragment(refused.show, run_every=60)()
