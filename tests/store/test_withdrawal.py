"""A withdrawn run is on record and counts nowhere, whoever reads, in whatever order things arrive."""

import concurrent.futures
import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sciml_backend import paths
from sciml_backend.run import Artifact, BadRequest, Status
from sciml_backend.store import ingest, merge, queries, spool, transfer
from sciml_backend.store.batch import WITHDRAWALS
from sciml_backend.store.compact import compact
from sciml_backend.store.connection import Store
from sciml_backend.store.ingest import Report
from sciml_backend.store.insert import offer_files
from sciml_backend.store.withdrawal import withdraw

MAP = "pinn/convection/lbfgs"
DAY = "2026-01-{:02}T12:00:00+00:00"


def deliver(records, batch_id, folder=None):
    (path,) = spool.write_runs(records, folder or paths.spool_new(), batch_id=batch_id, axis="beta")
    return path


def withdrawn_on(day, cell_id, batch_id="withdraw-0"):
    """A withdrawal of a day of one's choice, as it comes from elsewhere."""
    row = {"cell_id": cell_id, "reason": "wrong", "withdrawn_by": "ada", "withdrawn_at": DAY.format(day)}
    (path,) = spool.write_rows(WITHDRAWALS, [row], paths.spool_new(), batch_id=batch_id)
    return path


def measured(cell_id, day, value=1.0):
    found = Artifact(
        cell_id=cell_id, kind="hessian_extremes", numbers={"lambda_max": value}, finished_at=DAY.format(day)
    )
    (path,) = spool.write_artifacts([found], paths.spool_new(), batch_id=f"diagnose-{day}-{value}")
    return path


def both_readers(store):
    """What the index counts and what those see who read Parquet alone: losses of the map, and cells."""
    store.ingest()
    cells = spool.existing_cells()
    losses = queries.runs(store, MAP)["train_loss"].tolist()
    assert transfer.read(MAP)["train_loss"].tolist() == losses
    assert queries.known_cells(store, cells) == cells
    return losses, cells


def test_a_withdrawn_run_counts_nowhere_and_stays_on_record(store, record):
    gone, stays = record(5), record(6, train_loss=0.5)
    cell = gone.spec.cell_id
    deliver([gone, stays], "job:0")
    measured(cell, 1)
    store.ingest()
    version = store.version()
    withdraw(cell, reason="the wrong seed", by="ada")
    assert both_readers(store) == ([0.5], {stays.spec.cell_id})
    assert store.version() > version
    assert queries.regime_grid(store, MAP)["x"].tolist() == [6.0]
    assert queries.maps(store).query("source == 'computed'")["n_runs"].tolist() == [1]
    assert queries.artifacts(store, cell).empty and queries.artifact(store, cell, "hessian_extremes") is None
    assert queries.curves(store, [cell]).empty
    for read in (lambda: queries.weights(store, cell), lambda: spool.read_weights(cell)):
        with pytest.raises(BadRequest, match="train it first"):
            read()
    assert spool.failed_cells() == {cell}  # a second attempt of its job is then delivered under a key of its own
    (line,) = queries.withdrawals(store).to_dict("records")
    assert (line["cell_id"], line["reason"], line["withdrawn_by"]) == (cell, "the wrong seed", "ada")
    assert (line["map"], line["x"], line["y"], line["train_loss"]) == (MAP, 5.0, 100.0, 0.01)
    assert queries.weights(store, cell, on_record=True).final == gone.theta_final
    assert queries.artifact(store, cell, "hessian_extremes", on_record=True).numbers == {"lambda_max": 1.0}
    assert len(queries.artifacts(store, cell, on_record=True)) == 1
    assert not list(paths.spool_new().iterdir())


