"""Files that delivered results and were not stored: what they were, and why."""

from __future__ import annotations

import streamlit as st

from pages import job_words, services
from sciml_backend.store import queries

SHOWN = 20


def show() -> None:
    """A closed line with their number, where there are any; within, the newest."""
    found = queries.quarantined(services.store())
    if found.empty:
        return
    count = f"{len(found):,} refused {'file' if len(found) == 1 else 'files'}"
    with st.expander(count, icon=":material/block:", key="refused"):
        st.caption("Delivered, but not stored; they are kept for 90 days, in spool/quarantine of the data folder.")
        for _, row in found.head(SHOWN).iterrows():
            st.markdown(f":small[{row['ts']:%Y-%m-%d %H:%M} UTC · {job_words.plain(row['reason'])}]")
        if len(found) > SHOWN:
            st.caption(f"The newest {SHOWN} of {len(found):,}.")
