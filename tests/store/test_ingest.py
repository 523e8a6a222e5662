"""Every batch enters the index exactly once, whatever happens to the process, the file or the index."""

import concurrent.futures
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sciml_backend import paths
from sciml_backend.run import Artifact, BadRequest, Status
from sciml_backend.store import queries, spool, transfer
from sciml_backend.store.connection import Store
from sciml_backend.store.ingest import Report

MAP = "pinn/convection/lbfgs"
BETAS = (5, 6, 7, 8)


def deliver(records, batch_id, folder=None):
    (path,) = spool.write_runs(records, folder or paths.spool_new(), batch_id=batch_id, axis="beta")
    return path


def deliver_four(record):
    for part, beta in enumerate(BETAS):
        deliver([record(beta, 100, seed) for seed in range(3)], f"job:{part}")


def content(store):
    """All of the index that must be equal after a rebuild."""
    runs = queries.runs(store, MAP).drop(columns="batch_id")
    return json.loads(runs.to_json(orient="records")), queries.curves(store, runs["cell_id"]).shape


# --- exactly once -----------------------------------------------------------------------------------------------------

CHILD = """
import os, signal, sys
from sciml_backend.store import ingest
from sciml_backend.store.connection import Store
def reached(point):
    if point == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
ingest.reached = reached
store = Store.open()
print("opened", flush=True)
"""


