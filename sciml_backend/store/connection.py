"""The connection to the index: one process owns the file; everyone else reads Parquet through a copy in memory."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pandas as pd

from sciml_backend import paths
from sciml_backend.run import BadRequest, MapName
from sciml_backend.store import ingest, published
from sciml_backend.store.spool import require_space

SCHEMA_VERSION = 1
"""Raised with every change of schema.sql; an index of another version is rebuilt."""

_DAMAGE = (duckdb.IOException, duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException)
Answer = TypeVar("Answer")
Parameters = Sequence[Any] | Mapping[str, Any]
_SCHEMA = Path(__file__).with_name("schema.sql")


class Store:
    """A reader of results, and their only writer when it owns the index.

    ``Store.open()`` is for the one server process, ``Store.in_memory()`` for the command line. Queries may come from
    any thread (each query has its own cursor); writes queue on one lock.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, database: Path | None) -> None:
        self._database = database
        self._writing = threading.RLock()
        self._version = 0
        self._cursors: set[duckdb.DuckDBPyConnection] = set()
        self._connection = connection

    @classmethod
    def open(cls, database: Path | None = None) -> Store:
        """Own the index, bring it up to date with every batch, and rebuild it when it is damaged or of another version.

        Raises BadRequest when another process owns it, the folder cannot be written, or the disk is nearly full.
        """
        database = database or paths.database()
        database.parent.mkdir(parents=True, exist_ok=True)
        require_space(database.parent)
        store = cls(_connect_or_rebuild(database), database=database)
        store.ingest(everything=True)
        return store

    @classmethod
    def in_memory(cls, name: MapName | None = None) -> Store:
        """A private index of all Parquet batches (of one map's runs), in memory; nothing on disk is changed."""
        connection = duckdb.connect(":memory:", config=_config(None))
        _create(connection)
        store = cls(connection, database=None)
        ingest.load_in_place(connection, str(name) if name else None)
        published.load(connection)
        return store

    def query(self, sql: str, parameters: Parameters = ()) -> pd.DataFrame:
        """The result of a query as a data frame; a damaged index is rebuilt and asked again."""
        return self._retrying(lambda cursor: cursor.execute(sql, parameters).df())

    def rows(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """The result of a query as tuples."""
        return self._retrying(lambda cursor: cursor.execute(sql, parameters).fetchall())

    def version(self) -> int:
        """A number that grows whenever the answers of queries may have changed; for caches."""
        return self._version

    def ingest(self, *, everything: bool = False) -> ingest.Report:
        """Take in the batches that arrived; with ``everything`` also those taken in before that the index lacks.

        Raises BadRequest when the disk is nearly full.
        """
        if self._database is None:
            raise BadRequest("Results in memory are read-only; open the store to add to it.")
        require_space(self._database.parent)
        with self._writing:
            try:
                return self._take_in(everything)
            except _DAMAGE as error:
                _refuse_if_not_damage(error, self._database)
                return self.rebuild()

    def rebuild(self) -> ingest.Report:
        """Put the index aside and make it anew from the batches."""
        if self._database is None:
            raise BadRequest("Results in memory have no file to rebuild.")
        with self._writing:
            # As long as one cursor is open, connecting again would give back the damaged database.
            for cursor in (*self._cursors, self._connection):
                with contextlib.suppress(duckdb.Error):
                    cursor.close()
            _put_aside(self._database)
            self._connection = _connect_or_rebuild(self._database)
            self._version += 1
            return self._take_in(everything=True)

    def close(self) -> None:
        """Write the index to its file and let go of it."""
        with self._writing:
            if self._database is not None:
                with contextlib.suppress(duckdb.Error):
                    self._connection.execute("CHECKPOINT")
            self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_in(self, everything: bool) -> ingest.Report:
        with self._cursor() as cursor:
            report = ingest.take_in(cursor, everything=everything)
            changed = published.load(cursor) if everything else False
        if report.batches or report.quarantined or changed:
            self._version += 1
        return report

    def _retrying(self, ask: Callable[[duckdb.DuckDBPyConnection], Answer]) -> Answer:
        connection = self._connection
        try:
            with self._cursor() as cursor:
                return ask(cursor)
        except duckdb.Error as error:
            with self._writing:  # waits for a rebuild that another thread began
                if connection is self._connection:
                    if self._database is None or not isinstance(error, _DAMAGE):
                        raise
                    _refuse_if_not_damage(error, self._database)
                    self.rebuild()
        with self._cursor() as cursor:
            return ask(cursor)

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._connection.cursor()
        self._cursors.add(cursor)
        try:
            yield cursor
        finally:
            self._cursors.discard(cursor)
            cursor.close()


def _config(database: Path | None) -> dict[str, str | bool]:
    config: dict[str, str | bool] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    if database is not None:
        config["temp_directory"] = str(database.parent / "tmp")
    return config


def _connect_or_rebuild(database: Path) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(str(database), config=_config(database))
        if _schema_version(connection) == SCHEMA_VERSION:
            return connection
        connection.close()
    except duckdb.Error as error:
        _refuse_if_not_damage(error, database)
    _put_aside(database)
    connection = duckdb.connect(str(database), config=_config(database))
    _create(connection)
    return connection


def _refuse_if_not_damage(error: duckdb.Error, database: Path) -> None:
    text = str(error)
    if "lock" in text and (owner := re.search(r"PID (\d+)", text)):
        raise BadRequest(
            f"Process {owner[1]} already owns the results in {database.parent}; "
            "stop it, or set ATLAS_DATA to another folder."
        ) from None
    if "Permission denied" in text or "Read-only file system" in text:
        raise BadRequest(f"{database} cannot be written; give this user the folder or set ATLAS_DATA.") from None
    if "No space left" in text:
        raise BadRequest(f"The disk of {database.parent} is full; make room and start again.") from None


def _schema_version(connection: duckdb.DuckDBPyConnection) -> int | None:
    tables = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'meta'").fetchone()
    if not tables or not tables[0]:
        return None
    row = connection.execute("SELECT schema_version FROM meta").fetchone()
    return row[0] if row else None


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("BEGIN")
    connection.execute(_SCHEMA.read_text())
    connection.execute("INSERT INTO meta VALUES (?)", [SCHEMA_VERSION])
    connection.execute("COMMIT")


def _put_aside(database: Path) -> None:
    """Keep the last index that could not be used, for a look; a later one replaces it."""
    aside = database.parent / "damaged"
    shutil.rmtree(aside, ignore_errors=True)
    for part in _files_of(database):
        aside.mkdir(exist_ok=True)
        part.rename(aside / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{part.name}")


def _files_of(database: Path) -> Iterator[Path]:
    yield from (part for part in (database, database.with_name(database.name + ".wal")) if part.exists())
