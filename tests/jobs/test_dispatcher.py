"""The dispatcher with real worker processes: delivery, failures, cancel, stop and recovery."""

import concurrent.futures
import json
import os
import signal
import threading
import time
from dataclasses import replace

import pytest

from jobs.engines.local import LocalEngine
from jobs.job import State
from jobs.logs import tail
from jobs.owner import KEY, Ownership, owner_pid
from sciml_backend import paths
from sciml_backend.run import BadRequest
from sciml_backend.store.spool import existing_cells
from tests.jobs.conftest import QUICK


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def reaches(control, wait_for):
    return lambda job_id, state, **kw: wait_for(lambda: control.job(job_id).state is state, **kw)


@pytest.fixture
def worker_pid(control, wait_for):
    return lambda job_id: wait_for(lambda: control.job(job_id).progress.get("pid"))


def steps(control, job_id):
    return [e["to_state"] for e in control.events(job_id)]


def test_a_job_succeeds_when_all_its_parts_are_delivered(control, rehearse, dispatch, reaches, cells, trained):
    job_id = rehearse(45)
    dispatch()
    reaches(job_id, State.SUCCEEDED)
    assert control.job(job_id).n_done == 45
    assert existing_cells() == {c.cell_id for c in cells(45)} == set(trained())
    assert len(list(paths.spool_new().glob("*.parquet"))) == 6
    assert steps(control, job_id) == ["queued", "submitted", "running", "ingesting", "succeeded"]
    assert control.claims() == {}


def test_a_job_in_training_shows_its_curves_until_it_ends(control, rehearse, dispatch, reaches, wait_for, cells):
    job_id = rehearse(2, seconds=0.7)
    dispatch()
    curves = wait_for(lambda: control.job(job_id).progress.get("curves"))
    ((cell, losses),) = curves["log10_loss"].items()
    assert (curves["iteration"], losses) == ([20], [-1.0]) and cell in {c.cell_id for c in cells(2)}
    reaches(job_id, State.SUCCEEDED)
    assert control.job(job_id).progress == {}


def test_with_an_owner_of_the_store_success_waits_for_ingest(control, rehearse, dispatch, reaches):
    job_id = rehearse(1)
    dispatch(wait_for_ingest=True)
    reaches(job_id, State.INGESTING)
    time.sleep(0.3)
    assert control.job(job_id).state is State.INGESTING
    (file,) = paths.spool_new().glob("*.parquet")
    paths.spool_done().mkdir(parents=True)
    file.rename(paths.spool_done() / file.name)
    reaches(job_id, State.SUCCEEDED)


def test_a_worker_that_delivers_nothing_has_not_succeeded(control, rehearse, dispatch, reaches):
    job_id = rehearse(1, bad_attempts=1, failure="silent")
    dispatch()
    reaches(job_id, State.SUCCEEDED)
    assert control.job(job_id).attempt == 2


def test_a_delivery_put_aside_is_computed_again(control, rehearse, dispatch, reaches):
    job_id = rehearse(1)
    dispatch(wait_for_ingest=True)
    reaches(job_id, State.INGESTING)
    for file in paths.spool_new().glob("*.parquet"):
        file.unlink()
    reaches(job_id, State.RETRY_WAIT)
    assert control.job(job_id).error_class == "NotDelivered"


@pytest.mark.parametrize("failure", ["refuse", "bug"])
def test_deterministic_errors_are_not_retried_and_neighbours_go_on(control, rehearse, dispatch, reaches, failure):
    bad, good = rehearse(1, bad_attempts=9, failure=failure), rehearse(1, first_seed=10)
    dispatch()
    reaches(bad, State.DEAD)
    reaches(good, State.SUCCEEDED)
    job = control.job(bad)
    assert job.attempt == 1
    assert {"refuse": "This can never be done.", "bug": "ZeroDivisionError: division by zero; the log"}[
        failure
    ] in job.error_text
    assert ("Traceback" in tail(bad)) == (failure == "bug")
    assert control.claims() == {}


@pytest.mark.parametrize(("failure", "halved"), [("machine", 1), ("killed", 2), ("no room", 1)])
def test_infrastructure_errors_are_retried(control, rehearse, dispatch, reaches, failure, halved):
    job_id = rehearse(1, bad_attempts=2, failure=failure)
    dispatch()
    reaches(job_id, State.SUCCEEDED)
    assert control.job(job_id).attempt == 3
    assert steps(control, job_id).count("retry_wait") == 2
    batches = [line for line in tail(job_id).splitlines() if line.startswith("batches")]
    assert batches == ["batches are 1/1", *[f"batches are 1/{halved}"] * 2]


