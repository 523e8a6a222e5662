"""The kinds of jobs on real training: short runs, all the way through the queue."""

import pyarrow.parquet as pq
import pytest

from jobs import queue
from jobs.job import State
from jobs.kind import Task, load
from jobs.parts import cut
from sciml_backend import paths, sweep
from sciml_backend.run import BadRequest, MapName, RunRecord, Status
from sciml_backend.store import spool
from sciml_backend.store.batch import ARTIFACTS, read_header

SHORT = {"max_epochs": 2}


@pytest.fixture
def short_runs():
    def plan(*, data=(100,), seeds=range(2)):
        name = MapName.parse("pinn/convection/lbfgs")
        return sweep.plan(name, coefficients={"beta": [5.0]}, data=data, seeds=list(seeds), settings=SHORT)

    return plan


def task(cells):
    return Task(job_id="JOB", attempt=1, kind="train", spec={"device": "cpu"}, parts=dict(enumerate(cut(cells))))


def test_cells_are_trained_and_examined_through_the_queue(dispatch, wait_for, short_runs):
    cells = short_runs()
    dispatch(slots=1)
    trained = queue.submit_training(cells, requested_by="someone")
    wait_for(lambda: not queue.job(trained.job_id).state.active, seconds=60)
    assert (queue.job(trained.job_id).state, queue.job(trained.job_id).n_done) == (State.SUCCEEDED, 2)
    assert spool.existing_cells() == {cell.cell_id for cell in cells}

    examined = queue.submit_diagnostic(cells[0], "solution")
    wait_for(lambda: not queue.job(examined.job_id).state.active, seconds=60)
    assert queue.job(examined.job_id).state is State.SUCCEEDED
    assert {read_header(path).kind for path in spool.batch_files()} == {"runs", "artifacts"}


def test_stored_cells_are_not_trained_again(short_runs):
    cells = short_runs(seeds=range(3))
    load("train").run(task(cells[:2]), report=lambda progress: None, should_stop=lambda: False)
    (first,) = spool.batch_files()
    reports = []
    load("train").run(
        Task(job_id="NEXT", attempt=1, kind="train", spec={}, parts={0: cells}),
        report=reports.append,
        should_stop=lambda: False,
    )
    (second,) = set(spool.batch_files()) - {first}
    assert read_header(second).cells == [cells[2].cell_id]
    assert (reports[0]["done"], reports[-1]["done"]) == (2, 3)


@pytest.mark.parametrize("n_cells", [1, 2])
def test_a_failed_cell_is_trained_again_and_takes_the_place_of_its_failure(short_runs, n_cells):
    from sciml_backend.store import queries
    from sciml_backend.store.connection import Store

    cells = short_runs(seeds=range(n_cells))
    spool.write_runs([RunRecord(spec=cells[0], status=Status.FAILED, reason="Out of memory.")], paths.spool_new(),
                     batch_id="JOB:0", axis="beta")  # fmt: skip
    with Store.open() as store:
        asked = Task(job_id="JOB", attempt=2, kind="train", spec={}, parts={0: cells})
        load("train").run(asked, report=lambda progress: None, should_stop=lambda: False)
        store.ingest()
        assert queries.quarantined(store).empty
        assert queries.known_cells(store, [c.cell_id for c in cells]) == {c.cell_id for c in cells}


def test_what_is_finished_when_stopped_is_kept_under_a_key_of_its_own(short_runs):
    cells = short_runs(data=(100, 200))  # two batches in one part: the second is not reached
    asked = Task(job_id="JOB", attempt=4, kind="train", spec={}, parts={0: cells})
    finished = []
    load("train").run(asked, report=lambda p: finished.append(p["done"]), should_stop=lambda: max(finished) >= 2)
    (file,) = spool.batch_files()
    assert read_header(file).batch_id == "JOB:0.a4"
    assert set(read_header(file).cells) == {c.cell_id for c in cells if c.data == 200}


def examine(cell, job_id="JOB"):
    asked = Task(
        job_id=job_id, attempt=1, kind="diagnose", spec={"diagnostic": "solution", "settings": {}}, parts={0: [cell]}
    )
    load("diagnose").run(asked, report=lambda progress: None, should_stop=lambda: False)


def test_a_cell_whose_weights_were_not_kept_is_trained_anew_to_be_examined(short_runs):
    (cell, _), found = short_runs(), []
    for keep in (True, False):
        ((record,),) = sweep.train([cell], keep_weights=keep)
        assert (record.theta_final is not None) is (record.theta_initial is not None) is keep
        spool.write_runs([record], paths.spool_new(), batch_id=f"kept-{keep}", axis="beta")
        examine(cell, f"JOB-{keep}")
        (file,) = [path for path in spool.batch_files() if read_header(path).kind == ARTIFACTS]
        found.append(pq.read_table(file, columns=["numbers"]).to_pylist())
        for path in spool.batch_files():
            path.unlink()
    assert found[0] == found[1]


def test_a_cell_that_cannot_be_trained_cannot_be_examined(short_runs, monkeypatch):
    monkeypatch.setattr("sciml_backend.strategies.lbfgs.LBFGS.init", lambda *_: 1 / 0)
    with pytest.raises(BadRequest, match="failed .ZeroDivisionError: division by zero., so there is nothing"):
        examine(short_runs()[0])


def test_an_unknown_kind_is_refused():
    with pytest.raises(BadRequest, match="no kind of job called 'os.system'"):
        load("os.system")
