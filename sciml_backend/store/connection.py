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
from sciml_backend.run import BadRequest, MapName, NoSpace
from sciml_backend.store import published
from sciml_backend.store.ingest import Report, holds_removed, load_in_place, take_in
from sciml_backend.store.merge import Tidied, tidy
from sciml_backend.store.spool import require_space

SCHEMA_VERSION = 3
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
        self._traffic = threading.Condition()
        self._open_cursors = 0
        self._rebuilding: int | None = None
        self._half_made = False
        self._connection = connection

    @classmethod
    def open(cls, database: Path | None = None) -> Store:
        """Own the index, bring it up to date with every batch, and rebuild it when it is damaged or of another version.

        Raises BadRequest when another process owns it, the folder cannot be written, or the disk is nearly full.
        """
        database = database or paths.database()
        require_space(paths.made(database.parent))
        store = cls(connect_or_create(database), database=database)
        store.ingest(everything=True)
        return store

    @classmethod
    def in_memory(cls, name: MapName | None = None) -> Store:
        """A private index of all Parquet batches (of one map's runs), in memory; nothing on disk is changed."""
        connection = _create(None)
        store = cls(connection, database=None)
        load_in_place(connection, str(name) if name else None)
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

    def ingest(self, *, everything: bool = False) -> Report:
        """Take in the batches that arrived; with ``everything`` also those taken in before that the index lacks.

        Where shipped batches that are in the index were taken away since, ``everything`` makes it anew.

        Raises BadRequest when the disk is nearly full.
        """
        if self._database is None:
            raise BadRequest("Results in memory are read-only; open the store to add to it.")
        require_space(self._database.parent)
        with self._writing:
            if self._half_made:
                return self.rebuild()
            try:
                if not (everything and self._outdated()):
                    return self._take_in(everything)
            except duckdb.Error as error:
                _raise_unless_damage(error, self._database)
        return self.rebuild()

    def rebuild(self) -> Report:
        """Put the index aside and make it anew from the batches; one that the disk had no room for is made next time.

        Raises BadRequest when the disk is nearly full.
        """
        if self._database is None:
            raise BadRequest("Results in memory have no file to rebuild.")
        require_space(self._database.parent)
        with self._writing, self._alone():
            self._half_made = True
            with contextlib.suppress(duckdb.Error):
                self._connection.close()
            _put_aside(self._database)
            try:
                self._connection = _create(self._database)
                report = self._take_in(everything=True)
            except duckdb.Error as error:
                _raise_obstacle(error, self._database)
                raise
            self._version += 1
            self._half_made = False
            return report

    def tidy(self) -> Tidied:
        """Merge small batches that have been in the spool for a day, and remove those merged an hour ago or earlier.

        Safe while others read and write; what arrives meanwhile waits. Raises BadRequest when the disk is nearly full.
        """
        if self._database is None:
            raise BadRequest("Results in memory are read-only; open the store to tidy its spool.")
        require_space(self._database.parent)
        with self._writing, self.cursor() as cursor:
            return tidy(cursor)

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

    def _outdated(self) -> bool:
        with self.cursor() as cursor:
            return holds_removed(cursor)

    def _take_in(self, everything: bool) -> Report:
        with self.cursor() as cursor:
            report = take_in(cursor, everything=everything)
            changed = published.load(cursor) if everything else False
        if report.batches or report.quarantined or changed:
            self._version += 1
        return report

    def _retrying(self, ask: Callable[[duckdb.DuckDBPyConnection], Answer]) -> Answer:
        connection = self._connection
        try:
            with self.cursor() as cursor:
                return ask(cursor)
        except duckdb.Error as error:
            if self._database is None:
                raise
            if not self._half_made:
                _raise_unless_damage(error, self._database)
        with self._writing:
            if connection is self._connection or self._half_made:  # the first to meet the damage rebuilds for all
                self.rebuild()
        with self.cursor() as cursor:
            return ask(cursor)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for the calling thread; it waits while another thread rebuilds the index."""
        with self._traffic:
            self._traffic.wait_for(lambda: self._rebuilding in (None, threading.get_ident()))
            self._open_cursors += 1
        cursor = None
        try:
            cursor = self._connection.cursor()
            yield cursor
        finally:
            if cursor is not None:
                cursor.close()
            with self._traffic:
                self._open_cursors -= 1
                self._traffic.notify_all()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no cursor is open: connecting again would otherwise give back the same damaged database."""
        with self._traffic:
            self._rebuilding = threading.get_ident()
            self._traffic.wait_for(lambda: self._open_cursors == 0)
        try:
            yield
        finally:
            with self._traffic:
                self._rebuilding = None
                self._traffic.notify_all()