def test_a_poison_job_ends_dead_with_its_log_and_can_be_queued_again(control, rehearse, dispatch, reaches):
    job_id = rehearse(1, max_attempts=2, bad_attempts=2, failure="killed")
    dispatch()
    reaches(job_id, State.DEAD)
    assert control.job(job_id).error_text == "Its worker was killed by SIGKILL (out of memory, perhaps)."
    assert "about to fail: killed" in control.events(job_id)[-1]["detail"]
    control.requeue(job_id, actor="test")
    reaches(job_id, State.SUCCEEDED)
    assert control.job(job_id).error_text is None


def test_memory_that_runs_out_is_answered_by_half_the_batch_once(control, rehearse, dispatch, reaches):
    once, twice = (
        rehearse(1, bad_attempts=1, failure="memory"),
        rehearse(1, first_seed=10, bad_attempts=9, failure="memory"),
    )
    dispatch()
    reaches(once, State.SUCCEEDED)
    reaches(twice, State.DEAD)
    assert [line for line in tail(once).splitlines() if line.startswith("batches")] == [
        "batches are 1/1",
        "batches are 1/2",
    ]
    assert control.job(twice).attempt == 2 and "MemoryError" in control.job(twice).error_text


def test_a_worker_that_falls_silent_is_given_up_and_its_late_finish_changes_nothing(
    control, rehearse, dispatch, reaches, trained, worker_pid, wait_for
):
    job_id = rehearse(24, seconds=0.05)
    dispatch(pace=replace(QUICK, lease=3.0))
    pid = worker_pid(job_id)
    wait_for(lambda: len(existing_cells()) >= 8)
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: "retry_wait" in steps(control, job_id))
    assert control.events(job_id)[-1]["detail"] == "Its worker was not heard of for too long."
    reaches(job_id, State.SUCCEEDED)
    assert control.job(job_id).attempt == 2
    wait_for(lambda: not alive(pid), seconds=2.0)
    assert len(set(trained())) == 24 and len(trained()) <= 32


def test_what_a_job_costs_is_added_up_over_its_attempts(control, rehearse, dispatch, reaches):
    job_id = rehearse(1, bad_attempts=1, failure="machine", seconds=0.2)
    dispatch()
    reaches(job_id, State.SUCCEEDED)
    job = control.job(job_id)
    first, second = (e["ts"] for e in control.events(job_id) if e["to_state"] == "submitted")
    assert 0.2 < job.seconds < 20 and first < second


def test_a_raised_priority_is_served_first(control, rehearse, dispatch, reaches):
    busy = rehearse(1, seconds=1.0)
    plain, urgent = rehearse(1, first_seed=10), rehearse(1, first_seed=20)
    dispatch(slots=1)
    reaches(busy, State.RUNNING)
    control.prioritise(urgent, 5, actor="test")
    for job_id in (plain, urgent):
        reaches(job_id, State.SUCCEEDED)
    assert control.job(urgent).started_at < control.job(plain).started_at
    with pytest.raises(BadRequest, match="has ended"):
        control.prioritise(plain, 1, actor="test")


@pytest.mark.parametrize(("failure", "sign"), [("deaf", "about to fail"), ("with a child", "child ")])
def test_cancel_ends_a_running_job_within_two_seconds(
    control, rehearse, dispatch, reaches, failure, sign, wait_for, worker_pid
):
    job_id, neighbour = rehearse(1, bad_attempts=9, failure=failure), rehearse(1, first_seed=10, seconds=0.2)
    dispatch(slots=1)
    wait_for(lambda: sign in tail(job_id))
    children = [int(line.split()[1]) for line in tail(job_id).splitlines() if line.startswith("child ")]
    assert all(map(alive, pids := [worker_pid(job_id), *children]))
    started = time.monotonic()
    control.cancel(job_id, actor="test")
    control.cancel(job_id, actor="test")
    reaches(job_id, State.CANCELLED)
    assert time.monotonic() - started < 2.0
    assert not any(map(alive, pids))
    assert control.claims().keys().isdisjoint(c.cell_id for p in control.parts(job_id).values() for c in p)
    reaches(neighbour, State.SUCCEEDED)


def test_finished_parts_of_a_cancelled_job_stay(control, rehearse, dispatch, reaches, wait_for, trained):
    job_id = rehearse(40, seconds=0.05)
    dispatch()
    wait_for(lambda: len(existing_cells()) >= 16)
    control.cancel(job_id, actor="test")
    reaches(job_id, State.CANCELLED)
    control.requeue(job_id, actor="test")
    reaches(job_id, State.SUCCEEDED)
    assert len(existing_cells()) == 40
    assert len(trained()) <= 48