def test_it_survives_a_rebuild_and_is_taken_in_once(store, record, tmp_path):
    deliver([record(5), record(6)], "job:0")
    withdraw(record(5).spec.cell_id, reason="wrong", by="ada")
    (again,) = [path for path in paths.spool_new().iterdir() if path.name.startswith("withdraw")]
    copy = tmp_path / again.name
    copy.write_bytes(again.read_bytes())
    assert store.ingest() == Report(batches=2)
    before = queries.withdrawals(store)
    transfer.import_file(copy)
    assert store.ingest() == Report(repeated=1)
    store.rebuild()
    assert queries.withdrawals(store).equals(before) and len(before) == 1
    assert queries.runs(store, MAP)["x"].tolist() == [6.0]


def story(record):
    """Five deliveries of one cell, as functions, and what must be the end of it."""
    first = record(5, train_loss=0.1, finished_at=DAY.format(1))
    late = record(5, train_loss=0.2, finished_at=DAY.format(2))
    better = record(5, train_loss=0.3, finished_at=DAY.format(5))
    cell = first.spec.cell_id
    steps = [
        lambda: deliver([first], "job:0"),
        lambda: withdrawn_on(3, cell),
        lambda: deliver([late], "job:1"),
        lambda: deliver([better, record(6, train_loss=0.6)], "job:2"),
        lambda: (measured(cell, 2, 2.0), measured(cell, 6, 6.0)),
    ]
    return cell, steps


@pytest.mark.parametrize("order", list(itertools.permutations(range(5)))[::7])
def test_runs_that_finished_later_count_in_whatever_order_things_arrive(store, record, order):
    cell, steps = story(record)
    for number in order:
        steps[number]()
        store.ingest()
    for _ in range(2):
        losses, _ = both_readers(store)
        assert losses == [0.3, 0.6]
        assert queries.artifact(store, cell, "hessian_extremes").numbers == {"lambda_max": 6.0}
        assert queries.artifact(store, cell, "hessian_extremes", on_record=True).numbers == {"lambda_max": 2.0}
        assert store.rows("SELECT count(*), count(DISTINCT finished_at) FROM withdrawn_run") == [(2, 2)]
        assert store.rows("SELECT count(*) FROM curve") == [(2,)]
        store.rebuild()


def test_a_cell_may_be_withdrawn_again(store, record):
    deliver([record(5, finished_at=DAY.format(1))], "job:0")
    cell = record(5).spec.cell_id
    withdrawn_on(2, cell)
    deliver([record(5, train_loss=0.5, finished_at=DAY.format(3))], "job:1")
    assert both_readers(store)[0] == [0.5]
    withdraw(cell, reason="wrong again", by="bob")
    assert both_readers(store) == ([], set())
    assert queries.withdrawals(store)[["reason", "train_loss"]].values.tolist() == [
        ["wrong again", 0.5],
        ["wrong", 0.01],
    ]


def test_a_run_dated_ahead_of_this_clock_is_withdrawn_too(store, record):
    deliver([record(5, finished_at="2999-01-01T00:00:00+00:00")], "job:0")
    withdraw(record(5).spec.cell_id, reason="wrong", by="ada")
    assert both_readers(store) == ([], set())


def test_a_failure_after_the_withdrawal_is_no_result(store, record):
    deliver([record(5)], "job:0")
    withdrawn_on(2, record(5).spec.cell_id)
    failed = {"status": Status.FAILED, "train_loss": None, "test_error": None, "finished_at": DAY.format(3)}
    deliver([record(5, **failed)], "job:1")
    store.ingest()
    assert spool.existing_cells() == set() and queries.regime_grid(store, MAP)["n_failed"].tolist() == [1]


def test_a_map_whose_every_run_is_withdrawn_is_empty(store, record):
    other = record(5, settings={"history": 7})
    deliver([record(5), other], "job:0")
    for one in (record(5), other):
        withdraw(one.spec.cell_id, reason="wrong", by="ada")
    store.ingest()
    assert queries.runs(store, MAP).empty and queries.regime_grid(store, MAP).empty
    assert "computed" not in queries.maps(store)["source"].tolist()


