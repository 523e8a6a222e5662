"""Fewer, larger files: small batches of a folder written anew as batches of up to 2 MiB.

Runs of one seed start from the same weights, which a file keeps once; so compacted sweeps are also about half as large.

``python -m sciml_backend.store.compact FOLDER``
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Container
from pathlib import Path
from typing import Any

from sciml_backend.run import BadRequest
from sciml_backend.store.batch import ARTIFACTS, RUNS, SCHEMAS, WITHDRAWALS, read_columns
from sciml_backend.store.check import check_batch
from sciml_backend.store.spool import batch_files, withdrawn, write_rows


def compact(folder: Path) -> tuple[int, int]:
    """Rewrite the batches that lie in a folder itself, and give back the numbers of files before and after.

    Every file is checked first; BadRequest when one is not a valid batch, and then nothing is changed. Stopped halfway,
    some cells are in two files, which readers allow. Nothing may be writing to the folder meanwhile. Withdrawals and
    what the owner of a spool merged stay as they are, and so do all runs of a cell that was withdrawn.
    """
    headers = {path: check_batch(path) for path in batch_files(folder) if path.parent == folder}
    old = [path for path, header in headers.items() if header.kind != WITHDRAWALS and not header.members]
    old.sort(key=lambda path: headers[path].written_at)
    several = withdrawn(folder)
    new: list[Path] = []
    for kind in (RUNS, ARTIFACTS):
        rows = [row for path in old if headers[path].kind == kind for row in _rows(path, kind)]
        distinct = {_key(row, several): row for row in _failures_last(rows)[::-1]}
        ordered = sorted(distinct.values(), key=_order)
        new += write_rows(kind, ordered, folder, batch_id=_identity(kind, ordered))
    for path in set(old) - set(new):
        path.unlink()
    return len(old), len(new)


def _key(row: dict[str, Any], several: Container[str]) -> tuple[Any, ...]:
    cell = row["cell_id"]
    return cell, row.get("request_key"), row["finished_at"] if cell in several else ""


def _rows(path: Path, kind: str) -> list[dict[str, Any]]:
    return read_columns(path, SCHEMAS[kind].names)


def _identity(kind: str, rows: list[dict[str, Any]]) -> str:
    """The batch's name, made of what its rows are of: runs and diagnostics of the same cells have two."""
    lines = "\n".join([kind, *(f"{row['cell_id']} {row.get('request_key', '')}" for row in rows)])
    return f"compact-{hashlib.sha256(lines.encode()).hexdigest()[:16]}"


def _failures_last(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first run of a cell counts, unless it failed and a later one did not."""
    return sorted(rows, key=lambda row: row.get("status") == "failed")


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    return row.get("map", ""), row.get("x", 0.0), row.get("y", 0.0), row.get("seed", 0), row["cell_id"]


if __name__ == "__main__":
    try:
        print("{} files before, {} after".format(*compact(Path(sys.argv[1]))))
    except (BadRequest, IndexError) as problem:
        sys.exit(str(problem) if isinstance(problem, BadRequest) else __doc__)
