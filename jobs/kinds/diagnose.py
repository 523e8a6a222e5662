"""Compute one diagnostic of one trained cell from its stored weights."""

from __future__ import annotations

from collections.abc import Callable

from jobs.kind import Report, Task
from jobs.parts import batch_id
from sciml_backend import paths, sweep
from sciml_backend.run import BadRequest
from sciml_backend.store import spool


def run(task: Task, *, report: Report, should_stop: Callable[[], bool]) -> None:
    """Compute ``task.spec["diagnostic"]``; raises BadRequest when the cell has no stored weights."""
    (cell,) = task.cells
    weights = spool.read_weights(cell.cell_id)
    if weights.initial is None or weights.final is None:
        raise BadRequest(f"The weights of cell {cell.cell_id} were not kept; train it again to examine it.")
    artifact = sweep.diagnose(
        cell,
        task.spec["diagnostic"],
        theta_initial=weights.initial,
        theta_final=weights.final,
        settings=task.spec["settings"],
        device=str(task.spec.get("device", "cpu")),
    )
    if not should_stop():
        spool.write_artifacts([artifact], paths.spool_new(), batch_id=batch_id(task.job_id, 0))
        report({"done": 1})
