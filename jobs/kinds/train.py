"""Train cells in batches; every part is delivered as soon as its cells are finished."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from jobs.kind import Report, Task
from jobs.parts import batch_id
from sciml_backend import catalog, paths, sweep
from sciml_backend.run import RunRecord, RunSpec
from sciml_backend.store import spool


def run(task: Task, *, report: Report, should_stop: Callable[[], bool]) -> None:
    """Train the task's cells that have no stored run yet, or one that failed, on ``task.spec["device"]``."""
    stored = spool.existing_cells()
    wanted = [cell for cell in task.cells if cell.cell_id not in stored]
    parts = _Parts(task, wanted, failed=spool.failed_cells())
    n_stored = len(task.cells) - len(wanted)

    def on_progress(progress: sweep.Progress) -> None:
        report({"done": n_stored + progress.done, "training": progress.training})

    report({"done": n_stored})
    device = str(task.spec.get("device", "cpu"))
    for records in sweep.train(
        wanted, device=device, shrink=task.shrink, on_progress=on_progress, should_stop=should_stop
    ):
        parts.take(records)
    if should_stop():
        parts.keep_unfinished()
    elif parts.missing:
        raise RuntimeError(f"{parts.missing} of {len(wanted)} cells did not come back from training.")


class _Parts:
    """Collects records and writes a part to the spool when its last cell is there."""

    def __init__(self, task: Task, wanted: Iterable[RunSpec], *, failed: Collection[str]) -> None:
        wanted_ids = {cell.cell_id for cell in wanted}
        self._task = task
        self._records: dict[int, list[RunRecord]] = {part: [] for part in task.parts}
        self._left = {part: {c.cell_id for c in cells} & wanted_ids for part, cells in task.parts.items()}
        # An earlier attempt may have delivered the failures under the part's own key, which is taken in only once.
        self._tried_again = {part for part, cells in self._left.items() if not cells.isdisjoint(failed)}
        self._part_of = {cell_id: part for part, cells in self._left.items() for cell_id in cells}

    @property
    def missing(self) -> int:
        """Cells that have not come yet."""
        return sum(len(cells) for cells in self._left.values())

    def take(self, records: Iterable[RunRecord]) -> None:
        for record in records:
            part = self._part_of[record.spec.cell_id]
            self._records[part].append(record)
            self._left[part].discard(record.spec.cell_id)
            if not self._left[part]:
                self._write(part, own_key=part in self._tried_again)

    def keep_unfinished(self) -> None:
        """Write what is there of unfinished parts, under a key of this attempt; the next one trains the rest."""
        for part, records in list(self._records.items()):
            if records:
                self._write(part, own_key=True)

    def _write(self, part: int, *, own_key: bool) -> None:
        """Write a part under its key, or under one of this attempt alone."""
        key = batch_id(self._task.job_id, part) + (f".a{self._task.attempt}" if own_key else "")
        records = self._records.pop(part)
        axis = catalog.problem(records[0].spec.problem).axis.name
        spool.write_runs(records, paths.spool_new(), batch_id=key, axis=axis)
