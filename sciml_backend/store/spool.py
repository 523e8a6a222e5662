"""Write and read batches: what the compute side knows of the store (Parquet only, no database).

A batch appears whole or not at all: it is written beside its place, flushed to disk, then renamed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sciml_backend import paths
from sciml_backend.run import PROTOCOL_VERSION, Artifact, BadRequest, NoSpace, RunRecord
from sciml_backend.store.batch import (
    ARTIFACTS,
    RUNS,
    SCHEMAS,
    WITHDRAWALS,
    Header,
    finished_cells,
    read_columns,
    read_header,
)

FILE_LIMIT = 2 * 2**20
"""Bytes a batch file may have, unless one row alone is larger."""

DRAFT_AGE = 3600.0
"""Seconds after which an unfinished draft is taken for a dead producer's."""

KEPT_FREE = 256
"""MiB that stay free on the disk of a spool where ``ATLAS_KEEP_FREE`` does not say how many."""


class Weights(NamedTuple):
    """A run's first and last weights, as little-endian bytes of ``dtype``; None where they were not kept."""

    initial: bytes | None
    final: bytes | None
    dtype: str


def write_runs(records: Sequence[RunRecord], folder: Path, *, batch_id: str, axis: str) -> list[Path]:
    """Write finished runs and give back the files, each at most 2 MiB.

    ``axis`` names the coefficient that is the map's x. More than one file is needed for about 45 float32 or 22 float64
    PINNs; then file k has the batch_id ``{batch_id}:{first}-{last}``, counting rows of ``records`` from 0.
    Raises BadRequest when a run lacks the coefficient or the disk is full.
    """
    return write_rows(RUNS, [_run_row(record, axis) for record in records], folder, batch_id=batch_id)


def write_artifacts(artifacts: Sequence[Artifact], folder: Path, *, batch_id: str) -> list[Path]:
    """Write what diagnostics found and give back the files, split as ``write_runs`` does; raises likewise."""
    return write_rows(ARTIFACTS, [_artifact_row(artifact) for artifact in artifacts], folder, batch_id=batch_id)


def write_rows(kind: str, rows: Sequence[dict[str, Any]], folder: Path, *, batch_id: str) -> list[Path]:
    """Write rows in the form of ``SCHEMAS[kind]`` and give back the files, split as ``write_runs`` does."""
    if not rows:
        return []
    parts = _parts(kind, rows, batch_id, 0, len(rows), len(rows))
    return [publish(payload, folder, batch_id=part) for part, payload in parts]


def batch_files(*folders: Path) -> Iterator[Path]:
    """Every batch file at any depth of the folders (default: shipped results, then the spool), sorted by path.

    A batch file among them stands for itself.
    """
    for folder in folders or everywhere():
        yield from (folder,) if folder.is_file() else sorted(folder.rglob("*.parquet"))


def log_name(path: Path) -> str:
    """The name under which the index knows a batch file, wherever it moves within the spool."""
    results = paths.results()
    return f"results/{path.relative_to(results)}" if path.is_relative_to(results) else f"spool/{path.name}"


def locate(file: str) -> Path:
    """Where the file with this ``log_name`` is now; raises BadRequest when it is gone."""
    place, _, rest = file.partition("/")
    homes = (paths.results(),) if place == "results" else (paths.spool_new(), paths.spool_done())
    for home in homes:
        if (home / rest).exists():
            return home / rest
    raise BadRequest(f"The results file {rest} is no longer in {homes[-1]}; put it back or restart the server.")


def existing_cells(*folders: Path) -> set[str]:
    """The cells that have a run in the folders' batches which neither failed nor was withdrawn.

    Unreadable files count as absent.
    """
    gone = withdrawn(*folders)
    cells: set[str] = set()
    for path, header in _headers(folders):
        if header.kind == RUNS and not cells.issuperset(header.cells):
            with contextlib.suppress(BadRequest):
                found = finished_cells(path)
                cells.update(cell for cell, finished_at in found.items() if _counts(cell, finished_at, gone))
    return cells


def failed_cells(*folders: Path) -> set[str]:
    """The cells of whose runs in the folders' batches every one failed or was withdrawn."""
    tried = {cell for _, header in _headers(folders) if header.kind == RUNS for cell in header.cells}
    return tried - existing_cells(*folders)


