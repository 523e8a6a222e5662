"""Fewer, larger files in the spool's ``done/`` while its owner works.

A merged batch has the rows of its members, every one and in their order, and names the members in its header: so a
late delivery of a member is still a repetition after a rebuild. Members are neighbours in the order of arrival, so it
changes for no pair of batches. They are removed by a later round only: who listed the folder before the merge still
finds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sciml_backend import paths
from sciml_backend.run import BadRequest
from sciml_backend.store import ingest
from sciml_backend.store.batch import ARTIFACTS, RUNS, SCHEMAS, Header, Member, read_header
from sciml_backend.store.check import check_bytes
from sciml_backend.store.spool import FILE_LIMIT, locate, log_name, publish, serialise

MERGED_LIMIT = 4 * FILE_LIMIT
"""Bytes of members that go into one file."""

SMALL = FILE_LIMIT // 2
"""Bytes below which a file is worth merging."""

FEWEST = 8
"""Neighbours below which merging is not worth a new file."""

AGE, GRACE = 24 * 3600.0, 3600.0
"""Seconds in the index before a batch is merged, and before the merged one's members are removed."""

STRETCHES = 8
"""Files written in one round, which others wait for."""


@dataclass(frozen=True)
class Tidied:
    """What one round did: files merged, files written for them, merged files removed."""

    merged: int = 0
    written: int = 0
    removed: int = 0


def tidy(cursor: duckdb.DuckDBPyConnection) -> Tidied:
    """Merge what is small and old, after removing what an earlier round merged; for the owner of the index alone."""
    removed = _remove_merged(cursor)
    stretches = [s for kind in (RUNS, ARTIFACTS) for s in islice(_stretches(cursor, kind), STRETCHES)]
    for stretch in stretches:
        _merge(cursor, stretch)
    return Tidied(sum(map(len, stretches)), len(stretches), removed)


def _stretches(cursor: duckdb.DuckDBPyConnection, kind: str) -> Iterator[list[Path]]:
    """Neighbours in the order of arrival that together fit into one file."""
    logged = _logged_for(cursor, AGE)
    stretch: list[Path] = []
    weight = 0
    for path in [*sorted(_of_kind(kind), key=ingest.arrival), None]:
        size = path.stat().st_size if path is not None and _may_merge(path, logged) else None
        if size is None or weight + size > MERGED_LIMIT:
            if len(stretch) >= FEWEST:
                yield stretch
            stretch, weight = [], 0
        if path is not None and size is not None:
            stretch.append(path)
            weight += size


def _of_kind(kind: str) -> Iterator[Path]:
    for path in paths.spool_done().glob("*.parquet"):
        try:
            if read_header(path).kind == kind:
                yield path
        except BadRequest:  # damaged since it was taken in: it stays for a look
            continue


def _may_merge(path: Path, logged: set[str]) -> bool:
    return log_name(path) in logged and path.stat().st_size < SMALL and _is_whole(path)


def _logged_for(cursor: duckdb.DuckDBPyConnection, seconds: float) -> set[str]:
    """Files that have been in the index that long; a file's own times change with every link to it."""
    asked = "SELECT file FROM ingest_log GROUP BY file HAVING max(ingested_at) <= now()::TIMESTAMP - to_seconds(?)"
    return {file for (file,) in cursor.execute(asked, [seconds]).fetchall()}


def _is_whole(path: Path) -> bool:
    try:
        check_bytes(path)
    except (BadRequest, OSError):
        return False
    return True


def _merge(cursor: duckdb.DuckDBPyConnection, stretch: list[Path]) -> None:
    headers = [read_header(path) for path in stretch]
    kind = headers[0].kind
    table = pa.concat_tables([_rows(path, kind) for path in stretch])
    ids = "\n".join(header.batch_id for header in headers)
    header = Header(
        kind=kind,
        batch_id=f"merge-{hashlib.sha256(ids.encode()).hexdigest()[:32]}",
        written_at=headers[0].written_at,
        cells=[cell for header in headers for cell in header.cells],
        members=[member for header in headers for member in (*header.members, _as_member(header))],
    )
    path = publish(serialise(header, table), paths.spool_done(), batch_id=header.batch_id)
    ingest.reached("after merge written")
    if not _rows(path, kind).equals(table):
        path.unlink()
        raise RuntimeError(f"{path.name} does not read back as it was written; nothing was merged.")
    cursor.execute("BEGIN")
    try:
        ingest.log(cursor, [ingest.Delivery(path, log_name(path), header)])
        cursor.execute("COMMIT")
    except BaseException:
        cursor.execute("ROLLBACK")
        raise
    ingest.reached("after merge logged")


def _rows(path: Path, kind: str) -> pa.Table:
    return pq.read_table(path, columns=SCHEMAS[kind].names).replace_schema_metadata(None)


def _as_member(header: Header) -> Member:
    return Member(header.batch_id, header.cells_digest, len(header.cells))


def _remove_merged(cursor: duckdb.DuckDBPyConnection) -> int:
    """Remove files whose batch is in a merged file that is whole and has been there long enough."""
    logged: dict[str, str] = dict(cursor.execute("SELECT batch_id, file FROM ingest_log").fetchall())
    kept = set(logged.values())
    settled = _logged_for(cursor, GRACE)
    whole: dict[Path, bool] = {}
    removed = 0
    for path in [path for kind in (RUNS, ARTIFACTS) for path in _of_kind(kind)]:
        header = read_header(path)
        if log_name(path) in kept or logged.get(header.batch_id) not in settled:
            continue
        try:
            merged = locate(logged[header.batch_id])
            holds_it = _as_member(header) in read_header(merged).members
        except BadRequest:
            continue
        if merged not in whole:
            whole[merged] = _is_whole(merged)
        if holds_it and whole[merged]:
            path.unlink()
            cursor.execute("DELETE FROM repetition WHERE file = ?", [log_name(path)])
            removed += 1
    return removed
