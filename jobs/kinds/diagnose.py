"""Compute one diagnostic of one trained cell from its weights."""

from __future__ import annotations

from collections.abc import Callable

from jobs.kind import Report, Task
from jobs.parts import batch_id
from sciml_backend import paths, sweep
from sciml_backend.run import BadRequest
from sciml_backend.store import spool


def run(task: Task, *, report: Report, should_stop: Callable[[], bool]) -> None:
    """Compute ``task.spec["diagnostic"]``; a cell whose weights were not kept is trained anew for it."""
    (cell,) = task.cells
    device = str(task.spec.get("device", "cpu"))
    try:
        weights = spool.read_weights(cell.cell_id)
    except BadRequest:
        done = list(sweep.train([cell], device=device, should_stop=should_stop))
        if not done:
            return
        ((record,),) = done
        weights = spool.Weights(record.theta_initial, record.theta_final, cell.dtype)
    if weights.final is None:
        raise BadRequest(f"Training cell {cell.cell_id} failed ({record.reason}), so there is nothing to examine.")
    artifact = sweep.diagnose(
        cell,
        task.spec["diagnostic"],
        theta_initial=weights.initial,
        theta_final=weights.final,
        settings=task.spec["settings"],
        device=device,
    )
    if not should_stop():
        spool.write_artifacts([artifact], paths.spool_new(), batch_id=batch_id(task.job_id, 0))
        report({"done": 1})