def withdrawn(*folders: Path) -> dict[str, str]:
    """The cells with a withdrawal in the folders' batches, the shipped results or the spool, and the time of the last.

    Runs and diagnostics that finished later count; the times are UTC texts of one form, so they compare as texts.
    """
    last: dict[str, str] = {}
    for path, header in _headers([*folders, *everywhere()]):
        if header.kind == WITHDRAWALS:
            with contextlib.suppress(pa.ArrowException, OSError):
                for row in read_columns(path, ["cell_id", "withdrawn_at"]):
                    last[row["cell_id"]] = max(last.get(row["cell_id"], ""), row["withdrawn_at"])
    return last


def finish_times(cell_id: str, *folders: Path) -> list[str]:
    """When the cell's runs in the folders' batches finished, withdrawn and failed ones included."""
    times: list[str] = []
    for path, header in _headers(folders):
        if header.kind == RUNS and cell_id in header.cells:
            with contextlib.suppress(pa.ArrowException, OSError):
                times += [row["finished_at"] or "" for row in read_columns(path, ["finished_at"], cell_id=cell_id)]
    return times


def read_weights(cell_id: str, *folders: Path, on_record: bool = False) -> Weights:
    """The weights of a cell's run, or ``on_record`` of a withdrawn one, from the first batch that kept them.

    Raises BadRequest when none did.
    """
    gone = withdrawn(*folders)
    for path, header in _headers(folders):
        if header.kind == RUNS and cell_id in header.cells:
            columns = ["theta_initial", "theta_final", "dtype", "finished_at"]
            for row in read_columns(path, columns, cell_id=cell_id):
                if row["theta_final"] is not None and _counts(cell_id, row["finished_at"], gone) is not on_record:
                    return Weights(row["theta_initial"], row["theta_final"], row["dtype"])
    if on_record:
        raise BadRequest(f"No withdrawn run of cell {cell_id} has weights.")
    raise BadRequest(f"No stored run of cell {cell_id} has weights; train it first.")


def read_artifact(cell_id: str, *folders: Path, request_key: str, on_record: bool = False) -> Artifact:
    """A cell's diagnostic, or ``on_record`` a withdrawn run's, arrays included, from the first batch that has it.

    Raises BadRequest when none has.
    """
    gone = withdrawn(*folders)
    for path, header in _headers(folders):
        if header.kind == ARTIFACTS and cell_id in header.cells:
            for row in read_columns(path, SCHEMAS[ARTIFACTS].names, cell_id=cell_id):
                counts = _counts(cell_id, row["finished_at"], gone)
                if row["request_key"] == request_key and counts is not on_record:
                    return _artifact(row)
    raise BadRequest(f"The diagnostic {request_key} of cell {cell_id} is in no results file; compute it again.")


def require_space(folder: Path) -> None:
    """Raise NoSpace when the folder's disk has fewer MiB free than ``ATLAS_KEEP_FREE`` says, 256 by default."""
    free, floor = shutil.disk_usage(folder).free, kept_free()
    if free < floor:
        raise NoSpace(
            f"The disk of {folder} has {free >> 20} MiB free and {floor >> 20} MiB must stay free; make room."
        )


def kept_free() -> int:
    """Bytes that stay free on the disk of a spool; raises BadRequest when ``ATLAS_KEEP_FREE`` is no number of MiB."""
    asked = os.environ.get("ATLAS_KEEP_FREE") or str(KEPT_FREE)
    if not re.fullmatch("[0-9]{1,9}", asked):
        raise BadRequest(f"ATLAS_KEEP_FREE is a whole number of MiB that stay free on the disk; got {asked!r}.")
    return int(asked) << 20


def publish(payload: bytes, folder: Path, *, batch_id: str) -> Path:
    """Put a batch's bytes into a folder under a name made of its identity and its content; whole or not at all.

    Raises NoSpace when the disk is full.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", batch_id)[:120]
    target = folder / f"{stem}~{hashlib.sha256(payload).hexdigest()[:16]}.parquet"
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_flushed(draft, payload)
        draft.replace(target)
        flush_folder(folder)
    except OSError as error:
        draft.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"The disk of {folder} is full, so batch {batch_id} was not written; make room.") from None
        raise
    return target


def sweep_drafts(folder: Path) -> None:
    """Remove drafts that producers left when they died."""
    for draft in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > DRAFT_AGE:
                draft.unlink()


def everywhere() -> tuple[Path, ...]:
    """Where batches are looked for unless folders are named: shipped results, then the spool."""
    return paths.results(), paths.spool_done(), paths.spool_new()


def _counts(cell_id: str, finished_at: str | None, gone: Mapping[str, str]) -> bool:
    """Whether what finished then was not withdrawn: ``gone`` has the time of the cell's last withdrawal."""
    return cell_id not in gone or (finished_at or "") > gone[cell_id]


