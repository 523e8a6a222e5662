"""How fast the index answers: a made-up million runs, the queries that a page sends, milliseconds.

``python -m sciml_backend.store.bench [rows]``
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sciml_backend.run import PROTOCOL_VERSION, MapName
from sciml_backend.store import queries
from sciml_backend.store.batch import RUN_SCHEMA, RUNS
from sciml_backend.store.connection import Store, connect_or_create
from sciml_backend.store.insert import insert_incoming

_RUNS_PER_MAP = 12 * 12 * 100
_FILLED = {
    "cell_id": "gen_random_uuid()",
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
}


def bench_store(rows: int = 1_000_000) -> dict[str, float]:
    """Rows stored per second, and the median time of each query in milliseconds, in an index of ``rows`` runs."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bench.duckdb"
        store = Store(connect_or_create(database), database=database)
        began = time.perf_counter()
        _fill(store, rows)
        figures = {"rows_per_second": rows / (time.perf_counter() - began)}
        name = MapName("pinn", f"problem_{rows // _RUNS_PER_MAP // 2}", "lbfgs")
        cell = queries.runs(store, name, x=3.0, y=3.0)["cell_id"]
        figures["regime_grid_ms"] = _median_ms(lambda: queries.regime_grid(store, name))
        figures["runs_of_a_cell_ms"] = _median_ms(lambda: queries.runs(store, name, x=3.0, y=3.0))
        figures["known_cells_ms"] = _median_ms(lambda: queries.known_cells(store, cell))
        figures["maps_ms"] = _median_ms(lambda: queries.maps(store))
        store.close()
    return figures


def _fill(store: Store, rows: int) -> None:
    columns = [f'{_FILLED.get(name, "NULL")} AS "{name}"' for name in RUN_SCHEMA.names if name not in _ARRAYS]
    lists = [f"NULL::DOUBLE[] AS {name}" for name in _ARRAYS if name.startswith("curve")]
    with store.cursor() as cursor:
        cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE incoming AS SELECT {', '.join(columns + lists)}, 'bench' AS batch_id, "
            "1 AS delivery, i AS position FROM range($rows) AS numbers(i)",
            {"rows": rows, "per_map": _RUNS_PER_MAP, "version": PROTOCOL_VERSION},
        )
        insert_incoming(cursor, kind=RUNS)
        cursor.execute("CHECKPOINT")


def _median_ms(ask: Callable[[], object], repeats: int = 21) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


_ARRAYS = [name for name in RUN_SCHEMA.names if name.startswith(("curve_", "theta_"))]

if __name__ == "__main__":
    for figure, value in bench_store(*map(int, sys.argv[1:])).items():
        print(f"{figure:20s} {value:12.1f}")
