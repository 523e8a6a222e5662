"""Batches: whole or absent, small, and read back as written."""

import json
import os
import subprocess
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from sciml_backend import paths
from sciml_backend.run import Artifact, BadRequest, NoSpace, RunSpec, Status
from sciml_backend.store import spool
from sciml_backend.store.batch import read_header


def test_a_batch_reads_back_as_written(tmp_path, record):
    one = record(train_loss=0.25)
    (path,) = spool.write_runs([one], tmp_path, batch_id="job:0", axis="beta")
    row = pq.read_table(path).to_pylist()[0]
    assert RunSpec.from_json(json.loads(row["spec"])) == one.spec
    assert (row["x_name"], row["x"], row["y"], row["train_loss"]) == ("beta", 5.0, 100.0, 0.25)
    assert row["curve_train_loss"] == [1.0, 0.01]
    assert spool.read_weights(one.spec.cell_id, tmp_path) == (one.theta_initial, one.theta_final, "float32")
    header = read_header(path)
    assert (header.kind, header.batch_id, header.cells) == ("runs", "job:0", [one.spec.cell_id])


def test_large_batches_are_split_and_every_part_names_its_own_rows(tmp_path, record):
    records = [record(beta, 100, seed) for beta in range(5, 35) for seed in range(5)]
    files = spool.write_runs(records, tmp_path, batch_id="job:3", axis="beta")
    assert len(files) > 1 and all(path.stat().st_size <= spool.FILE_LIMIT for path in files)
    assert not list(tmp_path.glob(".*"))
    headers = [read_header(path) for path in files]
    assert [cell for header in headers for cell in header.cells] == [r.spec.cell_id for r in records]
    assert len({header.batch_id for header in headers}) == len(files)
    assert spool.existing_cells(tmp_path) == {r.spec.cell_id for r in records}


def test_cells_that_only_failed_do_not_exist_yet(tmp_path, record):
    failed = {"status": Status.FAILED, "train_loss": None, "test_error": None}
    diverged = record(7, status=Status.DIVERGED, train_loss=None)
    spool.write_runs([record(5, **failed), record(6, **failed), diverged], tmp_path, batch_id="a", axis="beta")
    spool.write_runs([record(6)], tmp_path, batch_id="b", axis="beta")
    assert spool.existing_cells(tmp_path) == {record(6).spec.cell_id, diverged.spec.cell_id}
    assert spool.failed_cells(tmp_path) == {record(5).spec.cell_id}


def test_equal_starting_weights_are_kept_once(tmp_path, record):
    same = [record(beta, seed=0, theta_final=None) for beta in range(5, 45)]
    files = spool.write_runs(same, tmp_path, batch_id="b", axis="beta")
    assert sum(path.stat().st_size for path in files) < 3 * len(same[0].theta_initial)


def test_losses_that_are_not_finite_are_stored_as_none(tmp_path, record):
    diverged = record(status=Status.DIVERGED, train_loss=float("nan"), test_error=float("inf"))
    (path,) = spool.write_runs([diverged], tmp_path, batch_id="b", axis="beta")
    row = pq.read_table(path).to_pylist()[0]
    assert row["train_loss"] is None and row["test_error"] is None and row["status"] == "diverged"


def test_artifacts_read_back_with_their_arrays(tmp_path, record):
    found = Artifact(
        cell_id=record().spec.cell_id,
        kind="spectrum",
        settings={"steps": 40},
        numbers={"lambda_max": 12.5, "gap": float("nan")},
        arrays={"density": np.arange(6.0).reshape(2, 3)},
    )
    spool.write_artifacts([found], tmp_path, batch_id="d:0")
    back = spool.read_artifact(found.cell_id, tmp_path, request_key=found.request_key)
    assert back.numbers["lambda_max"] == 12.5 and np.isnan(back.numbers["gap"])
    np.testing.assert_array_equal(back.arrays["density"], found.arrays["density"])
    assert back.request_key == found.request_key
    assert spool.existing_cells(tmp_path) == set()


def test_a_missing_axis_is_named(tmp_path, record):
    with pytest.raises(BadRequest, match="no coefficient 'rho'; it has beta"):
        spool.write_runs([record()], tmp_path, batch_id="b", axis="rho")


def test_weights_that_are_nowhere_are_a_bad_request(tmp_path, record):
    with pytest.raises(BadRequest, match="train it first"):
        spool.read_weights(record().spec.cell_id, tmp_path)


def test_a_full_disk_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLAS_KEEP_FREE", "900000000")
    with pytest.raises(NoSpace, match="900000000 MiB must stay free; make room"):
        spool.require_space(tmp_path)
    monkeypatch.setenv("ATLAS_KEEP_FREE", "0")
    spool.require_space(tmp_path)


@pytest.mark.parametrize("asked", ["-1", "1.5", "much", "²"])
def test_a_wrong_number_of_mebibytes_to_keep_free_is_one_sentence(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("ATLAS_KEEP_FREE", asked)
    with pytest.raises(BadRequest, match="ATLAS_KEEP_FREE is a whole number of MiB"):
        spool.require_space(tmp_path)


def test_locations_follow_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path))
    assert paths.spool_new() == tmp_path / "spool" / "new" and paths.database().parent == tmp_path


def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path, record):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        with pytest.raises(BadRequest, match="is full, so batch b was not written"):
            spool.write_runs([record(beta) for beta in range(5, 45)], disk, batch_id="b", axis="beta")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)


def test_drafts_of_dead_producers_are_removed_and_fresh_ones_stay(tmp_path):
    for name, age in [(".old.tmp", 2 * spool.DRAFT_AGE), (".fresh.tmp", 0.0)]:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    spool.sweep_drafts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".fresh.tmp"]


def test_a_file_that_moves_while_a_folder_is_read_is_still_found(tmp_path, monkeypatch, record):
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path))
    monkeypatch.setenv("ATLAS_RESULTS", str(tmp_path / "results"))
    records = [record(beta) for beta in (5, 6, 7)]
    first, second, third = (
        spool.write_runs([one], paths.spool_new(), batch_id=f"job:{k}", axis="beta")[0] for k, one in enumerate(records)
    )
    paths.spool_done().mkdir()
    first.rename(paths.spool_done() / first.name)
    read, moved = spool.read_header, []

    def read_while_the_owner_moves(path):
        if not moved:  # after the listings, before the rest is read
            moved.append(second.rename(paths.spool_done() / second.name))
        return read(path)

    monkeypatch.setattr(spool, "read_header", read_while_the_owner_moves)
    assert third.exists() and spool.existing_cells() == {one.spec.cell_id for one in records}
