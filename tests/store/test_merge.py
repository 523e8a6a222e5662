"""Merging changes the files of the spool and nothing that anybody reads, whatever is delivered or killed."""

import signal
import subprocess
import sys

import pytest

from sciml_backend import paths
from sciml_backend.run import Artifact, BadRequest, Status
from sciml_backend.store import merge, queries, spool, transfer
from sciml_backend.store.batch import read_header
from sciml_backend.store.compact import compact
from sciml_backend.store.connection import Store
from sciml_backend.store.ingest import Report
from sciml_backend.store.merge import Tidied
from sciml_backend.store.withdrawal import withdraw

MAP = "pinn/convection/lbfgs"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Batches are old enough as soon as they are stored; removal is for each test to allow."""
    monkeypatch.setattr(merge, "AGE", 0.0)


@pytest.fixture
def removal(monkeypatch):
    return lambda: monkeypatch.setattr(merge, "GRACE", 0.0)


def deliver(records, batch_id):
    (path,) = spool.write_runs(records, paths.spool_new(), batch_id=batch_id, axis="beta")
    return path


def deliver_ten(record, first=5):
    records = [record(beta, 100, seed) for beta in range(first, first + 10) for seed in range(2)]
    for part in range(10):
        deliver(records[2 * part : 2 * part + 2], f"job:{first + part}")
    return records


def files():
    return sorted(path.name for path in paths.spool_done().iterdir())


def content(store):
    """What a reader of the index and a reader of Parquet alone get."""
    runs = queries.runs(store, MAP).drop(columns="batch_id")
    assert transfer.read(MAP).drop(columns="batch_id").equals(runs)
    return runs.to_json(), len(queries.curves(store, runs["cell_id"])), sorted(spool.existing_cells())


def test_merging_changes_no_answer(store, record, removal):
    records = deliver_ten(record)
    found = Artifact(cell_id=records[3].spec.cell_id, kind="hessian_extremes", numbers={"lambda_max": 2.0})
    spool.write_artifacts([found], paths.spool_new(), batch_id="d:0")
    store.ingest()
    before = content(store)
    assert store.tidy() == Tidied(merged=10, written=1)
    assert content(store) == before and len(files()) == 12  # who listed the files before still finds them
    assert store.tidy() == Tidied()
    removal()
    assert store.tidy() == Tidied(removed=10)
    assert content(store) == before and len(files()) == 2
    for _ in range(2):
        weights = queries.weights(store, records[3].spec.cell_id)
        assert (weights.initial, weights.final) == (records[3].theta_initial, records[3].theta_final)
        assert queries.artifact(store, records[3].spec.cell_id, "hessian_extremes").numbers == {"lambda_max": 2.0}
        store.rebuild()
        assert content(store) == before


def test_late_deliveries_of_merged_batches_are_repetitions_even_after_a_rebuild(store, record, removal):
    removal()
    deliver_ten(record)
    store.ingest()
    store.tidy()
    store.tidy()
    for _ in range(2):
        deliver([record(5, 100, seed, train_loss=0.5) for seed in range(2)], "job:5")  # another attempt, other floats
        assert store.ingest() == Report(repeated=1)
        deliver([record(70)], "job:6")
        assert store.ingest() == Report(quarantined=1)
        assert queries.regime_grid(store, MAP)["train_loss"].unique().tolist() == [0.01]
        assert not list(paths.spool_new().iterdir()) and len(files()) == 1
        store.rebuild()


def test_merged_files_are_merged_again_and_remember_all(store, record, removal, monkeypatch):
    removal()
    monkeypatch.setattr(merge, "FEWEST", 2)
    for first in (5, 25):
        deliver_ten(record, first)
        store.ingest()
        store.tidy()
        store.tidy()
    before = content(store)
    (path,) = paths.spool_done().iterdir()
    assert {m.batch_id for m in read_header(path).members} >= {f"job:{b}" for b in [*range(5, 15), *range(25, 35)]}
    store.rebuild()
    assert content(store) == before
    deliver([record(5, 100, seed) for seed in range(2)], "job:5")
    assert store.ingest() == Report(repeated=1)


def test_the_first_run_of_a_cell_and_the_one_that_worked_stay(store, record, removal):
    removal()
    failed = {"status": Status.FAILED, "train_loss": None, "test_error": None}
    deliver([record(5, **failed)], "a")
    deliver([record(5, train_loss=0.25), record(6, train_loss=0.5)], "b")
    deliver([record(5, train_loss=0.75)], "c")
    deliver_ten(record, 15)
    store.ingest()
    withdraw(record(6).spec.cell_id, reason="wrong", by="ada")
    store.ingest()
    before = content(store)
    store.tidy()
    store.tidy()
    assert len(files()) == 2
    store.rebuild()
    assert content(store) == before and queries.runs(store, MAP, x=5.0)["train_loss"].tolist() == [0.25]
    assert queries.weights(store, record(6).spec.cell_id, on_record=True).final == record(6).theta_final


def test_young_large_few_and_damaged_files_are_left_alone(store, record, monkeypatch):
    deliver_ten(record)
    store.ingest()
    with monkeypatch.context() as patch:
        patch.setattr(merge, "AGE", 3600.0)
        assert store.tidy() == Tidied()
    with monkeypatch.context() as patch:
        patch.setattr(merge, "SMALL", 1000)
        assert store.tidy() == Tidied()
    damaged = next(path for path in paths.spool_done().iterdir() if path.name.startswith("job_10"))
    payload = bytearray(damaged.read_bytes())
    payload[100] ^= 0xFF
    damaged.write_bytes(payload)
    assert store.tidy() == Tidied()  # it stands between five and four


def test_members_stay_while_the_merged_file_is_not_whole(store, record, removal):
    deliver_ten(record)
    store.ingest()
    store.tidy()
    (merged,) = [path for path in paths.spool_done().iterdir() if path.name.startswith("merge")]
    payload = bytearray(merged.read_bytes())
    payload[len(payload) // 2] ^= 0xFF
    merged.write_bytes(payload)
    removal()
    assert store.tidy() == Tidied() and len(files()) == 11
    merged.unlink()
    before = content(store)
    store.rebuild()
    assert content(store) == before


CHILD = """
import os, signal, sys
from sciml_backend.store import ingest, merge
from sciml_backend.store.connection import Store
merge.AGE = merge.GRACE = 0.0
def reached(point):
    if point == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
