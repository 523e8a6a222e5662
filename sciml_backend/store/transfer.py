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


def read(name: MapName | str, *, source: str = "computed") -> pd.DataFrame:
    """One row per stored run of a map, from all Parquet batches; it works while a server owns the index.

    >>> read("pinn/convection/lbfgs", source="published")["status"].unique().tolist()
    ['reported']
    """
    name = MapName.parse(str(name))
    with Store.in_memory(name) as store:
        return queries.runs(store, name, source=source)


def export(name: MapName | str, path: Path, *, source: str = "computed") -> int:
    """Write a map's runs, without weights, to a .parquet or .csv file and give back their number.

    Raises BadRequest for another suffix, and when nothing is stored of the map.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise BadRequest(f"Runs are exported to a .parquet or .csv file, got {path.name}; change the suffix.")
    frame = read(name, source=source)
    if frame.empty:
        raise BadRequest(f"No {source} run of {name} is stored; `python -m sciml_backend sweep {name}` trains some.")
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return len(frame)


def import_file(path: Path) -> Header:
    """Check a batch that came from elsewhere and put a copy into the spool; it is stored once, however often it comes.

    Raises BadRequest, with what is wrong, when the file is not a valid batch.
    """
    header = check_batch(path)
    paths.spool_new().mkdir(parents=True, exist_ok=True)
    require_space(paths.spool_new())
    publish(path.read_bytes(), paths.spool_new(), batch_id=header.batch_id)
    return header
