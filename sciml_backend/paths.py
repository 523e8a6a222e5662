"""Where data lives: the one place that knows folders; standard library only.

``ATLAS_DATA`` moves what is made at run time (default ``data/var``), ``ATLAS_RESULTS`` the shipped sweeps
(default ``data/results``), ``ATLAS_DATASETS`` the data sets that people bring (default: ``datasets`` under ``var``).
All are read at every call.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sciml_backend.run import BadRequest

ROOT = Path(__file__).resolve().parents[1]


def var() -> Path:
    """The folder of everything made at run time."""
    return Path(os.environ.get("ATLAS_DATA") or ROOT / "data" / "var")


def results() -> Path:
    """The folder of shipped sweeps: Parquet batches at any depth, read-only."""
    return Path(os.environ.get("ATLAS_RESULTS") or ROOT / "data" / "results")


def made(folder: Path) -> Path:
    """A folder of ``var``, made if need be; raises BadRequest when it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"{folder} cannot be made ({error.strerror}); name another folder in ATLAS_DATA.") from None
    return folder


def published() -> Path:
    """The folder of values recovered from publications (CSV)."""
    return ROOT / "data" / "published"


def images() -> Path:
    """The folder of shipped images."""
    return ROOT / "data" / "images"


def datasets() -> Path:
    """Where people put the data sets that are not shipped, as they were downloaded."""
    return Path(os.environ.get("ATLAS_DATASETS") or var() / "datasets")


def spool_new() -> Path:
    """Where producers put finished batches."""
    return var() / "spool" / "new"


def spool_done() -> Path:
    """Where batches stay once they are in the index."""
    return var() / "spool" / "done"


def spool_quarantine() -> Path:
    """Where files that are not valid batches are kept for a look."""
    return var() / "spool" / "quarantine"


def database() -> Path:
    """The index; rebuilt from Parquet when it is lost."""
    return var() / "results.duckdb"


def samples() -> Path:
    """Where generated data are kept; every file can be made again."""
    return var() / "samples"


def control() -> Path:
    """The store of job control."""
    return var() / "control.sqlite"


@contextmanager
def vanishing() -> Iterator[None]:
    """Have ``var`` and ``results`` be empty folders that vanish in the end, for measurements."""
    names = ("ATLAS_DATA", "ATLAS_RESULTS")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {name: str(Path(folder) / name.lower()) for name in names}
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