store = Store.open()
ingest.reached = reached
store.tidy()
"""


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("point", ["after merge written", "after merge logged"])
def test_a_kill_at_any_point_loses_and_doubles_nothing(folders, record, removal, point, lost):
    deliver_ten(record)
    with Store.open() as store:
        before = content(store)
    killed = subprocess.run([sys.executable, "-c", CHILD, point], cwd=paths.ROOT, timeout=60)
    assert killed.returncode == -signal.SIGKILL and len(files()) == 11
    if lost:
        paths.database().unlink()
    removal()
    with Store.open() as store:
        assert content(store) == before
        assert store.tidy() == Tidied(removed=10)
        assert content(store) == before and len(files()) == 1
        store.rebuild()
        assert content(store) == before
        deliver([record(5, 100, seed) for seed in range(2)], "job:5")
        assert store.ingest() == Report(repeated=1)


def test_compaction_of_an_idle_folder_leaves_merged_files_alone(store, record, removal):
    removal()
    deliver_ten(record)
    store.ingest()
    store.tidy()
    store.tidy()
    assert compact(paths.spool_done()) == (0, 0) and len(files()) == 1


def test_readers_in_memory_do_not_tidy(folders):
    with Store.in_memory() as store, pytest.raises(BadRequest, match="read-only"):
        store.tidy()
