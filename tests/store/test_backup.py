"""Backups are whole, cheap, few, and come back to the same results."""

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from sciml_backend import paths
from sciml_backend.run import BadRequest
from sciml_backend.store import backup, queries, spool
from sciml_backend.store.connection import Store
from sciml_backend.store.withdrawal import withdraw

MAP = "pinn/convection/lbfgs"
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def deliver(records, batch_id):
    (path,) = spool.write_runs(records, paths.spool_new(), batch_id=batch_id, axis="beta")
    return path


@pytest.fixture
def control(folders):
    """A control store in use: write-ahead log and all."""
    paths.var().mkdir(parents=True)
    with closing(sqlite3.connect(paths.control())) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE job (job_id TEXT)")
        db.execute("INSERT INTO job VALUES ('first')")
        db.commit()
        yield db


def jobs():
    with closing(sqlite3.connect(paths.control())) as db:
        return [job for (job,) in db.execute("SELECT job_id FROM job")]


def test_a_lost_data_folder_comes_back(control, record, tmp_path):
    deliver([record(5), record(6)], "job:0")
    withdraw(record(5).spec.cell_id, reason="wrong", by="ada")
    with Store.open() as store:
        deliver([record(7)], "job:1")  # still in new/
        made = backup.back_up()
        before = queries.withdrawals(store)
    control.close()
    kept = shutil.copytree(made, tmp_path / "elsewhere" / made.name)
    shutil.rmtree(paths.var())
    assert backup.restore(kept) == backup.Restored(batches=3, present=0, damaged=0, control=True)
    assert jobs() == ["first"]
    with Store.open() as store:
        assert queries.runs(store, MAP)["x"].tolist() == [6.0, 7.0]
        assert queries.withdrawals(store).equals(before)


def test_restoring_mends_what_is_damaged_and_keeps_what_came_later(control, record):
    damaged = deliver([record(5)], "job:0")
    deliver([record(6)], "job:1")
    made = backup.back_up()
    payload = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(payload[:-200])
    deliver([record(7)], "job:2")
    control.execute("INSERT INTO job VALUES ('second')")
    control.commit()
    control.close()
    assert backup.restore(made) == backup.Restored(batches=1, present=1, damaged=0, control=True)
    assert jobs() == ["first"]
    assert [path.name for path in (paths.var() / "replaced").rglob("control.sqlite")] == ["control.sqlite"]
    with Store.open() as store:
        assert queries.runs(store, MAP)["x"].tolist() == [5.0, 6.0, 7.0]
    assert damaged.name in {path.name for path in paths.spool_done().iterdir()}


def test_a_batch_that_moved_on_since_stays_where_it_is(folders, record):
    path = deliver([record(5)], "job:0")
    made = backup.back_up()
    Store.open().close()
    assert backup.restore(made) == backup.Restored(batches=0, present=1, damaged=0, control=False)
    assert not path.exists() and (paths.spool_done() / path.name).exists()


def test_batches_are_links_and_digests_are_kept(folders, record):
    path = deliver([record(5)], "job:0")
    first = backup.back_up(NOON)
    linked = first / "spool" / "new" / path.name
    assert linked.samefile(path)
    payload = bytearray(path.read_bytes())
    payload[100] ^= 0xFF
    deliver([record(6)], "job:1")
    with path.open("r+b") as file:  # in place: every link has it
        file.write(payload)
    later = backup.back_up(NOON + timedelta(hours=1))
    shutil.rmtree(paths.var() / "spool")
    assert backup.restore(later) == backup.Restored(batches=1, present=0, damaged=1, control=False)
    with Store.open() as store:
        assert queries.runs(store, MAP)["x"].tolist() == [6.0]


