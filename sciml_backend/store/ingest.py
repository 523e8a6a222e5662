"""From batches to the index, each batch exactly once.

A group of batches enters in one transaction together with its lines in ``ingest_log``; a file leaves ``new/`` only
after the commit. Killed before the commit, the group is taken in again; killed after it, the log says that it is in.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sciml_backend import paths
from sciml_backend.run import BadRequest
from sciml_backend.store.batch import ARTIFACTS, RUNS, WITHDRAWALS, Header, read_header, remember_headers
from sciml_backend.store.check import check_batch
from sciml_backend.store.insert import forget_cells, insert_incoming, offer_files
from sciml_backend.store.spool import FILE_LIMIT, batch_files, locate, log_name, sweep_drafts

logger = logging.getLogger(__name__)

GROUP_BYTES = 64 * FILE_LIMIT
"""Bytes of batches per transaction: a commit waits for the disk, so few large ones are faster than many small ones."""

Rejection = tuple[Path, str]


@dataclass(frozen=True)
class Report:
    """What one round of ingest did: batches stored, dropped as repetitions, put into quarantine."""

    batches: int = 0
    repeated: int = 0
    quarantined: int = 0

    def __add__(self, other: Report) -> Report:
        return Report(
            self.batches + other.batches, self.repeated + other.repeated, self.quarantined + other.quarantined
        )


@dataclass(frozen=True)
class Delivery:
    """A batch file whose header was read; ``file`` is its name in ``ingest_log``, wherever it moves."""

    path: Path
    file: str
    header: Header


def take_in(cursor: duckdb.DuckDBPyConnection, *, everything: bool = False) -> Report:
    """Store what is new in the shipped results and in the spool; with ``everything`` also what the index lost."""
    if everything:
        sweep_drafts(paths.spool_new())
        # A shipped file may have been mended since, and the one that a file repeats may be gone.
        cursor.execute("DELETE FROM quarantine WHERE file LIKE 'results/%'")
        cursor.execute("DELETE FROM repetition")
    known = "SELECT file FROM ingest_log UNION SELECT file FROM quarantine UNION SELECT file FROM repetition"
    settled = {file for (file,) in cursor.execute(known).fetchall()}
    kept = [*batch_files(paths.results()), *(_batches_in(paths.spool_done()) if everything else ())]
    fresh = [path for path in kept if log_name(path) not in settled] + _batches_in(paths.spool_new())
    if everything:
        _read_footers(cursor, [path for path in fresh if path.parent == paths.spool_done()])
    fresh.sort(key=arrival)
    return sum((_take_in_group(cursor, group) for group in _groups(fresh)), Report())


def holds_removed(cursor: duckdb.DuckDBPyConnection) -> bool:
    """Whether the index has shipped batches whose files are gone: newer results may have replaced them."""
    logged = cursor.execute("SELECT DISTINCT file FROM ingest_log WHERE file LIKE 'results/%'").fetchall()
    return not {log_name(path) for path in batch_files(paths.results())}.issuperset(file for (file,) in logged)


def _read_footers(cursor: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    """Read the headers of files that were checked before they came to ``done/``, all at once: a rebuild needs each."""
    if not files:
        return
    query = "SELECT file_name, value FROM parquet_kv_metadata($files) WHERE key = 'atlas'"
    with contextlib.suppress(duckdb.Error):  # one that is damaged now is found when it is read by itself
        found = cursor.execute(query, {"files": [str(path) for path in files]}).fetchall()
        remember_headers({Path(name): text for name, text in found})


def load_in_place(cursor: duckdb.DuckDBPyConnection, name: str | None) -> None:
    """Store every batch there is (of one map's runs) in an index in memory; no file is touched.

    Unreadable files are left out and named in the table ``quarantine``.
    """
    deliveries, rejected = _read(sorted(_all_files(), key=arrival), read_header)
    first_of_each = {d.header.batch_id: d for d in reversed(deliveries)}
    _, unreadable = _store_or_reject(cursor, [*first_of_each.values()][::-1], name)
    for path, reason in rejected + unreadable:
        _log_rejection(cursor, path, reason)


def reached(point: str) -> None:
    """A named point of the protocol: tests stop the process here."""


def _groups(files: Iterable[Path]) -> Iterator[list[Path]]:
    group: list[Path] = []
    weight = 0
    for path in files:
        size = path.stat().st_size if path.exists() else 0
        if group and weight + size > GROUP_BYTES:
            yield group
            group, weight = [], 0
        group.append(path)
        weight += size
    if group:
        yield group


def _take_in_group(cursor: duckdb.DuckDBPyConnection, group: Sequence[Path]) -> Report:
    deliveries, rejected = _read(group, _check_once)
    new, repeated, conflicting = _sorted_out(cursor, deliveries)
    stored, unreadable = _store_or_reject(cursor, new, None)
    for delivery in stored:
        _move_from_new(delivery.path, paths.spool_done())
    reached("after rename")
    for delivery in repeated:
        _settle_repetition(cursor, delivery)
    rejected += conflicting + unreadable
    for path, reason in rejected:
        _quarantine(cursor, path, reason)
    return Report(len(stored), len(repeated), len(rejected))


def _read(files: Iterable[Path], check: Callable[[Path], Header]) -> tuple[list[Delivery], list[Rejection]]:
    deliveries, rejected = [], []
    for path in files:
        try:
            deliveries.append(Delivery(path, log_name(path), _following(path, check)))
        except BadRequest as problem:
            rejected.append((path, str(problem)))
    return deliveries, rejected


def _check_once(path: Path) -> Header:
    """Check a batch unless it was checked before it came to ``done/``."""
    return read_header(path) if path.parent == paths.spool_done() else check_batch(path)


def _following(path: Path, check: Callable[[Path], Header]) -> Header:
    """Check a file that the owner of the spool may be moving to ``done/`` meanwhile."""
    try:
        return check(path)
    except BadRequest:
        moved = paths.spool_done() / path.name
        if path.exists() or not moved.exists():
            raise
        return check(moved)


def _sorted_out(
    cursor: duckdb.DuckDBPyConnection, deliveries: Iterable[Delivery]
) -> tuple[list[Delivery], list[Delivery], list[Rejection]]:
    """Those to store, those stored already, and those that use a stored batch's identity for other cells."""
    known: dict[str, str] = dict(cursor.execute("SELECT batch_id, cells FROM ingest_log").fetchall())
    new, repeated, conflicting = [], [], []
    for delivery in deliveries:
        batch_id = delivery.header.batch_id
        if batch_id not in known:
            new.append(delivery)
        elif known[batch_id] == delivery.header.cells_digest:
            repeated.append(delivery)
        else:
            reason = f"{delivery.path.name} was not stored: batch {batch_id} was stored before with other cells."
            conflicting.append((delivery.path, reason))
        known.setdefault(batch_id, delivery.header.cells_digest)
        for member in delivery.header.members:
            known.setdefault(member.batch_id, member.cells)
    return new, repeated, conflicting


def _store_or_reject(
    cursor: duckdb.DuckDBPyConnection, deliveries: Sequence[Delivery], name: str | None
) -> tuple[list[Delivery], list[Rejection]]:
    """Store all together, or one by one when the database cannot read some of them."""
    if not deliveries:
        return [], []
    try:
        _store(cursor, deliveries, name)
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConversionException) as error:
        if len(deliveries) > 1:
            parts = [_store_or_reject(cursor, [replace(d, path=locate(d.file))], name) for d in deliveries]
            return [d for stored, _ in parts for d in stored], [r for _, rejected in parts for r in rejected]
        path = deliveries[0].path
        if isinstance(error, duckdb.IOException) and _readable(path):
            raise  # the fault is not the file's
        return [], [(path, f"{path.name} was not stored: the database cannot read it ({str(error)[:160]}).")]
    return list(deliveries), []