@pytest.mark.parametrize(
    ("said", "reason", "by", "withdrawn"),
    [
        ("No run of cell .* is stored", "why", "ada", 70),
        ("needs a reason and a name", "  ", "ada", 5),
        ("needs a reason and a name", "why", "", 5),
        ("was withdrawn already", "why", "ada", 6),
    ],
)
def test_what_cannot_be_withdrawn_changes_nothing(store, record, said, reason, by, withdrawn):
    deliver([record(5), record(6)], "job:0")
    withdraw(record(6).spec.cell_id, reason="wrong", by="ada")
    store.ingest()
    with pytest.raises(BadRequest, match=said):
        withdraw(record(withdrawn).spec.cell_id, reason=reason, by=by)
    with pytest.raises(BadRequest, match="is a UUID"):
        withdraw("five", reason="why", by="ada")
    assert not list(paths.spool_new().iterdir()) and store.ingest() == Report()


@pytest.mark.parametrize("change", [{"reason": " "}, {"withdrawn_at": "2026-01-01"}, {"cell_id": "{}"}])
def test_a_withdrawal_that_is_not_one_is_put_aside(store, record, change):
    path = withdrawn_on(1, record(5).spec.cell_id)
    table = pq.read_table(path)
    row = table.to_pylist()[0] | change
    pq.write_table(pa.Table.from_pylist([row], schema=table.schema), path.with_name("changed.parquet"))
    path.unlink()
    assert store.ingest() == Report(quarantined=1)


def test_a_damaged_file_of_the_cell_does_not_stop_a_withdrawal(store, record):
    deliver([record(5)], "job:0")
    store.ingest()
    (path,) = paths.spool_done().iterdir()
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 4 : len(payload) // 2] = bytes(len(payload) // 2 - len(payload) // 4)
    path.write_bytes(payload)
    withdrawn_on(2, record(5).spec.cell_id)
    assert store.ingest() == Report(batches=1)
    assert queries.runs(store, MAP).empty and len(queries.withdrawals(store)) == 1


def test_compaction_keeps_withdrawals_and_the_run_that_counts(folders, record):
    cell = record(5).spec.cell_id
    deliver([record(5, finished_at=DAY.format(1))], "a", paths.results())
    deliver([record(5, train_loss=0.5, finished_at=DAY.format(3))], "b", paths.results())
    withdrawn_on(2, cell).rename(paths.results() / "withdrawal.parquet")
    assert compact(paths.results()) == (2, 1)
    with Store.open() as store:
        assert both_readers(store) == ([0.5], {cell})
        assert len(queries.withdrawals(store)) == 1


def test_readers_never_see_half_a_withdrawal(store, record):
    records = [record(beta) for beta in range(5, 25)]
    deliver(records, "job:0")
    store.ingest()
    for one in records:
        withdraw(one.spec.cell_id, reason="wrong", by="ada")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        reads = [pool.submit(queries.runs, store, MAP) for _ in range(30)]
        store.ingest()
        assert {len(read.result()) for read in reads} <= {20, 0}


def test_a_merged_file_is_read_once_however_many_batches_are_in_it(store, record, monkeypatch):
    monkeypatch.setattr(merge, "AGE", 0.0)
    monkeypatch.setattr(merge, "GRACE", 0.0)
    records = [record(beta) for beta in range(5, 15)]
    for k, one in enumerate(records):
        deliver([one], f"job:{k}")
    store.ingest()
    store.tidy()
    store.tidy()
    offered = []

    def offer(cursor, files, **kept):
        offered.append(files)
        offer_files(cursor, files, **kept)

    monkeypatch.setattr(ingest, "offer_files", offer)
    withdraw(records[0].spec.cell_id, reason="wrong", by="ada")
    assert both_readers(store)[1] == {one.spec.cell_id for one in records[1:]}
    assert max(map(len, offered)) == 1
