"""Which cells of a job have arrived: read from the files of the spool, which are the truth."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sciml_backend import paths
from sciml_backend.run import BadRequest
from sciml_backend.store import spool
from sciml_backend.store.batch import read_header


@dataclass(frozen=True)
class Arrival:
    """How many of a job's cells are nowhere (``missing``), and how many wait in the spool for the store's owner."""

    missing: int
    waiting: int


def arrival(job_id: str, cell_ids: Collection[str], *, stored_elsewhere_counts: bool) -> Arrival:
    """Look for a job's cells in the batches it wrote; where that counts, also in everybody else's."""
    wanted = set(cell_ids)
    new, done = _own_cells(job_id)
    missing = wanted - done - new
    if missing and stored_elsewhere_counts:
        missing -= spool.existing_cells()
    return Arrival(missing=len(missing), waiting=len((wanted & new) - done))


def _own_cells(job_id: str) -> tuple[set[str], set[str]]:
    """Cells in the job's files of ``new/`` and of ``done/``; in this order, as files move from one to the other."""
    found: list[set[str]] = []
    for folder in (paths.spool_new(), paths.spool_done()):
        cells: set[str] = set()
        for path in folder.glob(f"{job_id}[_~]*.parquet"):
            try:
                cells.update(read_header(path).cells)
            except BadRequest:  # moved on, or to be put aside by the owner of the store
                continue
        found.append(cells)
    return found[0], found[1]