def _store(cursor: duckdb.DuckDBPyConnection, deliveries: Sequence[Delivery], name: str | None) -> None:
    """One transaction: the log's lines and the batches' rows."""
    reached("before begin")
    cursor.execute("BEGIN")
    try:
        log(cursor, deliveries)
        reached("after log")
        for kind in (WITHDRAWALS, RUNS, ARTIFACTS):
            if batches := [d for d in deliveries if d.header.kind == kind]:
                _insert(cursor, batches, kind=kind, name=name)
                if kind == WITHDRAWALS:
                    _judge_again(cursor, batches, arriving=deliveries)
        reached("after rows")
        cursor.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(duckdb.Error):
            cursor.execute("ROLLBACK")
        raise
    reached("after commit")


def _insert(
    cursor: duckdb.DuckDBPyConnection,
    batches: Sequence[Delivery],
    *,
    kind: str,
    name: str | None = None,
    cells: Sequence[str] = (),
) -> None:
    files, batch_ids = [str(d.path) for d in batches], [d.header.batch_id for d in batches]
    offer_files(cursor, files, batch_ids=batch_ids, kind=kind, name=name, cells=cells)
    insert_incoming(cursor, kind=kind)


def _judge_again(
    cursor: duckdb.DuckDBPyConnection, withdrawals: Sequence[Delivery], *, arriving: Sequence[Delivery]
) -> None:
    """Take what is stored of the withdrawn cells from its files once more: another of their runs may count now."""
    cells = sorted({cell for delivery in withdrawals for cell in delivery.header.cells})
    logged = "SELECT DISTINCT file FROM ingest_log WHERE kind IN (?, ?) AND batch_id NOT IN (SELECT unnest(?))"
    known = [RUNS, ARTIFACTS, [d.header.batch_id for d in arriving]]
    paths_there = [p for (file,) in cursor.execute(logged, known).fetchall() if (p := _place(file)) is not None]
    deliveries, _ = _read(sorted(paths_there, key=arrival), read_header)
    concerned = [d for d in deliveries if not set(cells).isdisjoint(d.header.cells) and _readable(d.path)]
    forget_cells(cursor, cells)
    for kind in (RUNS, ARTIFACTS):
        if batches := [d for d in concerned if d.header.kind == kind]:
            _insert(cursor, batches, kind=kind, cells=cells)