def _headers(folders: Iterable[Path]) -> Iterator[tuple[Path, Header]]:
    """Until a listing brings nothing new: a file that vanished was moved, or merged into one that came later."""
    listed: set[Path] = set()
    while fresh := [path for path in batch_files(*folders) if path not in listed]:
        listed.update(fresh)
        for path in fresh:
            try:
                yield path, read_header(path)
            except BadRequest:  # the owner of the spool puts such files aside and says why
                continue


def _parts(
    kind: str, rows: Sequence[dict[str, Any]], batch_id: str, first: int, stop: int, total: int
) -> Iterator[tuple[str, bytes]]:
    """Halve rows[first:stop] until each file fits; a part's identity names its rows, so it never means other cells."""
    part = batch_id if stop - first == total else f"{batch_id}:{first}-{stop - 1}"
    payload = _payload(kind, rows[first:stop], part)
    if len(payload) <= FILE_LIMIT or stop - first == 1:
        yield part, payload
        return
    middle = (first + stop) // 2
    yield from _parts(kind, rows, batch_id, first, middle, total)
    yield from _parts(kind, rows, batch_id, middle, stop, total)


def serialise(header: Header, table: pa.Table) -> bytes:
    """The bytes of a batch with these rows, in the form of ``SCHEMAS[header.kind]``."""
    table = table.cast(SCHEMAS[header.kind].with_metadata(header.metadata()))
    texts = [field.name for field in table.schema if field.type == pa.string()]
    buffer = io.BytesIO()
    # Runs of one seed start from the same weights: the dictionary keeps them once.
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        use_dictionary=[*texts, "theta_initial"] if header.kind == RUNS else texts,
        dictionary_pagesize_limit=2 * FILE_LIMIT,
    )
    return buffer.getvalue()


def _payload(kind: str, rows: Sequence[dict[str, Any]], batch_id: str) -> bytes:
    written_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    header = Header(kind=kind, batch_id=batch_id, written_at=written_at, cells=[row["cell_id"] for row in rows])
    return serialise(header, pa.Table.from_pylist(list(rows), schema=SCHEMAS[kind]))


def _run_row(record: RunRecord, axis: str) -> dict[str, Any]:
    spec, curve = record.spec, record.curve
    if axis not in spec.coefficients:
        raise BadRequest(f"A run of {spec.map} has no coefficient {axis!r}; it has {', '.join(spec.coefficients)}.")
    row = record.to_json()
    row |= {name: _finite(value) for name, value in row.items() if isinstance(value, float)}
    row |= {name: _json(row[name]) for name in ("coefficients", "model", "settings")}
    row |= {"x_name": axis, "x": spec.coefficients[axis], "y_name": "data", "y": float(row.pop("data"))}
    row |= {"plugin": spec.plugin, "spec": _json(spec.to_json())}
    row |= {f"curve_{name}": list(values) for name, values in vars(curve).items()}
    return row | {"theta_initial": record.theta_initial, "theta_final": record.theta_final}


def _artifact_row(artifact: Artifact) -> dict[str, Any]:
    arrays = io.BytesIO()
    named_arrays = {name: np.asarray(values) for name, values in artifact.arrays.items()}
    np.savez_compressed(arrays, allow_pickle=False, **named_arrays)
    return {
        "cell_id": artifact.cell_id,
        "kind": artifact.kind,
        "settings": _json(dict(artifact.settings)),
        "request_key": artifact.request_key,
        "numbers": _json({name: _finite(float(value)) for name, value in artifact.numbers.items()}),
        "arrays": arrays.getvalue(),
        "seconds": artifact.seconds,
        "finished_at": artifact.finished_at,
        "protocol_version": PROTOCOL_VERSION,
    }


def _artifact(row: Mapping[str, Any]) -> Artifact:
    with np.load(io.BytesIO(row["arrays"]), allow_pickle=False) as arrays:
        named_arrays = {name: arrays[name] for name in arrays.files}
    numbers = {name: math.nan if value is None else value for name, value in json.loads(row["numbers"]).items()}
    return Artifact(
        cell_id=row["cell_id"],
        kind=row["kind"],
        settings=json.loads(row["settings"]),
        numbers=numbers,
        arrays=named_arrays,
        seconds=row["seconds"],
        finished_at=row["finished_at"],
    )


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, allow_nan=False)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write_flushed(path: Path, payload: bytes) -> None:
    """Write a file and have its content on disk."""
    with open(path, "wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Have the folder's list of files on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