@pytest.mark.parametrize("point", ["before begin", "after log", "after rows", "after commit", "after rename"])
def test_a_kill_at_any_point_loses_and_doubles_nothing(folders, record, point):
    deliver_four(record)
    killed = subprocess.run([sys.executable, "-c", CHILD, point], cwd=paths.ROOT, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with Store.open() as store:
        assert len(queries.runs(store, MAP)) == 12
        assert store.rows("SELECT count(*), count(DISTINCT batch_id) FROM ingest_log WHERE kind = 'runs'") == [(4, 4)]
        assert store.rows("SELECT count(*), count(DISTINCT cell_id) FROM curve") == [(12, 12)]
    assert not list(paths.spool_new().iterdir()) and len(list(paths.spool_done().iterdir())) == 4


def test_kills_at_random_times_lose_and_double_nothing(folders, record):
    chance = random.Random(0)
    for round_ in range(4):
        deliver([record(beta, 100 + round_, seed) for beta in BETAS for seed in range(2)], f"job:{round_}")
        child = subprocess.Popen([sys.executable, "-c", CHILD, "never"], cwd=paths.ROOT, stdout=subprocess.PIPE)
        time.sleep(chance.uniform(0.3, 1.2))
        child.kill()
        child.communicate()
    with Store.open() as store:
        assert store.rows("SELECT count(*), count(DISTINCT cell_id) FROM run WHERE status = 'converged'") == [(32, 32)]


def test_repeated_late_and_reordered_deliveries_are_stored_once(store, record):
    runs = [record(5, 100, seed) for seed in range(3)]
    deliver(runs, "job:0")
    assert store.ingest() == Report(batches=1)
    again = [record(5, 100, seed, train_loss=0.5) for seed in range(3)]  # another attempt, other floats
    deliver(again, "job:0")
    deliver([record(6)], "job:1")
    assert store.ingest() == Report(batches=1, repeated=1)
    grid = queries.regime_grid(store, MAP)
    assert grid["train_loss"].tolist() == [0.01, 0.01] and grid["n_seeds"].tolist() == [3, 1]
    assert not list(paths.spool_new().iterdir())


def test_a_lost_batch_comes_back_by_importing_it(store, record, tmp_path):
    path = deliver([record(5)], "job:0", tmp_path / "elsewhere")
    for _ in range(2):
        transfer.import_file(path)
        store.ingest()
        (stored,) = paths.spool_done().iterdir()
        stored.unlink()
    again = deliver([record(5, train_loss=0.5)], "job:0")  # the same cells in another file
    store.ingest()
    assert [p.name for p in paths.spool_done().iterdir()] == [again.name] and not list(paths.spool_new().iterdir())
    assert store.rows("SELECT file FROM ingest_log WHERE batch_id = 'job:0'") == [(f"spool/{again.name}",)]
    assert queries.weights(store, record(5).spec.cell_id).final == record(5).theta_final
    assert len(queries.runs(store, MAP)) == 1


def test_a_repetition_among_shipped_results_is_looked_at_once(store, record):
    first = deliver([record(5)], "sweep:0", paths.results() / "a")
    second = deliver([record(5, train_loss=0.5)], "sweep:0", paths.results() / "b")
    assert store.ingest() == Report(batches=1, repeated=1)
    assert store.ingest() == Report()
    assert first.exists() and second.exists()
    first.unlink()
    assert store.ingest(everything=True) == Report(batches=1)
    assert store.rows("SELECT file FROM ingest_log WHERE kind = 'runs'") == [(f"results/b/{second.name}",)]
    assert queries.runs(store, MAP)["train_loss"].tolist() == [0.5]


def test_a_cell_in_two_batches_keeps_its_first_run(store, record):
    deliver([record(5), record(6)], "job:0")
    store.ingest()
    deliver([record(5, train_loss=0.9), record(7)], "other:0")
    store.ingest()
    assert queries.regime_grid(store, MAP)["train_loss"].tolist() == [0.01] * 3


def test_a_failed_run_gives_way_to_one_that_worked(store, record):
    failed = {"status": Status.FAILED, "reason": "Out of memory.", "train_loss": None, "test_error": None}
    deliver([record(5, **failed)], "job:0")
    store.ingest()
    assert queries.regime_grid(store, MAP)["n_failed"].tolist() == [1]
    deliver([record(5)], "job:1")
    store.ingest()
    deliver([record(5, **failed)], "job:2")
    store.ingest()
    assert queries.runs(store, MAP)["status"].tolist() == ["converged"]


# --- files that are not valid batches ---------------------------------------------------------------------------------


def rewrite(path, change):
    """A copy of a batch with changed columns, under a name without digest; the original is removed."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path.with_name("changed.parquet"))
    path.unlink()


def truncated(path):
    path.write_bytes(path.read_bytes()[:-200])


def flipped(path):
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 0xFF
    path.write_bytes(payload)


def foreign(path):
    pq.write_table(pa.table({"a": [1]}), path)


def other_cells(path):
    shutil.copy(path, path.with_name("x.parquet"))
    rewrite(path.with_name("x.parquet"), lambda row: row.update(cell_id="00000000-0000-0000-0000-000000000000"))
    path.unlink()


BAD = {
    "truncated": (truncated, "not a readable Parquet file"),
    "flipped byte": (flipped, "does not match the digest"),
    "foreign": (foreign, "not a results file of Regime Atlas"),
    "wrong cells": (other_cells, "not the cells that its header lists"),
    "negative loss": (lambda p: rewrite(p, lambda row: row.update(train_loss=-1.0)), "train_loss is negative"),
    "infinite loss": (lambda p: rewrite(p, lambda row: row.update(test_error=float("inf"))), "test_error is inf"),
    "other x": (lambda p: rewrite(p, lambda row: row.update(x=1.0)), "differ.* from its run specification"),
    "other spec": (lambda p: rewrite(p, lambda row: row.update(spec="{}")), "identity cannot be read"),
    "unfinished": (lambda p: rewrite(p, lambda row: row.update(status="running")), "not a finished run"),
    "pretended reading": (lambda p: rewrite(p, lambda row: row.update(source="published")), "not a finished run"),
    "newer protocol": (lambda p: rewrite(p, lambda row: row.update(protocol_version=99)), "protocol version is 99"),
}


@pytest.mark.parametrize("damage", BAD)
def test_bad_files_are_put_aside_with_the_reason_and_others_go_on(store, record, damage, caplog):
    spoil, sentence = BAD[damage]
    spoil(deliver([record(5)], "bad:0"))
    deliver([record(6)], "good:0")
    assert store.ingest() == Report(batches=1, quarantined=1)
    assert queries.runs(store, MAP)["x"].tolist() == [6.0]
    assert queries.quarantined(store)["reason"].str.contains(sentence).tolist() == [True]
    assert re.search(sentence, caplog.text)
    assert len(list(paths.spool_quarantine().iterdir())) == 1 and not list(paths.spool_new().iterdir())


def test_one_identity_for_other_cells_is_a_conflict(store, record):
    deliver([record(5)], "job:0")
    store.ingest()
    deliver([record(6)], "job:0")
    assert store.ingest() == Report(quarantined=1)
    assert "stored before with other cells" in queries.quarantined(store)["reason"][0]


def test_shipped_results_that_were_replaced_leave_the_index(folders, record):
    kept = deliver([record(7)], "job:0")
    old = [deliver([record(5)], "sweep:0", paths.results() / "a"), deliver([record(6)], "sweep:1", paths.results())]
    with Store.open() as store:
        assert len(queries.runs(store, MAP)) == 3
    for path in old:
        path.unlink()
    deliver([record(5, train_loss=0.25)], "sweep:0", paths.results() / "b")  # anew, under the name of the one before
    with Store.open() as store:
        runs = queries.runs(store, MAP)
        assert dict(zip(runs["x"], runs["train_loss"], strict=True)) == {5.0: 0.25, 7.0: record(7).train_loss}
    assert (paths.spool_done() / kept.name).exists()


def test_shipped_results_are_read_in_place(folders, record):
    path = deliver([record(5)], "sweep:0", paths.results() / "pinn")
    broken = deliver([record(6)], "sweep:1", paths.results() / "pinn")
    truncated(broken)
    with Store.open() as store:
        assert queries.runs(store, MAP)["x"].tolist() == [5.0]
        assert store.ingest() == Report()
        assert len(queries.quarantined(store)) == 1
        deliver([record(7)], "sweep:2", paths.results())
        assert store.ingest() == Report(batches=1)
    assert path.exists() and broken.exists()


# --- the index can be lost --------------------------------------------------------------------------------------------


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path):
    path.write_text("not a database")


@pytest.mark.parametrize("damage", [zero, cut, overwrite, os.unlink])
def test_a_damaged_index_is_rebuilt_to_the_same_content(folders, record, damage):
    deliver([record(9)], "sweep:0", paths.results())
    deliver_four(record)
    with Store.open() as store:
        before = content(store)
    damage(paths.database())
    with Store.open() as store:
        assert content(store) == before
        assert len(queries.runs(store, MAP, source="published")) == 144


def test_an_index_of_another_schema_is_rebuilt(folders, record):
    deliver_four(record)
    with Store.open() as store:
        before = content(store)
        store._connection.execute("UPDATE meta SET schema_version = -1")
    with Store.open() as store:
        assert content(store) == before


def test_damage_met_by_a_query_is_mended(folders, record):
    deliver_four(record)
    with Store.open() as store:
        before = content(store)
        store.rows("CHECKPOINT")
        blocks = store.rows("SELECT DISTINCT block_id FROM pragma_storage_info('run') WHERE block_id >= 0")
    database = bytearray(paths.database().read_bytes())
    for (block,) in blocks:
        database[3 * 4096 + block * 262_144 + 1000] ^= 0xFF  # three headers, then blocks of 256 KiB
    paths.database().write_bytes(database)
    with Store.open() as store:
        assert not (paths.var() / "damaged").exists()  # it opened: the damage is in a table that opening does not read
        assert content(store) == before
        assert list((paths.var() / "damaged").iterdir())


def test_a_second_owner_is_refused_and_told_who_is_first(store):
    child = subprocess.run(
        [sys.executable, "-c", "from sciml_backend.store.connection import Store; Store.open()"],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.returncode == 1
    assert f"BadRequest: Process {os.getpid()} already owns the results" in child.stderr


def test_the_version_grows_when_answers_change_and_only_then(store, record):
    before = store.version()
    store.ingest()
    assert store.version() == before
    deliver([record(5)], "job:0")
    store.ingest()
    assert store.version() == before + 1


# --- in and out -------------------------------------------------------------------------------------------------------


def test_reading_works_while_the_index_is_owned(store, record):
    deliver([record(5)], "job:0")
    store.ingest()
    deliver([record(6)], "job:1")  # not yet taken in
    deliver([record(7)], "sweep:0", paths.results())
    assert transfer.read(MAP)["x"].tolist() == [5.0, 6.0, 7.0]
    assert len(list(paths.spool_new().iterdir())) == 1


def test_exports_hold_what_reading_gives(folders, record, tmp_path):
    deliver([record(5), record(6)], "job:0")
    assert transfer.export(MAP, tmp_path / "out.csv") == 2
    assert transfer.export(MAP, tmp_path / "out.parquet") == 2
    assert pq.read_table(tmp_path / "out.parquet").column("x").to_pylist() == [5.0, 6.0]
    assert (tmp_path / "out.csv").read_text().count("\n") == 3
    with pytest.raises(BadRequest, match="change the suffix"):
        transfer.export(MAP, tmp_path / "out.xlsx")
    with pytest.raises(BadRequest, match="No computed run of pinn/wave/lbfgs is stored"):
        transfer.export("pinn/wave/lbfgs", tmp_path / "out.csv")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_that_cannot_be_written_is_one_sentence(folders, record, tmp_path, suffix):
    deliver([record(5)], "job:0")
    with pytest.raises(BadRequest, match=r"cannot be written to .*; name another file\.$"):
        transfer.export(MAP, tmp_path / "nowhere" / f"a.{suffix}")
    (tmp_path / f"a.{suffix}").mkdir()
    with pytest.raises(BadRequest, match="Is a directory"):
        transfer.export(MAP, tmp_path / f"a.{suffix}")


def test_a_batch_is_imported_once_however_often_it_comes(store, record, tmp_path):
    path = deliver([record(5)], "theirs:0", tmp_path / "elsewhere")
    for _ in range(2):
        transfer.import_file(path)
        store.ingest()
    assert len(queries.runs(store, MAP)) == 1


def test_importing_something_else_changes_nothing(folders, tmp_path):
    stranger = tmp_path / "stranger.parquet"
    foreign(stranger)
    notes = tmp_path / "notes.txt"
    notes.write_text("hello")
    strangers = [(stranger, "not a results file"), (notes, "not a readable"), (tmp_path / "no", "There is no")]
    for path, sentence in strangers:
        with pytest.raises(BadRequest, match=sentence):
            transfer.import_file(path)
    assert not paths.spool_new().exists()


def test_artifacts_are_stored_once_and_found_again(store, record):
    cell = record(5).spec.cell_id
    found = Artifact(cell_id=cell, kind="hessian_extremes", numbers={"lambda_max": 12.5}, finished_at="2026-01-01")
    other = Artifact(cell_id=cell, kind="hessian_extremes", settings={"k": 2}, finished_at="2026-01-02")
    deliver([record(5)], "job:0")
    for batch_id, artifacts in [("d:0", [found]), ("d:1", [found, other])]:
        spool.write_artifacts(artifacts, paths.spool_new(), batch_id=batch_id)
        store.ingest()
    assert len(queries.artifacts(store, cell)) == 2
    assert queries.artifact(store, cell, "hessian_extremes", settings={}).numbers == {"lambda_max": 12.5}
    assert queries.artifact(store, cell, "hessian_extremes").settings == {"k": 2}
    assert queries.artifact(store, cell, "spectrum") is None


def test_other_threads_survive_a_rebuild(store, record):
    deliver_four(record)
    store.ingest()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(queries.runs, store, MAP) for _ in range(100)]
        store.rebuild()
        sizes = {len(read.result()) for read in reads}
    assert sizes == {12} and len(queries.runs(store, MAP)) == 12
