"""The SQL that moves rows into the tables: from Parquet files or a data frame, by way of ``incoming``.

Every statement here runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sciml_backend.store.batch import ARTIFACTS, RUN_SCHEMA, RUNS, WITHDRAWALS

if TYPE_CHECKING:
    import duckdb

_OF_THE_MAP = ("map", "family", "problem", "strategy", "variant", "source", "protocol_version", "x_name", "y_name")
_OF_THE_RUN = [
    name for name in RUN_SCHEMA.names if not name.startswith(("curve_", "theta_")) and name not in _OF_THE_MAP
]
_SAID_ONCE = (*_OF_THE_MAP, "coefficients", "data_seed", "dtype", "protocol", "model", "settings", "plugin")
_MAP_COLUMNS = "map, family, problem, strategy, variant, source, protocol_version, setup, x_name, y_name"
# The set-up is everything that must be equal within a map: all but the two axes and the seed.
_SETUP = """md5(concat_ws('|', json_merge_patch(coefficients::JSON, json_object(x_name, NULL))::VARCHAR,
                          data_seed, dtype, protocol, model, settings, plugin))"""

# Made of its content, so that it means the same set-up after a rebuild.
_MAP_ID = "md5_number_lower(concat_ws('|', map, source, protocol_version, setup, x_name))"


def _columns(table: str) -> str:
    return ", ".join(f'{table}"{name}"' for name in _OF_THE_RUN)


# Set apart before anything is chosen: of several runs of one cell, a withdrawn one must not be the one that stays.
_SET_WITHDRAWN_APART = (
    """
    CREATE OR REPLACE TEMP TABLE withdrawn AS
    SELECT *, incoming.rowid AS row FROM incoming SEMI JOIN withdrawal
    ON withdrawal.cell_id = incoming.cell_id AND incoming.finished_at <= withdrawal.withdrawn_at
    """,
    "DELETE FROM incoming WHERE rowid IN (SELECT row FROM withdrawn)",
)
_WITHDRAWN_COLUMNS = (
    "map, cell_id, batch_id, x_name, x, y, seed, protocol_version, status, train_loss, test_error, finished_at"
)
_INSERT_RUNS = (
    *_SET_WITHDRAWN_APART,
    f"""
    INSERT INTO withdrawn_run
    SELECT {_WITHDRAWN_COLUMNS} FROM withdrawn
    ANTI JOIN (SELECT cell_id, finished_at, status FROM withdrawn_run) AS known USING (cell_id, finished_at, status)
    QUALIFY row_number() OVER (PARTITION BY cell_id, finished_at, status ORDER BY delivery, position) = 1
    """,
    # Of several runs of one cell the first stays, unless it failed.
    """
    DELETE FROM incoming WHERE rowid IN (
        SELECT rowid FROM incoming
        WHERE cell_id IN (SELECT cell_id FROM incoming GROUP BY cell_id HAVING count(*) > 1)
        QUALIFY row_number() OVER (PARTITION BY cell_id ORDER BY status = 'failed', delivery, position) > 1)
    """,
    """
    CREATE OR REPLACE TEMP TABLE superseded AS
    SELECT cell_id FROM run WHERE status = 'failed'
    AND cell_id IN (SELECT cell_id FROM incoming WHERE status <> 'failed')
    """,
    "DELETE FROM run WHERE cell_id IN (SELECT cell_id FROM superseded)",
    "DELETE FROM curve WHERE cell_id IN (SELECT cell_id FROM superseded)",
    "DELETE FROM incoming WHERE cell_id IN (SELECT cell_id FROM run WHERE cell_id IN (SELECT cell_id FROM incoming))",
    # Worked out once for all the runs that say the same.
    f"""
    CREATE OR REPLACE TEMP TABLE arrived AS
    SELECT *, {_SETUP} AS setup, {_MAP_ID} AS map_id FROM (SELECT DISTINCT {", ".join(_SAID_ONCE)} FROM incoming)
    """,
    f"""
    INSERT INTO regime_map
    SELECT DISTINCT map_id, {_MAP_COLUMNS}
    FROM arrived ANTI JOIN (SELECT map_id FROM regime_map) AS known USING (map_id)
    """,
    f"""
    INSERT INTO run (map_id, batch_id, {_columns("")})
    SELECT map_id, batch_id, {_columns("incoming.")} FROM incoming JOIN arrived
    ON {" AND ".join(f"incoming.{name} IS NOT DISTINCT FROM arrived.{name}" for name in _SAID_ONCE)}
    """,
    """
    INSERT INTO curve
    SELECT cell_id, curve_iteration, curve_evaluations, curve_seconds, curve_train_loss, curve_test_error
    FROM incoming WHERE len(curve_iteration) > 0
    """,
)
_ARTIFACT_COLUMNS = 'cell_id, kind, settings, request_key, numbers, "seconds", finished_at, protocol_version, batch_id'
_INSERT_ARTIFACTS = (
    *_SET_WITHDRAWN_APART,
    f"""
    INSERT INTO withdrawn_artifact
    SELECT {_ARTIFACT_COLUMNS} FROM withdrawn
    ANTI JOIN (SELECT cell_id, request_key, finished_at FROM withdrawn_artifact) AS known
    USING (cell_id, request_key, finished_at)
    QUALIFY row_number() OVER (PARTITION BY cell_id, request_key, finished_at ORDER BY delivery, position) = 1
    """,
    f"""
    INSERT INTO artifact
    SELECT {_ARTIFACT_COLUMNS}
    FROM incoming ANTI JOIN (SELECT cell_id, request_key FROM artifact) AS known USING (cell_id, request_key)
    QUALIFY row_number() OVER (PARTITION BY cell_id, request_key ORDER BY delivery, position) = 1
    """,
)
_INSERT_WITHDRAWALS = (
    "INSERT INTO withdrawal SELECT cell_id, reason, withdrawn_by, withdrawn_at, batch_id FROM incoming",
)
_INSERT = {RUNS: _INSERT_RUNS, ARTIFACTS: _INSERT_ARTIFACTS, WITHDRAWALS: _INSERT_WITHDRAWALS}
_HEAVY = {RUNS: "theta_initial, theta_final, ", ARTIFACTS: "arrays, ", WITHDRAWALS: ""}


def offer_files(
    cursor: duckdb.DuckDBPyConnection,
    files: Sequence[str],
    *,
    batch_ids: Sequence[str],
    kind: str,
    name: str | None = None,
    cells: Sequence[str] = (),
) -> None:
    """Fill ``incoming`` with the rows of batches of one kind (of one map's runs, of these cells), in order of delivery.

    Weights and arrays stay where they are.
    """
    asked: dict[str, object] = {"name": name} if kind == RUNS and name else {}
    asked |= {"cells": list(cells)} if cells else {}
    conditions = {"name": "map = $name", "cells": "cell_id IN (SELECT unnest($cells))"}
    only = f"WHERE {' AND '.join(conditions[key] for key in asked)}" if asked else ""
    cursor.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE incoming AS
        SELECT * EXCLUDE ({_HEAVY[kind]}filename, file_row_number, cell_id), cell_id::UUID AS cell_id,
               batch_id, delivery, file_row_number AS position
        FROM read_parquet($files, filename = true, file_row_number = true)
        JOIN (SELECT unnest($files) AS filename, unnest($batch_ids) AS batch_id, unnest(range(len($files))) AS delivery)
        USING (filename) {only}
        """,
        {"files": list(files), "batch_ids": list(batch_ids)} | asked,
    )


def insert_incoming(cursor: duckdb.DuckDBPyConnection, *, kind: str) -> None:
    """Move the rows of ``incoming`` into the tables of their kind, each cell and each diagnostic once."""
    for statement in _INSERT[kind]:
        cursor.execute(statement)


def forget_cells(cursor: duckdb.DuckDBPyConnection, cells: Sequence[str]) -> None:
    """Take everything of these cells but their withdrawals out of the tables."""
    for table in ("run", "curve", "artifact", "withdrawn_run", "withdrawn_artifact"):
        cursor.execute(f"DELETE FROM {table} WHERE cell_id IN (SELECT unnest(?)::UUID)", [list(cells)])
