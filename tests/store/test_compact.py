"""Compaction changes the files and none of the rows."""

import pytest

from sciml_backend import paths
from sciml_backend.run import Artifact, BadRequest, Status
from sciml_backend.store import queries, spool, transfer
from sciml_backend.store.compact import compact
from sciml_backend.store.connection import Store

MAP = "pinn/convection/lbfgs"


def deliver(records, batch_id):
    spool.write_runs(records, paths.results(), batch_id=batch_id, axis="beta")


def test_compaction_keeps_every_row_in_fewer_smaller_files(folders, record):
    for beta in range(5, 25):
        deliver([record(beta, 100, seed) for seed in range(3)], f"sweep:{beta}")
    cell = record(9, 100, 2)
    found = Artifact(cell_id=cell.spec.cell_id, kind="hessian_extremes", numbers={"lambda_max": 2.0})
    spool.write_artifacts([found], paths.results(), batch_id="d:0")
    size = sum(path.stat().st_size for path in paths.results().iterdir())
    before = transfer.read(MAP).drop(columns="batch_id")
    with Store.open() as store:
        assert compact(paths.results()) == (21, 2)
        store.ingest()
        assert len(queries.runs(store, MAP)) == 60
        assert queries.weights(store, cell.spec.cell_id).final == cell.theta_final
    assert transfer.read(MAP).drop(columns="batch_id").equals(before)
    assert sum(path.stat().st_size for path in paths.results().iterdir()) < 0.6 * size
    with Store.open() as store:
        assert queries.artifact(store, cell.spec.cell_id, "hessian_extremes").numbers == {"lambda_max": 2.0}
    assert compact(paths.results()) == (2, 2)


def test_a_run_and_its_diagnostic_get_two_identities(folders, record):
    cell = record(5)
    found = Artifact(cell_id=cell.spec.cell_id, kind="hessian_extremes", numbers={"lambda_max": 2.0})
    deliver([cell], "a")
    spool.write_artifacts([found], paths.results(), batch_id="b")
    assert compact(paths.results()) == (2, 2)
    with Store.open() as store:
        assert queries.artifact(store, cell.spec.cell_id, "hessian_extremes").numbers == {"lambda_max": 2.0}
        assert queries.weights(store, cell.spec.cell_id).final == cell.theta_final


def test_the_run_that_readers_show_is_the_one_that_stays(folders, record):
    deliver([record(5, status=Status.FAILED, train_loss=None)], "a")
    deliver([record(5, train_loss=0.25)], "b")
    deliver([record(5, train_loss=0.5)], "c")
    before = transfer.read(MAP)["train_loss"].tolist()
    compact(paths.results())
    assert transfer.read(MAP)["train_loss"].tolist() == before == [0.25]


def test_a_file_that_is_not_a_batch_stops_compaction_before_it_starts(folders, record):
    deliver([record(5)], "a")
    deliver([record(6)], "b")
    (paths.results() / "x.parquet").write_text("no")
    with pytest.raises(BadRequest, match="not a readable Parquet file"):
        compact(paths.results())
    assert len(list(paths.results().iterdir())) == 3
