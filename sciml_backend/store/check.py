"""Is this file a batch we may believe? Every file is checked before its rows are stored."""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from sciml_backend.run import DTYPES, PROTOCOL_VERSION, PROTOCOLS, Artifact, BadRequest, RunSpec, Status
from sciml_backend.store.batch import (
    ARTIFACTS,
    RUN_SCHEMA,
    RUNS,
    SCHEMAS,
    WITHDRAWALS,
    Header,
    first_line,
    read_columns,
    read_header,
)

_HEAVY = ("theta_initial", "theta_final", "curve_iteration", "curve_evaluations", "curve_seconds")
_COLUMNS = {
    RUNS: [name for name in RUN_SCHEMA.names if name not in _HEAVY],
    ARTIFACTS: ["cell_id", "kind", "settings", "request_key", "numbers"],
    WITHDRAWALS: SCHEMAS[WITHDRAWALS].names,
}
_NOT_NEGATIVE = (
    *("y", "train_loss", "test_error", "test_error_l1", "heldout_error", "gradient_norm", "seconds"),
    *("seed", "iterations", "evaluations"),
)
_OUTCOMES = {status.name.lower() for status in Status} - {"running", "reported"}


def check_batch(path: Path) -> Header:
    """The header of a batch whose content was checked: bytes, cell list, identities and ranges.

    Raises BadRequest, with what is wrong, when any of it does not hold.
    """
    header = read_header(path)
    check_bytes(path)
    try:
        rows = read_columns(path, _COLUMNS[header.kind])
        problem = _first_problem(header, rows)
    except (pa.ArrowException, OSError) as error:
        problem = f"its data cannot be read ({first_line(error)[:120]})"
    if problem:
        raise BadRequest(f"{path.name} was not stored: {problem}.")
    return header


def check_bytes(path: Path) -> None:
    """Compare the content with the digest that ``spool.publish`` put into the name, where there is one."""
    _, tilde, digest = path.stem.rpartition("~")
    if tilde and hashlib.sha256(path.read_bytes()).hexdigest()[:16] != digest:
        raise BadRequest(f"{path.name} was not stored: its content does not match the digest in its name.")


def _first_problem(header: Header, rows: list[dict[str, Any]]) -> str:
    if [row["cell_id"] for row in rows] != header.cells:
        return "its rows are not the cells that its header lists"
    return next(_described(_PROBLEMS[header.kind], rows), "")


def _described(check: Callable[[dict[str, Any]], str], rows: list[dict[str, Any]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        try:
            problem = check(row)
        except (BadRequest, ValueError, TypeError, KeyError, AttributeError) as error:
            problem = f"its identity cannot be read ({first_line(error)})"
        if problem:
            yield f"row {number}: {problem}"


def _run_problem(row: dict[str, Any]) -> str:
    spec = RunSpec.from_json(json.loads(row["spec"]))
    told = {
        "map": str(spec.map),
        "x": spec.coefficients[row["x_name"]],
        "y": float(spec.data),
        "seed": spec.seed,
        "dtype": spec.dtype,
    }
    if wrong := [name for name, value in told.items() if row[name] != value]:
        return f"{', '.join(wrong)} differ(s) from its run specification"
    if row["dtype"] not in DTYPES or row["protocol"] not in PROTOCOLS:
        return f"dtype {row['dtype']!r} or protocol {row['protocol']!r} is unknown"
    if row["source"] != "computed" or row["status"] not in _OUTCOMES:
        return f"source {row['source']!r} with status {row['status']!r} is not a finished run"
    return _identity_problem(row, spec.cell_id) or _range_problem(row)


def _identity_problem(row: dict[str, Any], cell_id: str) -> str:
    version = row["protocol_version"]
    if not isinstance(version, int) or not 0 <= version <= PROTOCOL_VERSION:
        return f"its protocol version is {version}, this program knows 0 to {PROTOCOL_VERSION}"
    # An older version's identity cannot be computed any more; its form still can be checked.
    if version == PROTOCOL_VERSION and row["cell_id"] != cell_id:
        return "its cell_id is not that of its run specification"
    uuid.UUID(row["cell_id"])
    return ""


def _range_problem(row: dict[str, Any]) -> str:
    for name in (*_NOT_NEGATIVE, "x", "objective_value"):
        value = row[name]
        if value is not None and not math.isfinite(value):
            return f"{name} is {value}"
        if value is not None and name in _NOT_NEGATIVE and value < 0:
            return f"{name} is negative ({value})"
    if len(row["curve_train_loss"] or ()) != len(row["curve_test_error"] or ()):
        return "its curves have different lengths"
    return ""


def _artifact_problem(row: dict[str, Any]) -> str:
    uuid.UUID(row["cell_id"])
    asked = Artifact(cell_id=row["cell_id"], kind=row["kind"], settings=json.loads(row["settings"]))
    if asked.request_key != row["request_key"]:
        return "its request_key is not that of its kind and settings"
    json.loads(row["numbers"])
    return ""


def _withdrawal_problem(row: dict[str, Any]) -> str:
    if str(uuid.UUID(row["cell_id"])) != row["cell_id"] or not row["reason"].strip():
        return "it has no reason, or a cell_id in another form"
    moment = datetime.fromisoformat(row["withdrawn_at"])
    if moment.utcoffset() != timedelta(0) or moment.isoformat(timespec="seconds") != row["withdrawn_at"]:
        return f"its time {row['withdrawn_at']} is not UTC to the second"
    return ""


_PROBLEMS = {RUNS: _run_problem, ARTIFACTS: _artifact_problem, WITHDRAWALS: _withdrawal_problem}
