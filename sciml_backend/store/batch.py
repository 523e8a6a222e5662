"""The form of a batch: the Parquet file in which runs, diagnostics and withdrawals travel; it is kept as the truth.

A batch is immutable. Its key-value metadata carry ``{"atlas": {"schema", "kind", "batch_id", "written_at", "cells"}}``,
so that a reader knows what a file holds from its footer alone; where batches were merged, also ``"members"``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sciml_backend.run import BadRequest, Status

SCHEMA_VERSION, MERGED_SCHEMA_VERSION = 1, 2
REMEMBERED = 20_000
"""Of so many files it is remembered what they hold."""
RUNS, ARTIFACTS, WITHDRAWALS = "runs", "artifacts", "withdrawals"

_TEXTS = [
    *("map", "cell_id", "family", "problem", "strategy", "variant", "coefficients", "x_name", "y_name", "dtype"),
    *("protocol", "model", "settings", "plugin", "source", "status", "reason", "device", "kernel", "versions"),
    *("finished_at", "spec"),
]
_INTEGERS = ["seed", "data_seed", "protocol_version", "iterations", "evaluations", "threads", "chunk", "batch_rows"]
_DOUBLES = [
    *("x", "y", "train_loss", "test_error", "test_error_l1", "heldout_error", "objective_value"),
    *("gradient_norm", "seconds"),
]

RUN_SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXTS]
    + [(name, pa.int64()) for name in _INTEGERS]
    + [(name, pa.float64()) for name in _DOUBLES]
    + [
        ("curve_iteration", pa.list_(pa.int64())),
        ("curve_evaluations", pa.list_(pa.int64())),
        ("curve_seconds", pa.list_(pa.float32())),
        ("curve_train_loss", pa.list_(pa.float64())),
        ("curve_test_error", pa.list_(pa.float64())),
        ("theta_initial", pa.binary()),
        ("theta_final", pa.binary()),
    ]
)
ARTIFACT_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("cell_id", "kind", "settings", "request_key", "numbers")]
    + [("arrays", pa.binary()), ("seconds", pa.float64()), ("finished_at", pa.string())]
    + [("protocol_version", pa.int64())]
)
WITHDRAWAL_SCHEMA = pa.schema([(name, pa.string()) for name in ("cell_id", "reason", "withdrawn_by", "withdrawn_at")])
SCHEMAS = {RUNS: RUN_SCHEMA, ARTIFACTS: ARTIFACT_SCHEMA, WITHDRAWALS: WITHDRAWAL_SCHEMA}


@dataclass(frozen=True)
class Member:
    """A batch that was merged into another: its identity, the digest of its list of cells, and its number of rows."""

    batch_id: str
    cells: str
    n_rows: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a batch says of itself: its kind, its identity, and the cells it holds, in the order of its rows.

    ``members`` are the batches that were merged into this one: a late delivery of theirs is a repetition.
    """

    kind: str
    batch_id: str
    written_at: str
    cells: list[str]
    members: list[Member] = field(default_factory=list)

    @property
    def cells_digest(self) -> str:
        """Digest of the list of cells: a second delivery under the same batch_id must have the same."""
        return hashlib.sha256("\n".join(self.cells).encode()).hexdigest()[:32]

    def metadata(self) -> dict[str, str]:
        """The Parquet key-value metadata."""
        content = asdict(self)
        if not content["members"]:
            del content["members"]
        version = MERGED_SCHEMA_VERSION if self.members else SCHEMA_VERSION
        return {"atlas": json.dumps(content | {"schema": version})}


def read_header(path: Path) -> Header:
    """The header of a batch, from the file's footer; raises BadRequest when the file is not a batch."""
    state = _state(path)
    if state not in _headers:
        _remember(state, _header_of(path))
    return _headers[state]


def remember_headers(footers: Mapping[Path, bytes]) -> None:
    """Know the headers of files that were checked before, from what each says of itself under the key ``atlas``.

    Whoever reads the footers of many files at once spares ``read_header`` from reading each. Strangers are left out.
    """
    for path, text in footers.items():
        with contextlib.suppress(BadRequest):
            _remember(_state(path), _parsed(path.name, text))


