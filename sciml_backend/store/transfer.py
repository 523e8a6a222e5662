"""Results in and out by file: read as a data frame, export it, import somebody's batch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sciml_backend import paths
from sciml_backend.run import BadRequest, MapName
from sciml_backend.store import queries
from sciml_backend.store.batch import Header
from sciml_backend.store.check import check_batch
from sciml_backend.store.connection import Store
from sciml_backend.store.spool import publish, require_space

CURVE = ("iteration", "evaluations", "seconds", "train_loss", "test_error")


def read(name: MapName | str, *, source: str = "computed", curves: bool = False) -> pd.DataFrame:
    """One row per stored run of a map, from all Parquet batches; it works while a server owns the index.

    With ``curves``, the columns ``curve_iteration``, ``curve_evaluations``, ``curve_seconds``, ``curve_train_loss`` and
    ``curve_test_error`` hold each run's history as equally long lists, empty where none was kept.

    >>> read("pinn/convection/lbfgs", source="published")["status"].unique().tolist()
    ['reported']
    """
    name = MapName.parse(str(name))
    with Store.in_memory(name) as store:
        runs = queries.runs(store, name, source=source)
        return _with_curves(runs, queries.curves(store, runs["cell_id"])) if curves else runs


def _with_curves(runs: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    of_run = {cell_id: part.to_dict("list") for cell_id, part in points.groupby("cell_id")}
    columns = {f"curve_{name}": [of_run.get(cell, {}).get(name, []) for cell in runs["cell_id"]] for name in CURVE}
    return runs.assign(**{name: pd.Series(lists, index=runs.index, dtype=object) for name, lists in columns.items()})


def export(name: MapName | str, path: Path, *, source: str = "computed") -> int:
    """Write a map's runs, without weights, to a .parquet or .csv file and give back their number.

    Raises BadRequest for another suffix, when nothing is stored of the map, and when the file cannot be written.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise BadRequest(f"Runs are exported to a .parquet or .csv file, got {path.name}; change the suffix.")
    name = MapName.parse(str(name))
    with Store.in_memory(name) as store:
        frame = queries.runs(store, name, source=source)
        if frame.empty:
            raise BadRequest(queries.nothing_stored(store, name, source))
    write = frame.to_csv if path.suffix == ".csv" else frame.to_parquet
    try:
        write(path, index=False)
    except OSError as error:
        reason = error.strerror or "its folder is missing"
        raise BadRequest(f"Runs cannot be written to {path} ({reason}); name another file.") from None
    return len(frame)


def import_file(path: Path) -> Header:
    """Check a batch that came from elsewhere and put a copy into the spool; it is stored once, however often it comes.

    Raises BadRequest, with what is wrong, when the file is not a valid batch.
    """
    header = check_batch(path)
    require_space(paths.made(paths.spool_new()))
    publish(path.read_bytes(), paths.spool_new(), batch_id=header.batch_id)
    return header