def test_a_disk_without_links_gets_copies(folders, record, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = deliver([record(5)], "job:0")
    made = backup.back_up()
    path.unlink()
    assert backup.restore(made).batches == 1 and path.exists()


@pytest.mark.parametrize("spoil", ["manifest", "missing", "control", "name", "nowhere"])
def test_what_is_no_backup_is_refused_and_changes_nothing(control, record, spoil):
    path = deliver([record(5)], "job:0")
    made = backup.back_up()
    manifest = made / "manifest.json"
    if spoil == "manifest":
        manifest.write_text("{}")
    elif spoil == "missing":
        (made / "control.sqlite").unlink()
    elif spoil == "control":
        (made / "control.sqlite").write_bytes(b"")
    elif spoil == "name":
        manifest.write_text(json.dumps({"files": {"../results.duckdb": {"size": 1, "sha256": ""}}}))
    path.unlink()
    with pytest.raises(BadRequest):
        backup.restore(made if spoil != "nowhere" else made / "nowhere")
    assert jobs() == ["first"] and not path.exists()


def test_restoring_waits_for_the_owner_to_end(folders, record):
    deliver([record(5)], "job:0")
    made = backup.back_up()
    restore = [sys.executable, "-m", "sciml_backend", "backup", "--restore", str(made)]
    with Store.open() as store:
        with pytest.raises(BadRequest, match="This process owns the results"):
            backup.restore(made)
        refused = subprocess.run(restore, cwd=paths.ROOT, capture_output=True, text=True, timeout=60)
        assert refused.returncode == 2 and f"Process {os.getpid()} already owns" in refused.stderr
        assert len(queries.runs(store, MAP)) == 1
    with open(paths.var() / "dispatcher.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BadRequest, match="Jobs are being dispatched"):
            backup.restore(made)
    assert paths.database().exists()
    done = subprocess.run(restore, cwd=paths.ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not paths.database().exists()


def test_backups_are_hourly_and_few(folders, record):
    assert backup.keep_backups(NOON) is None  # there is nothing yet
    deliver([record(5)], "job:0")
    made = [backup.keep_backups(NOON + timedelta(minutes=30 * step)) for step in range(2 * 24 * 10)]
    assert [folder is not None for folder in made[:4]] == [True, False, True, False]
    stamps = [folder.name for folder in backup.backups()]
    last = NOON + timedelta(hours=10 * 24 - 1)
    hourly = {last - timedelta(hours=hours) for hours in range(24)}
    ends_of_days = {datetime(2026, 3, last.day - days, 23, tzinfo=UTC) for days in range(1, 7)}
    assert stamps == sorted(f"{moment:%Y%m%dT%H%M%SZ}" for moment in hourly | ends_of_days)
    assert not list((paths.var() / "backup").glob(".*"))


def test_a_clock_that_was_ahead_does_not_stop_backups(folders, record):
    deliver([record(5)], "job:0")
    backup.back_up(NOON + timedelta(days=400))
    assert backup.due(NOON)


def test_a_backup_that_fails_leaves_nothing(folders, record):
    deliver([record(5)], "job:0")
    paths.control().write_text("not a database")
    with pytest.raises(BadRequest, match="cannot be copied"):
        backup.back_up()
    assert not list((paths.var() / "backup").iterdir())


def test_files_that_move_meanwhile_are_in_the_backup(folders, record, monkeypatch):
    paths_there = [deliver([record(beta)], f"job:{beta}") for beta in (5, 6, 7)]
    link = os.link

    def moving(source, target):
        if not paths.spool_done().exists():  # the owner takes everything in while the first file is linked
            Store.open().close()
        return link(source, target)

    monkeypatch.setattr(os, "link", moving)
    made = backup.back_up()
    assert {path.name for path in made.rglob("*.parquet")} == {path.name for path in paths_there}


def test_old_logs_and_quarantined_files_go(folders, record):
    (paths.var() / "logs").mkdir(parents=True)
    paths.spool_quarantine().mkdir(parents=True)
    log, other = paths.var() / "logs" / "a.log", paths.var() / "logs" / "b.log"
    bad = paths.spool_quarantine() / "bad.parquet"
    for path in (log, other, bad):
        path.touch()
    now = datetime.now(UTC)
    for path in (log, bad):  # the content of a file in quarantine may be old; it came there now
        os.utime(path, ((now - timedelta(days=100)).timestamp(),) * 2)
    assert backup.clear_old() == [log]
    assert backup.clear_old(now + timedelta(days=89)) == [other]
    assert backup.clear_old(now + timedelta(days=91)) == [bad]
