"""Withdraw a run: it stays on record, with the reason and a name, and counts nowhere.

A withdrawal is a batch of its own kind, so it is taken in once and outlives the index. It concerns what finished until
then: the cell is missing, can be trained again, and a run that finishes later counts.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sciml_backend import paths
from sciml_backend.run import BadRequest
from sciml_backend.store.batch import WITHDRAWALS
from sciml_backend.store.spool import finish_times, require_space, withdrawn, write_rows


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """A cell whose runs of until ``withdrawn_at`` (UTC, ISO 8601, to the second) do not count, why, and who says so."""

    cell_id: str
    reason: str
    withdrawn_by: str
    withdrawn_at: str


def withdraw(cell_id: str, *, reason: str, by: str) -> Withdrawal:
    """Withdraw the stored run of a cell; the owner of the index takes it in with the next batches.

    Raises BadRequest, and then nothing has changed, when no run of the cell is stored or all are withdrawn, and when
    the reason or the name is empty.
    """
    if not reason.strip() or not by.strip():
        raise BadRequest("A withdrawal needs a reason and a name; say why, and who says so.")
    cell = _canonical(cell_id)
    times = finish_times(cell)
    if not times:
        raise BadRequest(f"No run of cell {cell} is stored; check the cell_id.")
    last, withdrawn_until = max(times), withdrawn().get(cell)
    if withdrawn_until is not None and last <= withdrawn_until:
        raise BadRequest(f"The run of cell {cell} was withdrawn already ({withdrawn_until}); nothing was changed.")
    # The clock that dated the run may be ahead of this one.
    moment = max(datetime.now(UTC).isoformat(timespec="seconds"), last)
    found = Withdrawal(cell_id=cell, reason=reason.strip(), withdrawn_by=by.strip(), withdrawn_at=moment)
    require_space(paths.made(paths.spool_new()))
    write_rows(WITHDRAWALS, [asdict(found)], paths.spool_new(), batch_id=f"withdraw-{uuid.uuid4().hex}")
    return found


def _canonical(cell_id: str) -> str:
    try:
        return str(uuid.UUID(cell_id))
    except ValueError:
        raise BadRequest(f"A cell_id is a UUID, got {cell_id!r}.") from None