def test_stopping_returns_running_jobs_to_the_queue_and_the_next_one_resumes(
    control, rehearse, dispatch, reaches, wait_for, trained, worker_pid
):
    job_id = rehearse(40, seconds=0.05)
    first = dispatch()
    pid = worker_pid(job_id)
    wait_for(lambda: len(existing_cells()) >= 16)
    first.stop()
    assert not alive(pid)
    assert (control.job(job_id).state, control.job(job_id).attempt) == (State.QUEUED, 2)
    assert control.job(job_id).seconds > 16 * 0.05, "the time of an attempt that was cut short counts"
    assert owner_pid(control) is None
    dispatch()
    reaches(job_id, State.SUCCEEDED)
    assert len(set(trained())) == 40 and len(trained()) <= 48


def test_a_second_dispatcher_is_refused_and_told_by_whom(dispatch):
    dispatch()
    with pytest.raises(BadRequest, match=f"by process {os.getpid()}"):
        dispatch()


def test_who_dispatches_is_known_by_the_lock_and_not_by_a_number_that_was_left(control):
    control.note(KEY, json.dumps({"pid": os.getpid()}))  # of a crash; the number is in use again
    assert owner_pid(control) is None
    right = Ownership(control)
    assert owner_pid(control) == os.getpid()
    right.release()
    assert owner_pid(control) is None


def test_asking_who_dispatches_keeps_nobody_from_it(control):
    enough = threading.Event()

    def ask():
        while not enough.is_set():
            owner_pid(control)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            for _ in range(20):
                Ownership(control).release()
        finally:
            enough.set()
    assert [each.result() for each in asking] == [None, None]


@pytest.mark.parametrize("asked", ["x", "0", "-1", "1.5"])
def test_a_number_of_workers_that_is_none_is_one_sentence(asked, monkeypatch):
    monkeypatch.setenv("ATLAS_WORKERS", asked)
    with pytest.raises(BadRequest, match=f"at least 1; got '{asked}'"):
        LocalEngine()


def test_a_killed_dispatcher_leaves_no_orphan_and_loses_nothing(
    control, rehearse, dispatch, reaches, wait_for, command_line, worker_pid, trained
):
    job_id, cancelled = rehearse(40, seconds=0.05), rehearse(1, first_seed=90)
    work = command_line("work")
    pid = worker_pid(job_id)
    wait_for(lambda: len(existing_cells()) >= 16)
    assert owner_pid(control) == work.pid
    work.send_signal(signal.SIGKILL)
    wait_for(lambda: not alive(pid), seconds=2.0)
    assert control.job(job_id).state is State.RUNNING
    control.cancel(cancelled, actor="test")
    dispatch()
    reaches(job_id, State.SUCCEEDED)
    assert control.job(job_id).attempt == 2
    assert len(set(trained())) == 40 and len(trained()) <= 48
    assert control.job(cancelled).state is State.CANCELLED


def test_a_job_being_cancelled_when_its_dispatcher_died_is_cancelled(control, rehearse, dispatch, reaches):
    job_id = rehearse(1)
    (ticket,) = control.tickets([State.QUEUED])
    control.move(ticket, State.SUBMITTED, actor="test")
    control.cancel(job_id, actor="test")
    dispatch()
    reaches(job_id, State.CANCELLED)


def test_sigterm_stops_the_work_command_and_requeues(control, rehearse, command_line, worker_pid):
    job_id = rehearse(9, seconds=1.0)
    work = command_line("work")
    pid = worker_pid(job_id)
    work.send_signal(signal.SIGTERM)
    output, errors = work.communicate(timeout=10)
    assert work.returncode == 0 and errors == ""
    assert not alive(pid)
    assert control.job(job_id).state is State.QUEUED


def test_nothing_starts_on_a_full_disk(control, rehearse, dispatch, wait_for, monkeypatch):
    monkeypatch.setenv("ATLAS_KEEP_FREE", "900000000")
    job_id = rehearse(1)
    dispatch()
    assert "MiB must stay free; make room" in wait_for(lambda: control.noted("paused"))
    assert control.job(job_id).state is State.QUEUED


def test_what_an_earlier_dispatcher_was_held_up_by_is_forgotten(control, dispatch, wait_for):
    control.note("paused", "The disk was full.")
    dispatch()
    wait_for(lambda: not control.noted("paused"))


def test_a_clock_that_was_set_back_makes_no_job_wait(control, rehearse, dispatch, reaches):
    job_id = rehearse(1)
    for state in (State.SUBMITTED, State.RETRY_WAIT):
        (ticket,) = control.tickets(list(State))
        control.move(ticket, state, actor="test", changes={"not_before": time.time() + 1800})
    dispatch(pace=replace(QUICK, longest_retry=0.1))
    reaches(job_id, State.SUCCEEDED)
