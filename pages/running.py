"""The card of a job that runs: how far it is, the curves of what it trains, its log, and Cancel."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from jobs import queue
from jobs.job import JobInfo, State
from pages import act, activity, cell_summary, job_words
from sciml_backend.figures import training
from sciml_backend.run import RunSpec


def card(job: JobInfo, *, curves: bool) -> None:
    """One job; ``curves`` says whether its curves are shown from the start."""
    with st.container(border=True, key=f"running_{job.job_id}"):
        with st.container(horizontal=True, vertical_alignment="center", wrap=False, key=f"head_{job.job_id}"):
            facts = " · ".join(filter(None, [job_words.span(job), job_words.asked(job)]))
            st.markdown(f"**{job_words.what(job)}**  \n:small[{facts}]", width="stretch")
            if job.state is not State.INGESTING and act.button("Cancel", job, help=CANCEL):
                act.on(queue.cancel, job)
        st.progress(job_words.share(job), job_words.now(job))
        with st.container(horizontal=True, key=f"more_{job.job_id}"):
            drawn = job.kind == "train" and st.toggle(
                "Curves", curves, key=f"curves_{job.job_id}", help="The loss of the runs in training now."
            )
            log = st.toggle("Log", key=f"log_{job.job_id}", help="The last lines that the job's worker wrote.")
        if drawn:
            _curves(job)
        if log:
            act.log(job)


CANCEL = "Stop the job; its finished runs stay."


def _curves(job: JobInfo) -> None:
    """The loss of the rows in training."""
    kept = job.progress.get("curves")
    if not kept or not kept["log10_loss"]:
        st.caption("The curves begin when the first iterations are done.")
        return
    specs = {spec.cell_id: spec for spec in activity.specs(job.job_id)}
    known = [specs[cell_id] for cell_id in kept["log10_loss"] if cell_id in specs]
    batch = {spec.cell_id: spec for spec in sorted(known, key=lambda s: (*s.coefficients.values(), s.data, s.seed))}
    together, names = names_in(list(batch.values()))
    lines = [
        pd.DataFrame({"run": name, "iteration": kept["iteration"], "train_loss": losses(kept["log10_loss"][cell_id])})
        for cell_id, name in zip(batch, names, strict=True)
    ]
    if not lines:
        return
    n = job.progress.get("n_training", len(batch))
    more = f"; {len(batch)} of {n} runs of the batch are drawn" if n > len(batch) else ""
    st.caption(f"In training: {together}{more}")
    st.plotly_chart(
        training(pd.concat(lines)),
        key=f"chart_{job.job_id}",
        config=cell_summary.PLAIN,
        alt=f"Training loss against iterations of {len(batch)} runs in training",
    )


def losses(log10: list[float | None]) -> pd.Series:
    """Losses from their logarithms; nan for what is none."""
    return 10.0 ** pd.Series(log10, dtype=float)


def names_in(batch: list[RunSpec]) -> tuple[str, list[str]]:
    """What the runs of a batch have in common, and the name of each by what tells it apart."""
    facts = [activity.facts(spec) for spec in batch]
    common = [name for name in facts[0] if len({fact[name] for fact in facts}) == 1] if facts else []
    together = ", ".join(f"{name} = {facts[0][name]}" for name in common)
    own = [", ".join(f"{name} = {fact[name]}" for name in fact if name not in common) for fact in facts]
    return together, [name or together for name in own]