def _readable(path: Path) -> bool:
    try:
        pq.read_table(path)
    except (pa.ArrowException, OSError):
        return False
    return True


def log(cursor: duckdb.DuckDBPyConnection, deliveries: Sequence[Delivery]) -> None:
    """Remember the batches and, of each that others were merged into, that these are in its file now."""
    lines = [(d.header.batch_id, d.header.kind, d.file, d.header.cells_digest, len(d.header.cells)) for d in deliveries]
    _insert_lines(cursor, lines)
    members = {
        m.batch_id: (m.batch_id, d.header.kind, d.file, m.cells, m.n_rows) for d in deliveries for m in d.header.members
    }
    if members:
        cursor.execute("DELETE FROM ingest_log WHERE batch_id IN (SELECT unnest(?))", [list(members)])
        _insert_lines(cursor, list(members.values()))


def _insert_lines(cursor: duckdb.DuckDBPyConnection, lines: Sequence[tuple[object, ...]]) -> None:
    columns = [list(column) for column in zip(*lines, strict=True)]
    values = ", ".join("unnest(?)" for _ in columns)  # one statement: many are slow, and a rebuild logs every batch
    cursor.execute(f"INSERT INTO ingest_log SELECT {values}, now()::TIMESTAMP", columns)


def _settle_repetition(cursor: duckdb.DuckDBPyConnection, delivery: Delivery) -> None:
    """Drop a repeated batch, unless it is the stored file itself or that one is gone: then this one is kept for it."""
    batch_id = delivery.header.batch_id
    stored = cursor.execute("SELECT file FROM ingest_log WHERE batch_id = ?", [batch_id]).fetchone()
    if stored is None:  # the file it repeats was rejected just now: the next round stores this one
        return
    if stored[0] == delivery.file or _place(stored[0]) is None:
        _move_from_new(delivery.path, paths.spool_done())
        cursor.execute("UPDATE ingest_log SET file = ? WHERE batch_id = ?", [delivery.file, batch_id])
    elif delivery.path.parent == paths.spool_new():
        delivery.path.unlink(missing_ok=True)
    else:
        cursor.execute("INSERT INTO repetition VALUES (?)", [delivery.file])


def _place(file: str) -> Path | None:
    """Where a logged file is, or None when it is gone."""
    try:
        return locate(file)
    except BadRequest:
        return None


def _quarantine(cursor: duckdb.DuckDBPyConnection, path: Path, reason: str) -> None:
    _log_rejection(cursor, path, reason)
    if path.parent in (paths.spool_new(), paths.spool_done()):
        _move(path, paths.spool_quarantine())


def _log_rejection(cursor: duckdb.DuckDBPyConnection, path: Path, reason: str) -> None:
    logger.warning("A batch was refused: %s", reason)
    cursor.execute("INSERT INTO quarantine VALUES (?, ?, now()::TIMESTAMP)", [log_name(path), reason])


def _move_from_new(path: Path, folder: Path) -> None:
    if path.parent == paths.spool_new():
        _move(path, folder)


def _move(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path.rename(folder / path.name)


def _batches_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def _all_files() -> list[Path]:
    # new/ is listed before done/: a file on the move is then seen at least once
    new, done = _batches_in(paths.spool_new()), _batches_in(paths.spool_done())
    moved = {path.name for path in done}
    return [*batch_files(paths.results()), *done, *(path for path in new if path.name not in moved)]


def arrival(path: Path) -> tuple[bool, bool, str, str]:
    """Shipped results first, then by the time of writing: the order decides which of two runs of a cell stays.

    Withdrawals come before all, so that a rebuild has nothing to judge again.
    """
    try:
        header = _following(path, read_header)
        kind, written_at = header.kind, header.written_at
    except BadRequest:
        kind, written_at = "", ""
    name = log_name(path)
    return kind != WITHDRAWALS, name.startswith("spool/"), written_at, name
