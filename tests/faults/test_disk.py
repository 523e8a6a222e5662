"""What a full disk does to single parts, on a disk of 32 MiB that is really full."""

import pytest

from jobs.__main__ import main
from jobs.control import ControlStore
from jobs.worker import describe
from sciml_backend import paths
from sciml_backend.run import BadRequest, NoSpace
from sciml_backend.store.connection import Store
from sciml_backend.store.spool import publish
from tests.faults.disk import ballast, small_disk
from tests.faults.world import Impossible


@pytest.fixture(autouse=True)
def full(tmp_path, monkeypatch):
    """Fill the disk of the data folder meanwhile."""
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path / "var"))
    monkeypatch.setenv("ATLAS_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("ATLAS_KEEP_FREE", "0")
    try:
        with small_disk(paths.var(), mebibytes=32):
            yield lambda: ballast(paths.var(), leave=0)
    except Impossible as reason:
        pytest.skip(str(reason))


def test_job_control_says_so_in_one_sentence_and_goes_on_when_there_is_room(full, capsys):
    control = ControlStore(paths.control())
    control.note("key", "before")
    with full():
        with pytest.raises(BadRequest, match="Job control in .* cannot be used .*; see that its disk has room"):
            control.note("key", "x" * 100_000)
        assert main(["list"]) == 2
    assert "see that its disk has room" in capsys.readouterr().err
    assert control.noted("key") == "before"
    assert main(["list"]) == 0


def test_job_control_can_be_read_while_somebody_holds_it(full):
    control, holder = ControlStore(paths.control()), ControlStore(paths.control())
    control.note("key", "before")
    with holder.held(), full():
        assert control.noted("key") == "before" and control.jobs() == []


def test_a_batch_that_finds_no_room_may_be_tried_again(full):
    with full(), pytest.raises(NoSpace, match="is full, so batch b was not written") as refusal:
        publish(bytes(2**20), paths.spool_new(), batch_id="b")
    assert describe(refusal.value)["retry"] is True
    assert not list(paths.spool_new().iterdir())


def test_an_index_that_cannot_be_made_anew_is_made_when_there_is_room(full):
    with Store.open() as store:
        stored = store.rows("SELECT count(*) FROM run")
        with full(), pytest.raises(NoSpace, match="is full; make room"):
            store.rebuild()
        store.ingest()
        assert store.rows("SELECT count(*) FROM run") == stored != [(0,)]