def finished_cells(path: Path) -> Mapping[str, str]:
    """The cells of a batch of runs whose run did not fail, and when it (the last of them) finished.

    Raises BadRequest when the file cannot be read.
    """
    return _finished_cells(*_state(path))


def _state(path: Path) -> tuple[str, int, int]:
    """What changes when a file does: the key under which its content is remembered."""
    try:
        state = path.stat()
    except OSError:
        raise BadRequest(f"There is no results file {path}; check the path.") from None
    return str(path), state.st_mtime_ns, state.st_size


_headers: dict[tuple[str, int, int], Header] = {}


def _remember(state: tuple[str, int, int], header: Header) -> None:
    if len(_headers) >= REMEMBERED:
        _headers.pop(next(iter(_headers)))
    _headers[state] = header


def _header_of(path: Path) -> Header:
    name = path.name
    try:
        footer = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise BadRequest(f"{name} is not a readable Parquet file ({first_line(error)}).") from None
    header = _parsed(name, (footer.metadata or {}).get(b"atlas", b""))
    schema = SCHEMAS[header.kind]
    if footer.remove_metadata().equals(schema):
        return header
    if wrong := [f.name for f in schema if [g.type for g in footer if g.name == f.name] != [f.type]]:
        raise BadRequest(f"{name} lacks, or has twice or in another type, the column(s) {', '.join(wrong)}.")
    return header


def _parsed(name: str, text: bytes) -> Header:
    """The header from its JSON; raises BadRequest when it is none."""
    stranger = BadRequest(f"{name} is a Parquet file but not a results file of Regime Atlas; it was left out.")
    try:
        content = json.loads(text)
        version = content.pop("schema")
        if version not in (SCHEMA_VERSION, MERGED_SCHEMA_VERSION):
            raise BadRequest(
                f"{name} has results schema {version}, this version reads up to {MERGED_SCHEMA_VERSION}; "
                "update the program."
            )
        members = [Member(**member) for member in content.pop("members", [])]
        header = Header(**content, members=members)
        known = header.kind in SCHEMAS and _well_typed(header)
    except BadRequest:
        raise
    except (AttributeError, KeyError, TypeError, ValueError):
        raise stranger from None
    if not known:
        raise stranger
    return header


def _well_typed(header: Header) -> bool:
    """Whether the entries, which come from elsewhere, have the types that all who sort and compare them rely on."""
    texts = [header.batch_id, header.written_at, *(text for m in header.members for text in (m.batch_id, m.cells))]
    lists = isinstance(header.cells, list) and all(isinstance(m.n_rows, int) for m in header.members)
    return lists and all(isinstance(text, str) for text in [*texts, *header.cells])


@lru_cache(maxsize=REMEMBERED)
def _finished_cells(path: str, _changed_at: int, _size: int) -> Mapping[str, str]:
    try:
        rows = read_columns(Path(path), ["cell_id", "status", "finished_at"])
    except (pa.ArrowException, OSError) as error:
        raise BadRequest(f"{Path(path).name} is not a readable Parquet file ({first_line(error)}).") from None
    finished: dict[str, str] = {}
    for row in rows:
        if row["status"] != Status.FAILED.name.lower():
            cell = row["cell_id"]
            finished[cell] = max(finished.get(cell, ""), row["finished_at"] or "")
    return finished


def read_columns(path: Path, columns: list[str], *, cell_id: str | None = None) -> list[dict[str, Any]]:
    """Rows of a batch as dicts of the named columns, all of them or one cell's; raises ArrowException or OSError."""
    table = pq.read_table(path, columns=columns, filters=[("cell_id", "==", cell_id)] if cell_id else None)
    try:
        rows: list[dict[str, Any]] = table.to_pylist()
    except UnicodeDecodeError as error:  # Arrow takes a text for granted
        raise pa.ArrowInvalid(f"a text is not UTF-8: {error}") from None
    return rows


def first_line(error: BaseException) -> str:
    """What an error says, cut to one line without its full stop."""
    return str(error).strip().split("\n")[0][:160].rstrip(".")
