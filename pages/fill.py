"""Train what a map lacks: how many runs, how long they will take, and the button that queues them."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from jobs import queue
from pages import activity, results
from pages.choice import Choice, specs
from pages.estimate import duration
from pages.pace import cost_of
from sciml_backend import figures
from sciml_backend.run import BadRequest, RunSpec

Cell = tuple[float, float]
SCOPES = {True: "All of the map", False: "The selected cell"}


def planned(chosen: Choice, grid: pd.DataFrame) -> list[Cell]:
    """The cells that a map is meant to have; those of its grid where the catalogue has no plan for it."""
    cells = [(x, y) for y in chosen.y.values for x in chosen.x.values]
    return cells or list(zip(grid["x"], grid["y"], strict=True))


def fill(chosen: Choice, of_map: list[Cell] | None = None) -> None:
    """A popover that trains what these cells of the map lack, or the selected cell."""
    with st.popover(
        "Fill missing cells",
        icon=":material/add_circle:",
        help="Train what the map lacks, in the background.",
        key="fill",
        on_change="rerun",  # when it opens, another cell may be selected than when it was drawn
    ):
        seeds = st.number_input(
            "Seeds per cell", 1, 10, value=3, help="Seeds 0, 1, … of every cell; stored runs are kept."
        )
        everywhere = of_map is not None and st.radio(
            "Cells", [True, False], format_func=SCOPES.__getitem__, horizontal=True, help="Where to train."
        )
        cells = of_map if everywhere and of_map else _selected()
        missing = _missing(specs(chosen, cells, seeds=range(seeds)))
        if not missing:
            st.caption(_nothing(chosen, cells))
            return
        many = f"{len(missing)} run{'s' * (len(missing) > 1)}"
        where = f"in {_count(missing)} of {len(cells)} cells" if everywhere else f"at {_named(chosen, cells[0])}"
        st.markdown(f"**{many}** missing {where}.")
        st.caption(_estimate(chosen, missing))
        if st.button(f"Train {many}", type="primary", key="fill_train"):
            _submit(missing)


def _selected() -> list[Cell]:
    x, y = st.session_state.get("x"), st.session_state.get("y")
    return [] if x is None or y is None else [(x, y)]


def _named(chosen: Choice, cell: Cell) -> str:
    axes = zip((chosen.x.label, chosen.y.label), cell, strict=True)
    return ", ".join(f"{label.split()[-1]} = {figures.tick(label, value)}" for label, value in axes)


def _missing(wanted: list[RunSpec]) -> list[RunSpec]:
    claimed = queue.claimed_cells()
    ids = {spec.cell_id: spec for spec in wanted}
    known = results.known_cells(tuple(ids))
    return [spec for cell_id, spec in ids.items() if cell_id not in known and cell_id not in claimed]


def _nothing(chosen: Choice, cells: list[Cell]) -> str:
    if not cells:
        return "Select a cell first: click it on a map, or choose it below the maps."
    if not specs(chosen, cells[:1], seeds=[0]):
        return "Runs of this variant are started from the command line; nothing stored says how they are set up."
    return "Nothing is missing: every run is stored, queued or in training."


def _count(missing: list[RunSpec]) -> int:
    return len({(tuple(spec.coefficients.items()), spec.data) for spec in missing})


def _estimate(chosen: Choice, missing: list[RunSpec]) -> str:
    found = cost_of(str(chosen.name))
    if found is None:
        return "No run of this map is stored yet, so nothing tells how long this takes; train one cell to find out."
    data = [spec.data for spec in missing]
    active = [*queue.running(), *queue.waiting(limit=1000)]
    waiting = sum(job.n_cells - job.n_done for job in active if job.kind == "train")
    behind = f" {waiting} runs are in the queue before it." if waiting else ""
    about = f"About **{duration(found.of(data))}** on one worker.{behind} {found.basis}"
    return f"{about} {found.doubt(data)}".rstrip()


def _submit(missing: list[RunSpec]) -> None:
    try:
        job = queue.submit_training(missing, requested_by=activity.visitor())
    except BadRequest as refusal:
        st.error(str(refusal))
        return
    activity.remember(job)
    st.toast(f"Queued: {job.n_cells} runs. The Jobs page shows how far they are.", icon=":material/schedule:")
    st.rerun()
