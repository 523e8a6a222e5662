"""How fast the index answers: made-up runs, the queries of a page, many readers beside a writer, a rebuild.

``python -m sciml_backend bench store [--rows N]``
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow.parquet as pq

from sciml_backend import paths
from sciml_backend.run import PROTOCOL_VERSION, MapName
from sciml_backend.store import queries
from sciml_backend.store.batch import RUN_SCHEMA, RUNS, Header
from sciml_backend.store.connection import Store
from sciml_backend.store.insert import insert_incoming

READERS = 30
THINK_SECONDS = (0.5, 1.5)
BATCH_ROWS = 500
PAUSE_SECONDS = 0.2
FILES = 2000

_RUNS_PER_MAP = 12 * 12 * 100
_FILLED = {
    "cell_id": "uuid()::VARCHAR",
    "map": "'pinn/problem_' || (i // $per_map) || '/lbfgs'",
    "family": "'pinn'",
    "problem": "'problem_' || (i // $per_map)",
    "strategy": "'lbfgs'",
    "source": "'computed'",
    "protocol_version": "$version",
    "coefficients": "json_object('beta', i % 12)",
    "x_name": "'beta'",
    "x": "(i % 12)::DOUBLE",
    "y_name": "'data'",
    "y": "(i // 12 % 12)::DOUBLE",
    "seed": "i // 144 % 100",
    "status": "'converged'",
    "train_loss": "random()",
    "test_error": "random()",
    "heldout_error": "random()",
    "finished_at": "'2026-01-01T00:00:00+00:00'",
}
_HEAVY = ("theta_initial", "theta_final")


def bench_store(rows: int = 1_000_000, *, seconds: float = 20.0) -> dict[str, float]:
    """Figures of an index of ``rows`` made-up runs without weights or curves; each name ends in its unit.

    They are: bulk ingest; the median of each query when nothing else runs; what 30 readers of maps, who think 0.5 to
    1.5 s between two questions, and a writer of 500 runs every 0.2 s wait for during ``seconds``; the disk the index
    takes; and its rebuild from 2,000 batches.
    """
    with paths.vanishing():
        with Store.open() as store:
            began = time.perf_counter()
            _insert(store, "bench", 0, rows)
            store.rows("CHECKPOINT")
            figures = {"ingest_rows_per_s": rows / (time.perf_counter() - began)}
            figures |= _queries_ms(store, rows)
            figures |= _crowd_ms(store, rows, seconds)
            _write_batches(store, rows)
        paths.database().unlink()
        began = time.perf_counter()
        with Store.open() as store:
            figures["rebuild_s"] = time.perf_counter() - began
            if store.rows("SELECT count(*) FROM run WHERE batch_id LIKE 'bench%'") != [(rows,)]:
                raise RuntimeError("The rebuilt index lacks runs.")
        figures["index_MB"] = paths.database().stat().st_size / 1e6
    return figures


def _queries_ms(store: Store, rows: int) -> dict[str, float]:
    name = _map(rows // _RUNS_PER_MAP // 2)
    cell = queries.runs(store, name, x=3.0, y=3.0)["cell_id"]
    asked: dict[str, Callable[[], object]] = {
        "map_query": lambda: queries.regime_grid(store, name),
        "runs_of_a_cell": lambda: queries.runs(store, name, x=3.0, y=3.0),
        "known_cells": lambda: queries.known_cells(store, cell),
        "maps": lambda: queries.maps(store),
    }
    return {f"{what}_ms": statistics.median(_ms(ask) for _ in range(21)) for what, ask in asked.items()}


def _crowd_ms(store: Store, rows: int, seconds: float) -> dict[str, float]:
    over = threading.Event()
    n_maps = max(1, rows // _RUNS_PER_MAP)

    def read(number: int) -> list[float]:
        chance, waits = random.Random(number), []
        while not over.wait(chance.uniform(*THINK_SECONDS)):
            waits.append(_ms(partial(queries.regime_grid, store, _map(chance.randrange(n_maps)))))
        return waits

    def write() -> list[float]:
        waits: list[float] = []
        while not over.wait(PAUSE_SECONDS):
            start = rows + BATCH_ROWS * len(waits)
            waits.append(_ms(partial(_insert, store, f"crowd:{start}", start, BATCH_ROWS)))
        return waits

    with ThreadPoolExecutor(READERS + 1) as pool:
        writer = pool.submit(write)
        readers = [pool.submit(read, number) for number in range(READERS)]
        time.sleep(seconds)
        over.set()
    reads, writes = [wait for reader in readers for wait in reader.result()], writer.result()
    return {
        "read_p50_ms": _percentile(reads, 50),
        "read_p95_ms": _percentile(reads, 95),
        "write_p50_ms": _percentile(writes, 50),
        "write_p95_ms": _percentile(writes, 95),
    }


def _insert(store: Store, batch_id: str, start: int, count: int) -> None:
    """One transaction, as a batch enters."""
    with store.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE incoming AS
            SELECT * EXCLUDE (cell_id, {", ".join(_HEAVY)}, i), cell_id::UUID AS cell_id,
                   $batch_id AS batch_id, 1 AS delivery, i AS position
            FROM ({_made_up()})
            """,
            _parameters(start, count) | {"batch_id": batch_id},
        )
        insert_incoming(cursor, kind=RUNS)
        cursor.execute("COMMIT")


def _made_up() -> str:
    """The query whose rows have the form of a batch of runs, and their number i."""
    types = {"list<element: int64>": "BIGINT[]", "list<element: float>": "FLOAT[]", "list<element: double>": "DOUBLE[]"}
    types |= {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "binary": "BLOB"}
    columns = [
        f'({_FILLED.get(field.name, "NULL")})::{types[str(field.type).replace("item", "element")]} AS "{field.name}"'
        for field in RUN_SCHEMA
    ]
    return f"SELECT {', '.join(columns)}, i FROM range($start, $stop) AS numbers(i)"


def _parameters(start: int, count: int) -> dict[str, object]:
    return {"start": start, "stop": start + count, "per_map": _RUNS_PER_MAP, "version": PROTOCOL_VERSION}


def _write_batches(store: Store, rows: int) -> None:
    """The rows once more as batches that were taken in before."""
    paths.spool_done().mkdir(parents=True)
    size = -(-rows // FILES)
    with store.cursor() as cursor:
        for start in range(0, rows, size):
            made = cursor.sql(_made_up(), params=_parameters(start, min(size, rows - start)))
            table = made.to_arrow_table().drop_columns("i")
            cells = table.column("cell_id").to_pylist()
            header = Header(kind=RUNS, batch_id=f"bench:{start}", written_at=f"{start:012}", cells=cells)
            table = table.cast(RUN_SCHEMA.with_metadata(header.metadata()))
            pq.write_table(table, paths.spool_done() / f"bench_{start:012}.parquet", compression="zstd")


def _map(number: int) -> MapName:
    return MapName("pinn", f"problem_{number}", "lbfgs")


def _ms(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - began)


def _percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
