"""Values recovered from publications, as rows beside the computed ones (``source = 'published'``).

A reading is a mean over an unknown number of seeds: its row has no seed, the status ``reported`` and no weights.
How far it can be trusted (uncertainty, censoring) is in the table ``published_value``.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from sciml_backend import paths
from sciml_backend.run import MapName, Status
from sciml_backend.store.batch import RUN_SCHEMA, RUNS
from sciml_backend.store.insert import insert_incoming

if TYPE_CHECKING:
    import duckdb

NO_PROTOCOL_VERSION = 0
"""The protocol version of rows that no code of this project computed."""

_MAPS = "regime_maps_digitised.csv"
_METRICS = {"training_loss": "train_loss", "test_error": "test_error"}
_NOTEBOOKS = "fno_poisson_notebooks.csv"
_OF_NOTEBOOKS = {"train_rel_err": "train_loss", "test_rel_l2_best": "test_error"}
_BY_PROTOCOL = "mean over 5 seeds (paper protocol epochs)"


@dataclass(frozen=True)
class Panel:
    """A published map in this project's names; ``axis`` is the coefficient along x, ``reason`` how it was read."""

    map: MapName
    axis: str
    reason: str = "Read off the colours of Fig. 1 of arXiv:2605.29153."


PANELS = {
    "PINN": Panel(MapName.parse("pinn/convection/lbfgs"), "beta"),
    "PINO": Panel(MapName.parse("pino/darcy/lbfgs"), "r"),
    "PINODE": Panel(MapName.parse("pinode/pendulum/lbfgs"), "inv_b"),
}
"""The digitised panels of Fig. 1; for the last two the strategy is the one in the paper's text (discrepancies.csv)."""
FNO = Panel(
    MapName.parse("fno/poisson_2d/adam"),
    "K",
    "Read off the colours of a map in a notebook released with arXiv:2605.29153; the test error is the best epoch's.",
)


def readings() -> pd.DataFrame:
    """The published cells in long form: name, x, y, metric, value, uncertainty, censored, quality, note."""
    found = [_of_figure(pd.read_csv(paths.published() / _MAPS, keep_default_na=False))]
    if (paths.published() / _NOTEBOOKS).exists():
        found.append(_of_notebooks(pd.read_csv(paths.published() / _NOTEBOOKS, keep_default_na=False)))
    return pd.concat(found, ignore_index=True)


def _of_figure(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": [str(PANELS[panel].map) for panel in table["panel"]],
            "x": table["x"],
            "y": table["y"],
            "metric": table["metric"].map(_METRICS),
            "value": table["value"],
            "uncertainty": table["uncertainty_abs"],
            "censored": table["censored"],
            "quality": table["cell_quality"],
            "note": table["figure"] + ", " + table["strategy"] + "; " + table["note"],
        }
    )


def _of_notebooks(table: pd.DataFrame) -> pd.DataFrame:
    """The cells trained for as many epochs as the paper says; a range of K goes by its lower end."""
    table = table[(table["aggregation"] == _BY_PROTOCOL) & table["metric"].isin(_OF_NOTEBOOKS)]
    return pd.DataFrame(
        {
            "name": str(FNO.map),
            "x": table["K_range"].str.partition("-")[0].astype(float),
            "y": table["n_samples"].astype(float),
            "metric": table["metric"].map(_OF_NOTEBOOKS),
            "value": table["value"],
            "uncertainty": table["precision"].str.extract(r"\+-([\d.]+)", expand=False).astype(float),
            "censored": "",
            "quality": "good",
            "note": table["source"] + "; " + table["aggregation"],
        }
    )


def load(cursor: duckdb.DuckDBPyConnection) -> bool:
    """Put the published values into an index unless it has them as they are; say whether it changed."""
    path = paths.published() / _MAPS
    if not path.exists():
        return False
    batch_id = f"published:{_digest(path, paths.published() / _NOTEBOOKS)}"
    if cursor.execute("SELECT 1 FROM ingest_log WHERE batch_id = ?", [batch_id]).fetchone():
        return False
    values = readings()
    cursor.register("published_runs", _runs(values))
    cursor.register("published_readings", values)
    cursor.execute("BEGIN")
    cursor.execute("DELETE FROM run WHERE map_id IN (SELECT map_id FROM regime_map WHERE source = 'published')")
    cursor.execute("DELETE FROM regime_map WHERE source = 'published'")
    cursor.execute("DELETE FROM published_value")
    cursor.execute("DELETE FROM ingest_log WHERE batch_id LIKE 'published:%'")
    cursor.execute("INSERT INTO published_value SELECT * FROM published_readings")
    cursor.execute(
        "INSERT INTO ingest_log SELECT ?, 'published', ?, '', count(*), now()::TIMESTAMP FROM published_runs",
        [batch_id, f"published/{_MAPS}"],
    )
    cursor.execute(
        """
        CREATE OR REPLACE TEMP TABLE incoming AS
        SELECT * EXCLUDE (cell_id, theta_initial, theta_final), cell_id::UUID AS cell_id,
               ? AS batch_id, 1 AS delivery, row_number() OVER () AS position
        FROM published_runs
        """,
        [batch_id],
    )
    insert_incoming(cursor, kind=RUNS)
    cursor.execute("COMMIT")
    return True


def _runs(values: pd.DataFrame) -> pa.Table:
    """One row per cell of the readings, in the form of a batch of runs."""
    cells = values.pivot_table(index=["name", "x", "y"], columns="metric", values="value").reset_index()
    rows = [_row(cell) for cell in cells.to_dict("records")]
    return pa.Table.from_pylist(rows, schema=RUN_SCHEMA)


def _row(cell: dict[Hashable, Any]) -> dict[str, Any]:
    panel = next(panel for panel in (*PANELS.values(), FNO) if str(panel.map) == cell["name"])
    x, y = cell["x"], cell["y"]
    name = panel.map
    return {
        "map": str(name),
        "cell_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"published:{name}:{x}:{y}")),
        "family": name.family,
        "problem": name.problem,
        "strategy": name.strategy,
        "variant": name.variant,
        "coefficients": json.dumps({panel.axis: x}),
        "x_name": panel.axis,
        "x": x,
        "y_name": "data",
        "y": y,
        "protocol_version": NO_PROTOCOL_VERSION,
        "source": "published",
        "status": Status.REPORTED.name.lower(),
        "reason": panel.reason,
        "train_loss": cell["train_loss"],
        "test_error": cell["test_error"],
    }


def _digest(*files: Path) -> str:
    content = b"".join(file.read_bytes() for file in (*files, Path(__file__)) if file.exists())
    return hashlib.sha256(content).hexdigest()[:16]