def _config(database: Path | None) -> dict[str, str | bool | int | float | list[str]]:
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if database is not None:
        config["temp_directory"] = str(database.parent / "tmp")
    return config


def connect_or_create(database: Path) -> duckdb.DuckDBPyConnection:
    """A connection to the index file, or to an empty one in its place when it is damaged or of another schema."""
    if database.exists():
        try:
            connection = duckdb.connect(str(database), config=_config(database))
            if _schema_version(connection) == SCHEMA_VERSION:
                return connection
            connection.close()
        except duckdb.Error as error:
            _raise_obstacle(error, database)
    _put_aside(database)
    return _create(database)


@contextlib.contextmanager
def without_owner(database: Path) -> Iterator[None]:
    """Keep everybody from the index meanwhile, and put it aside in the end: the next owner makes it anew.

    Raises BadRequest when a process owns it.
    """
    connection = None
    try:
        connection = duckdb.connect(str(database))
    except duckdb.ConnectionException:  # in this process, with the settings of an owner
        raise BadRequest(f"This process owns the results in {database.parent}; close the store first.") from None
    except duckdb.Error as error:
        _raise_obstacle(error, database)  # else it is damaged, and nobody can own it
    try:
        yield
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    if connection is not None:
        connection.close()
    _put_aside(database)


def _raise_unless_damage(error: duckdb.Error, database: Path) -> None:
    _raise_obstacle(error, database)
    # A block whose checksum is wrong comes as the plain base class.
    if not isinstance(error, _DAMAGE) and type(error) is not duckdb.Error:
        raise error


def _raise_obstacle(error: duckdb.Error, database: Path) -> None:
    """Raise BadRequest when the file is not damaged but out of reach."""
    text = str(error)
    if "lock" in text and (owner := re.search(r"PID (\d+)", text)):
        raise BadRequest(
            f"Process {owner[1]} already owns the results in {database.parent}; "
            "stop it, or set ATLAS_DATA to another folder."
        ) from None
    if "Permission denied" in text or "Read-only file system" in text:
        raise BadRequest(f"{database} cannot be written; give this user the folder or set ATLAS_DATA.") from None
    if "No space left" in text:
        raise NoSpace(f"The disk of {database.parent} is full; make room.") from None


def _schema_version(connection: duckdb.DuckDBPyConnection) -> int | None:
    tables = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'meta'").fetchone()
    if not tables or not tables[0]:
        return None
    row = connection.execute("SELECT schema_version FROM meta").fetchone()
    return row[0] if row else None


def _create(database: Path | None) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(str(database or ":memory:"), config=_config(database))
    except duckdb.Error as error:
        _raise_obstacle(error, database or Path())
        raise
    connection.execute("BEGIN")
    connection.execute(_SCHEMA.read_text())
    connection.execute("INSERT INTO meta VALUES (?)", [SCHEMA_VERSION])
    connection.execute("COMMIT")
    return connection


def _put_aside(database: Path) -> None:
    """Keep the last index that could not be used, for a look; a later one replaces it."""
    aside = database.parent / "damaged"
    shutil.rmtree(aside, ignore_errors=True)
    for part in _files_of(database):
        aside.mkdir(exist_ok=True)
        part.rename(aside / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{part.name}")


def _files_of(database: Path) -> Iterator[Path]:
    yield from (part for part in (database, database.with_name(database.name + ".wal")) if part.exists())
