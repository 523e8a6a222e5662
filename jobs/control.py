"""The control store: jobs, their cells, claims and events in one SQLite file (WAL, synchronous=FULL).

Every change of state is a compare-and-set on (job_id, state, attempt) and leaves an event row in the same
transaction; whoever acts on a stale view changes nothing. A connection lives as long as one operation, so that any
thread and any process may call.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.engine import Need
from jobs.job import ACTIVE, ENDED, ON_A_WORKER, TRANSITIONS, JobInfo, State, Usage, new_job_id
from jobs.parts import cut
from sciml_backend import paths
from sciml_backend.run import BadRequest, RunSpec

MIGRATIONS = sorted(Path(__file__).with_name("migrations").glob("*.sql"))
"""What leads from each version of the schema to the next; the version is how many of them were carried out."""

SCHEMA_VERSION = len(MIGRATIONS)
BUSY_SECONDS = 10.0

Value = str | int | float | None


def now() -> str:
    """UTC in ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


_OUT_OF_REACH = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_READONLY,
}  # fmt: skip
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What the dispatcher knows of a job: ``state`` and ``attempt`` are the expectation of its next transition."""

    job_id: str
    kind: str
    state: State
    attempt: int
    failures: int
    max_attempts: int
    claims_cells: bool
    spec: Mapping[str, Any]
    shrink: int
    seconds: float
    gpu: float
    device: str
    not_before: float | None

    @property
    def engine_key(self) -> str:
        """The name under which the engine runs this attempt."""
        return f"{self.job_id}.{self.attempt}"

    @property
    def need(self) -> Need:
        """What an attempt needs of the engine."""
        device = str(self.spec.get("device", "cpu"))
        return Need(device=device, share=self.gpu) if device.startswith("cuda") else Need(device=device)

    @property
    def place(self) -> str:
        """The device its attempt runs on, without the name of the machine."""
        return self.device.partition(" ")[0] or "cpu"

    def now(self, state: State) -> Ticket:
        """The same attempt after a transition."""
        return replace(self, state=state)


class ControlStore:
    """The queue's memory in ``path``; made on first use.

    Every operation raises BadRequest when the file cannot be used: its disk is full, it is locked or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = threading.local()

    # --- connections -------------------------------------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep one connection for all that this thread asks meanwhile: to open one takes longer than most questions.

        SQLite's files beside the store stay as long, so that a full disk stops no reader.
        """
        with self._explained(), closing(self._connect()) as self._held.db:
            try:
                yield
            finally:
                del self._held.db

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            if (held := getattr(self._held, "db", None)) is not None:
                yield held
                return
            with closing(self._connect()) as db:
                yield db

    def _connect(self) -> sqlite3.Connection:
        paths.made(self.path.parent)
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA synchronous = FULL")
            if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                self._migrate(db)
        except BaseException:
            db.close()
            raise
        return db

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in a sentence what keeps us from the file; an error in our own SQL stays what it is."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if primary in _DAMAGED:
                remedy = "stop the server, then put a backup back with `python -m sciml_backend backup --restore`."
            elif primary in _OUT_OF_REACH:
                remedy = "see that its disk has room and that this user may write there."
            else:
                raise
            raise BadRequest(f"Job control in {self.path} cannot be used ({error}); {remedy}") from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._open() as db, _immediate(db):
            yield db

    def _migrate(self, db: sqlite3.Connection) -> None:
        _write_ahead(db)
        with _immediate(db):
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise BadRequest(
                    f"{self.path} was written by a newer version (schema {version}, this one knows {SCHEMA_VERSION}); "
                    "update this installation or name another folder in ATLAS_DATA."
                )
            for migration in MIGRATIONS[version:]:
                for statement in migration.read_text().split(";\n"):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    # --- asking ------------------------------------------------------------------------------------------------------

    def jobs(self, *, limit: int = 100) -> list[JobInfo]:
        """Active jobs first, then the newest."""
        # In two halves: each stops as soon as it has enough, however long the history is.
        half = "SELECT * FROM (SELECT * FROM job WHERE {} IN ({}) ORDER BY job_id DESC LIMIT ?)"
        halves = half.format("state", _marks(ACTIVE)), half.format("+state", _marks(ENDED))
        asked = (*ACTIVE, limit, *ENDED, limit, limit)
        with self._open() as db:
            return [_info(row) for row in db.execute(f"{' UNION ALL '.join(halves)} LIMIT ?", asked)]

    def in_service_order(self, states: Sequence[State], *, limit: int) -> list[JobInfo]:
        """Jobs in these states, state by state, each in the order in which the dispatcher serves them."""
        order = f"CASE state {' '.join('WHEN ? THEN ?' for _ in states)} END, priority DESC, job_id LIMIT ?"
        ranks = [value for pair in zip(states, range(len(states)), strict=True) for value in pair]
        query = f"SELECT * FROM job WHERE state IN ({_marks(states)}) ORDER BY {order}"
        with self._open() as db:
            return [_info(row) for row in db.execute(query, (*states, *ranks, limit))]

    def ended(self, *, states: Sequence[State], requested_by: str | None, limit: int) -> list[JobInfo]:
        """Jobs that ended in one of these states, the last one first; of one person where one is named."""
        whose, who = ("", ()) if requested_by is None else ("AND requested_by = ?", (requested_by,))
        # The plus keeps SQLite on the index of ends: that of states would have it sort the whole history.
        query = f"SELECT * FROM job WHERE finished_at > '' AND +state IN ({_marks(states)}) {whose}"
        with self._open() as db:
            found = db.execute(f"{query} ORDER BY finished_at DESC LIMIT ?", (*states, *who, limit))
            return [_info(row) for row in found]

    def ended_since(self, event: int, *, limit: int) -> list[JobInfo]:
        """Jobs whose end came after this event and still stands, the last one first."""
        ends = f"SELECT job_id FROM job_event WHERE seq > ? AND to_state IN ({_marks(ENDED)})"
        query = f"SELECT * FROM job WHERE job_id IN ({ends}) AND finished_at > '' ORDER BY +finished_at DESC LIMIT ?"
        with self._open() as db:
            return [_info(row) for row in db.execute(query, (event, *ENDED, limit))]

    def last_event(self) -> int:
        """The number of the last transition: while it stays, no job was queued, moved or given another priority."""
        with self._open() as db:
            return int(db.execute("SELECT ifnull(max(seq), 0) FROM job_event").fetchone()[0])

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state that occurs."""
        with self._open() as db:
            return {State(state): n for state, n in db.execute("SELECT state, count(*) FROM job GROUP BY state")}

    def usage(self) -> list[Usage]:
        """What the jobs of each person took on each kind of device, the greatest first."""
        asked = "ifnull(json_extract(spec_json, '$.device'), 'cpu')"
        device = f"substr({asked}, 1, instr({asked} || ':', ':') - 1)"
        runs = "sum(iif(kind = 'diagnose', 0, n_done))"
        found = f"SELECT requested_by, {device}, count(*), {runs}, sum(seconds) FROM job"
        query = f"{found} GROUP BY 1, 2 ORDER BY 5 DESC, 1, 2"
        with self._open() as db:
            return [Usage(*row) for row in db.execute(query)]

    def job(self, job_id: str) -> JobInfo:
        """One job; raises BadRequest when there is none."""
        with self._open() as db:
            return _info(_row(db, job_id))

    def events(self, job_id: str) -> list[Mapping[str, Any]]:
        """The job's transitions, oldest first."""
        with self._open() as db:
            return [dict(row) for row in db.execute("SELECT * FROM job_event WHERE job_id = ? ORDER BY seq", (job_id,))]

    def claims(self) -> dict[str, str]:
        """The job that holds each claimed cell, by cell_id."""
        with self._open() as db:
            return dict(tuple(row) for row in db.execute("SELECT cell_id, job_id FROM cell_claim"))

    def parts(self, job_id: str) -> dict[int, list[RunSpec]]:
        """The job's cells, by part."""
        parts: dict[int, list[RunSpec]] = {}
        with self._open() as db:
            for part, spec in db.execute("SELECT part, spec FROM job_cell WHERE job_id = ? ORDER BY part", (job_id,)):
                parts.setdefault(part, []).append(RunSpec.from_json(json.loads(spec)))
        return parts

    def cell_ids(self, job_id: str) -> list[str]:
        """The job's cells."""
        with self._open() as db:
            return [row[0] for row in db.execute("SELECT cell_id FROM job_cell WHERE job_id = ?", (job_id,))]

    def tickets(self, states: Sequence[State], *, on_gpu: bool | None = None, limit: int = -1) -> list[Ticket]:
        """Jobs in these states (that need a GPU, or none) as the dispatcher serves them: by priority, then by age."""
        which = f"state IN ({_marks(states)}) AND ifnull(? = (gpu > 0), 1)"
        query = f"SELECT * FROM job WHERE {which} ORDER BY priority DESC, job_id LIMIT ?"
        with self._open() as db:
            return [_ticket(row) for row in db.execute(query, (*states, on_gpu, limit))]

    # --- changing ----------------------------------------------------------------------------------------------------

    def submit(
        self,
        kind: str,
        cells: Sequence[RunSpec],
        *,
        spec: Mapping[str, Any],
        claim: bool,
        requested_by: str = "",
        priority: int = 0,
        max_attempts: int = 3,
        gpu: float = 0.0,
    ) -> JobInfo:
        """Queue a job for ``cells``; with ``claim`` only for those that no active job holds, which it then holds.

        ``gpu`` is the part of a GPU it takes. Raises BadRequest when no cell is left, or when the same request is
        active.
        """
        by_id = {cell.cell_id: cell for cell in cells}
        if not by_id:
            raise BadRequest("A job needs at least one cell, got none; choose cells that are missing.")
        with self._transaction() as db:
            if claim:
                by_id = _unclaimed(db, by_id)
            job_id, parts = new_job_id(), cut(by_id.values())
            spec_hash = _spec_hash(kind, spec, sorted(by_id))
            _refuse_twin(db, spec_hash)
            row = {
                "job_id": job_id, "kind": kind, "requested_by": requested_by, "spec_json": _text(spec),
                "spec_hash": spec_hash, "priority": priority, "max_attempts": max_attempts,
                "gpu": gpu, "claims_cells": claim, "state": State.QUEUED, "n_cells": len(by_id), "created_at": now(),
            }  # fmt: skip
            db.execute(f"INSERT INTO job ({', '.join(row)}) VALUES ({_marks(row)})", tuple(row.values()))
            db.executemany(
                "INSERT INTO job_cell VALUES (?, ?, ?, ?)",
                [(job_id, part, s.cell_id, _text(s.to_json())) for part, specs in enumerate(parts) for s in specs],
            )
            if claim:
                _claim(db, job_id)
            _event(db, job_id, 1, to=State.QUEUED, actor=requested_by or "queue")
            return _info(_row(db, job_id))

    def move(
        self,
        ticket: Ticket,
        to: State,
        *,
        actor: str,
        detail: str = "",
        changes: Mapping[str, Value] | None = None,
    ) -> bool:
        """One transition if the job is still in the ticket's state and attempt; False, and nothing done, if not."""
        if to not in TRANSITIONS[ticket.state]:
            raise ValueError(f"A job never goes from {ticket.state} to {to}.")
        with self._transaction() as db:
            return _move(db, ticket, to, actor=actor, detail=detail, changes=changes or {})

    def cancel(self, job_id: str, *, actor: str) -> JobInfo:
        """Stop a job: at once when it waits, else its worker is told; raises BadRequest when it has ended."""
        with self._transaction() as db:
            ticket = _ticket(_row(db, job_id))
            if not ticket.state.active:
                raise BadRequest(f"Job {job_id} has ended ({ticket.state}); there is nothing to cancel.")
            if ticket.state is not State.CANCELLING:
                running = ticket.state in ON_A_WORKER
                to = State.CANCELLING if running else State.CANCELLED
                _move(db, ticket, to, actor=actor, detail="cancelled", changes={})
            return _info(_row(db, job_id))

    def requeue(self, job_id: str, *, actor: str) -> JobInfo:
        """Queue a dead or cancelled job again; raises BadRequest when it is neither or its cells are held elsewhere."""
        with self._transaction() as db:
            row = _row(db, job_id)
            ticket = _ticket(row)
            if ticket.state not in (State.DEAD, State.CANCELLED):
                raise BadRequest(f"Job {job_id} is {ticket.state}; only a dead or cancelled job can be queued again.")
            _refuse_twin(db, row["spec_hash"])
            if ticket.claims_cells:
                _claim(db, job_id)
            changes = {"failures": 0, "error_class": None, "error_text": None, "finished_at": None, "shrink": 1}
            _move(db, ticket, State.QUEUED, actor=actor, detail="requeued", changes=changes)
            return _info(_row(db, job_id))

    def retry(self, job_id: str, *, actor: str) -> JobInfo:
        """Queue a job at once that waits for its next try; raises BadRequest when it does not."""
        with self._transaction() as db:
            ticket = _ticket(_row(db, job_id))
            if ticket.state is not State.RETRY_WAIT:
                raise BadRequest(f"Job {job_id} is {ticket.state}; only one that waits for its next try can skip that.")
            _move(db, ticket, State.QUEUED, actor=actor, detail="tried at once", changes={})
            return _info(_row(db, job_id))

    def prioritise(self, job_id: str, priority: int, *, actor: str) -> JobInfo:
        """Serve a job before all those of lower priority; raises BadRequest when it has ended."""
        with self._transaction() as db:
            row = _row(db, job_id)
            ticket = _ticket(row)
            if not ticket.state.active:
                raise BadRequest(f"Job {job_id} has ended ({ticket.state}); its priority means nothing any more.")
            if row["priority"] != priority:
                db.execute("UPDATE job SET priority = ? WHERE job_id = ?", (priority, job_id))
                detail = f"priority {row['priority']} → {priority}"
                _event(db, job_id, ticket.attempt, start=ticket.state, to=ticket.state, actor=actor, detail=detail)
            return _info(_row(db, job_id))

    def note_progress(self, ticket: Ticket, progress: Mapping[str, Any]) -> None:
        """Note how far a running attempt is; no transition."""
        n_done = progress.get("done")
        with self._transaction() as db:
            db.execute(
                "UPDATE job SET n_done = ifnull(?, n_done), progress_json = ? "
                f"WHERE job_id = ? AND attempt = ? AND state IN ({_marks(ON_A_WORKER)})",
                (n_done, _text(progress), ticket.job_id, ticket.attempt, *ON_A_WORKER),
            )

    def note(self, key: str, value: str) -> None:
        """Write a line of ``meta``."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def noted(self, key: str) -> str:
        """Read a line of ``meta``; empty when there is none."""
        with self._open() as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            return row[0] if row else ""


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; unlike any other statement SQLite refuses this at once when two do it together."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


@contextmanager
def _immediate(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite has rolled back by itself when the disk was full
            db.execute("ROLLBACK")
        raise


def _marks(values: Sequence[Any] | Mapping[str, Any]) -> str:
    return ", ".join("?" * len(values))


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)


def _spec_hash(kind: str, spec: Mapping[str, Any], cell_ids: Sequence[str]) -> str:
    return hashlib.sha256(_text({"kind": kind, "spec": spec, "cells": cell_ids}).encode()).hexdigest()


def _row(db: sqlite3.Connection, job_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("SELECT * FROM job WHERE job_id = ?", (job_id,)).fetchone()
    if row is None:
        raise BadRequest(f"There is no job {job_id!r}; `python -m jobs list` shows the jobs.")
    return row


def _info(row: sqlite3.Row) -> JobInfo:
    same = ("job_id", "kind", "attempt", "n_cells", "n_done", "created_at", "started_at", "finished_at",
            "requested_by", "priority", "error_class", "error_text", "device", "seconds", "not_before")  # fmt: skip
    return JobInfo(
        **{name: row[name] for name in same},
        state=State(row["state"]),
        spec=json.loads(row["spec_json"]),
        progress=json.loads(row["progress_json"]),
    )


def _ticket(row: sqlite3.Row) -> Ticket:
    same = ("job_id", "kind", "attempt", "failures", "max_attempts", "shrink", "seconds", "gpu", "device", "not_before")
    return Ticket(
        **{name: row[name] for name in same},
        state=State(row["state"]),
        claims_cells=bool(row["claims_cells"]),
        spec=json.loads(row["spec_json"]),
    )


def _event(
    db: sqlite3.Connection,
    job_id: str,
    attempt: int,
    *,
    to: State,
    actor: str,
    start: State | None = None,
    detail: str = "",
) -> None:
    db.execute(
        "INSERT INTO job_event (job_id, attempt, from_state, to_state, actor, ts, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (job_id, attempt, start, to, actor, now(), detail),
    )


def _move(
    db: sqlite3.Connection, ticket: Ticket, to: State, *, actor: str, detail: str, changes: Mapping[str, Value]
) -> bool:
    columns: dict[str, Value] = {**changes, "state": to}
    if to not in ON_A_WORKER:
        columns |= {"progress_json": "{}"}  # what its worker said last holds no longer, curves and all
    if to is State.QUEUED:
        columns |= {"attempt": ticket.attempt + 1}
    if not to.active:
        columns |= {"finished_at": now()}
    assignments = ", ".join(f"{name} = ?" for name in columns)
    done = db.execute(
        f"UPDATE job SET {assignments} WHERE job_id = ? AND state = ? AND attempt = ?",
        (*columns.values(), ticket.job_id, ticket.state, ticket.attempt),
    )
    if done.rowcount != 1:
        return False
    _event(db, ticket.job_id, ticket.attempt, to=to, actor=actor, start=ticket.state, detail=detail)
    if not to.active:
        db.execute("DELETE FROM cell_claim WHERE job_id = ?", (ticket.job_id,))
    return True


def _unclaimed(db: sqlite3.Connection, by_id: Mapping[str, RunSpec]) -> dict[str, RunSpec]:
    query = "SELECT cell_id, job_id FROM cell_claim WHERE cell_id IN (SELECT value FROM json_each(?))"
    claimed = dict(tuple(row) for row in db.execute(query, (json.dumps(list(by_id)),)))
    free = {cell_id: cell for cell_id, cell in by_id.items() if cell_id not in claimed}
    if not free:
        cells = "The cell is" if len(by_id) == 1 else f"All {len(by_id)} cells are"
        raise BadRequest(
            f"{cells} queued or running already, in job {_some(claimed.values())}; wait for it, or cancel it first."
        )
    return free


def _claim(db: sqlite3.Connection, job_id: str) -> None:
    query = "SELECT DISTINCT c.job_id FROM cell_claim c JOIN job_cell j USING (cell_id) WHERE j.job_id = ?"
    if holders := [row[0] for row in db.execute(query, (job_id,))]:
        raise BadRequest(f"Some of its cells are queued or running in job {_some(holders)}; wait for it to end.")
    db.execute("INSERT INTO cell_claim SELECT cell_id, job_id FROM job_cell WHERE job_id = ?", (job_id,))


def _refuse_twin(db: sqlite3.Connection, spec_hash: str) -> None:
    query = f"SELECT job_id, state FROM job WHERE spec_hash = ? AND state IN ({_marks(ACTIVE)})"
    if twin := db.execute(query, (spec_hash, *ACTIVE)).fetchone():
        raise BadRequest(f"The same request is {twin['state']} already, as job {twin['job_id']}.")


def _some(job_ids: Any) -> str:
    return ", ".join(sorted(set(job_ids))[:3])
