"""A control store of any earlier version opens with everything that was in it, and has the schema of a new one."""

import contextlib
import sqlite3

import pytest

from jobs.control import MIGRATIONS, SCHEMA_VERSION, ControlStore
from jobs.job import State
from sciml_backend.run import BadRequest

OLD_JOB = {
    "job_id": "01K9ZZZZZZZZZZZZZZZZZZZZZZ",
    "kind": "rehearse",
    "spec_json": '{"maps":["pinn/convection/lbfgs"]}',
    "spec_hash": "h",
    "claims_cells": 1,
    "max_attempts": 3,
    "state": "dead",
    "n_cells": 1,
    "created_at": "2026-11-01T12:00:00.000+00:00",
    "error_text": "It broke.",
}


def write_version(path, version):
    """A control store as this version left it, with one job that ended."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for migration in MIGRATIONS[:version]:
            db.executescript(migration.read_text())
        db.execute(f"PRAGMA user_version = {version}")
        marks = ", ".join("?" * len(OLD_JOB))
        db.execute(f"INSERT INTO job ({', '.join(OLD_JOB)}) VALUES ({marks})", tuple(OLD_JOB.values()))


def schema(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        columns = {table: sorted(row[1:6] for row in db.execute(f"PRAGMA table_info({table})")) for table in tables}
        indices = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL").fetchall()
        return columns, sorted(indices), db.execute("PRAGMA user_version").fetchone()[0]


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_every_earlier_version_is_brought_up_to_date(version, tmp_path, cells):
    new, old = tmp_path / "new.sqlite", tmp_path / "old.sqlite"
    ControlStore(new).jobs()
    write_version(old, version)
    control = ControlStore(old)
    (job,) = control.jobs()
    assert (job.job_id, job.state, job.error_text) == (OLD_JOB["job_id"], State.DEAD, "It broke.")
    assert control.requeue(job.job_id, actor="test").state is State.QUEUED
    assert control.submit("rehearse", cells(1), spec={}, claim=True).state is State.QUEUED
    assert schema(old) == schema(new)


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "control.sqlite"
    write_version(path, 1)
    before = schema(path)
    broken = tmp_path / "0002_broken.sql"
    broken.write_text("ALTER TABLE job ADD COLUMN device TEXT;\nALTER TABLE nowhere ADD COLUMN x TEXT;\n")
    monkeypatch.setattr("jobs.control.MIGRATIONS", [MIGRATIONS[0], broken])
    with pytest.raises(sqlite3.OperationalError):
        ControlStore(path).jobs()
    assert schema(path) == before


def test_a_store_of_a_newer_version_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "control.sqlite"
    write_version(path, SCHEMA_VERSION)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(BadRequest, match="written by a newer version"):
        ControlStore(path).jobs()
