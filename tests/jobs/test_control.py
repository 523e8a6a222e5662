"""The control store: compare-and-set, claims, twins, requeue."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from jobs import queue
from jobs.control import ControlStore
from jobs.job import TRANSITIONS, State
from sciml_backend import paths
from sciml_backend.run import BadRequest


def ticket_of(control, job_id):
    return next(t for t in control.tickets(list(State)) if t.job_id == job_id)


def test_a_new_job_is_queued_with_its_cells_and_an_event(control, rehearse, cells):
    job_id = rehearse(3)
    job = control.job(job_id)
    assert (job.state, job.attempt, job.n_cells, job.n_done) == (State.QUEUED, 1, 3, 0)
    kept = [cell for part in control.parts(job_id).values() for cell in part]
    assert sorted(kept, key=lambda cell: cell.seed) == cells(3)
    assert [(e["from_state"], e["to_state"]) for e in control.events(job_id)] == [(None, "queued")]


def test_whoever_opens_a_new_store_waits_for_another_who_does(tmp_path):
    path = tmp_path / "control.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, lambda: other.execute("ROLLBACK")).start()
        assert ControlStore(path).jobs() == []


def test_the_file_is_in_wal_mode(control, rehearse):
    rehearse()
    assert sqlite3.connect(control.path).execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_stale_ticket_changes_nothing(control, rehearse):
    job_id = rehearse()
    ticket = ticket_of(control, job_id)
    assert control.move(ticket, State.SUBMITTED, actor="first")
    before = control.job(job_id), control.events(job_id)
    assert not control.move(ticket, State.SUBMITTED, actor="second")
    assert not control.move(ticket, State.CANCELLED, actor="second")
    assert (control.job(job_id), control.events(job_id)) == before


def test_the_attempt_is_a_fence(control, rehearse):
    job_id = rehearse()
    assert control.move(ticket_of(control, job_id), State.SUBMITTED, actor="test")
    zombie = ticket_of(control, job_id)
    assert control.move(zombie, State.QUEUED, actor="test")
    assert control.move(ticket_of(control, job_id), State.SUBMITTED, actor="test")
    assert not control.move(zombie, State.INGESTING, actor="zombie")
    control.note_progress(zombie, {"done": 99})
    assert control.job(job_id).n_done == 0
    assert control.job(job_id).attempt == 2


@pytest.mark.parametrize("start", State)
def test_only_listed_transitions_are_made(control, rehearse, start):
    rehearse()
    (ticket,) = control.tickets([State.QUEUED])
    for to in set(State) - TRANSITIONS[start]:
        with pytest.raises(ValueError, match="never goes"):
            control.move(ticket.now(start), to, actor="test")


def test_claimed_cells_are_left_out_of_the_next_job(control, rehearse, cells):
    first, second = rehearse(2), rehearse(3)
    assert control.job(second).n_cells == 1
    assert control.claims() == {c.cell_id: first for c in cells(2)} | {cells(3)[2].cell_id: second}


def test_a_job_of_claimed_cells_only_is_refused_and_changes_nothing(control, rehearse):
    first = rehearse(2)
    with pytest.raises(BadRequest, match=f"All 2 cells are queued or running already, in job {first}"):
        rehearse(2)
    assert [job.job_id for job in control.jobs()] == [first]


def test_the_same_request_is_active_once(control, rehearse):
    job_id = rehearse(1, claim=False)
    with pytest.raises(BadRequest, match=f"queued already, as job {job_id}"):
        rehearse(1, claim=False)
    control.cancel(job_id, actor="test")
    assert rehearse(1, claim=False) != job_id


def test_a_job_without_cells_is_refused(rehearse):
    with pytest.raises(BadRequest, match="at least one cell"):
        rehearse(0)


def test_cancelling_a_queued_job_frees_its_cells(control, rehearse):
    job_id = rehearse(2)
    assert control.cancel(job_id, actor="test").state is State.CANCELLED
    assert control.claims() == {}
    with pytest.raises(BadRequest, match="has ended"):
        control.cancel(job_id, actor="test")


def test_requeue_takes_the_cells_again_or_says_who_has_them(control, rehearse):
    job_id = rehearse(2)
    with pytest.raises(BadRequest, match="only a dead or cancelled job"):
        control.requeue(job_id, actor="test")
    control.cancel(job_id, actor="test")
    other = rehearse(1)
    with pytest.raises(BadRequest, match=other):
        control.requeue(job_id, actor="test")
    assert control.job(job_id).state is State.CANCELLED
    control.cancel(other, actor="test")
    again = control.requeue(job_id, actor="test")
    assert (again.state, again.attempt) == (State.QUEUED, 2)
    assert set(control.claims().values()) == {job_id}


def test_an_unknown_job_is_a_bad_request(control):
    for verb in (control.job, lambda job_id: control.cancel(job_id, actor="test")):
        with pytest.raises(BadRequest, match="There is no job 'nope'"):
            verb("nope")


def test_a_newer_schema_is_refused(control, rehearse):
    rehearse()
    with sqlite3.connect(control.path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(BadRequest, match="newer version"):
        control.jobs()


def test_jobs_are_served_by_priority_then_age(control, cells):
    ids = [
        control.submit("rehearse", cells(1, first_seed=k), spec={}, claim=True, priority=p).job_id
        for k, p in enumerate([0, 5, 0])
    ]
    assert [t.job_id for t in control.tickets([State.QUEUED])][0] == ids[1]


def walk(control, job_id, *states, **changes):
    """Move a job through these states, with the changes at the last."""
    for state in states:
        assert control.move(
            ticket_of(control, job_id), state, actor="test", changes=changes if state is states[-1] else {}
        )


ALL_THE_WAY = (State.SUBMITTED, State.RUNNING, State.INGESTING, State.SUCCEEDED)


def test_waiting_jobs_come_in_the_order_of_service_and_those_to_be_retried_after_them(control, cells):
    ids = [
        control.submit("rehearse", cells(1, first_seed=k), spec={}, claim=True, priority=p).job_id
        for k, p in enumerate([0, 5, 0, 9])
    ]
    walk(control, ids[3], State.SUBMITTED, State.RETRY_WAIT, not_before=1.0)
    assert [job.job_id for job in queue.waiting()] == [ids[1], ids[0], ids[2], ids[3]]
    assert [job.job_id for job in queue.waiting(limit=2)] == [ids[1], ids[0]]
    assert queue.waiting()[-1].not_before == 1.0
    assert queue.counts() == {State.QUEUED: 3, State.RETRY_WAIT: 1}


def test_active_jobs_are_listed_before_newer_ones_that_ended(control, rehearse):
    active, ended = rehearse(1), rehearse(1, first_seed=1)
    control.cancel(ended, actor="test")
    assert [job.job_id for job in control.jobs()] == [active, ended]
    assert [job.job_id for job in control.jobs(limit=1)] == [active]


def test_a_job_that_waits_for_its_next_try_is_tried_at_once(control, rehearse):
    job_id = rehearse(1)
    with pytest.raises(BadRequest, match="only one that waits for its next try"):
        queue.retry(job_id)
    walk(control, job_id, State.SUBMITTED, State.RETRY_WAIT, not_before=9e9)
    job = queue.retry(job_id, requested_by="somebody")
    assert (job.state, job.attempt) == (State.QUEUED, 2)
    last = control.events(job_id)[-1]
    assert (last["from_state"], last["to_state"], last["actor"]) == ("retry_wait", "queued", "somebody")


def test_the_history_is_of_those_that_ended_as_asked(control, rehearse, cells):
    done, dropped = rehearse(1), rehearse(1, first_seed=1)
    other = control.submit("rehearse", cells(1, first_seed=2), spec={}, claim=True, requested_by="other").job_id
    for job_id in (dropped, other):
        control.cancel(job_id, actor="test")
    assert control.requeue(other, actor="test").finished_at is None
    walk(control, done, *ALL_THE_WAY)
    assert [job.job_id for job in queue.ended()] == [done, dropped]
    assert [job.job_id for job in queue.ended(state=State.CANCELLED)] == [dropped]
    control.cancel(other, actor="test")
    assert [job.job_id for job in queue.ended(requested_by="other")] == [other]


def test_ends_are_told_from_an_event_on(control, rehearse):
    first, second, third = (rehearse(1, first_seed=k) for k in range(3))
    control.cancel(first, actor="test")
    seen = queue.last_event()
    assert queue.ended_since(seen) == []
    control.cancel(third, actor="test")
    walk(control, second, *ALL_THE_WAY)
    assert [job.job_id for job in queue.ended_since(seen)] == [second, third]
    control.requeue(third, actor="test")
    assert [job.job_id for job in queue.ended_since(seen)] == [second]
    assert queue.last_event() > seen


def test_usage_is_per_person_and_kind_of_device(control, cells):
    for k, (who, device) in enumerate([("a", "cuda:0"), ("a", "cuda:1"), ("a", "cpu"), ("b", None)]):
        spec = {"device": device} if device else {}
        job_id = control.submit("rehearse", cells(1, first_seed=k), spec=spec, claim=True, requested_by=who).job_id
        walk(control, job_id, *ALL_THE_WAY, seconds=10.0 * (k + 1), n_done=1)
    found = [(row.requested_by, row.device, row.jobs, row.runs, row.seconds) for row in queue.usage()]
    assert found == [("b", "cpu", 1, 1, 40.0), ("a", "cpu", 1, 1, 30.0), ("a", "cuda", 2, 2, 30.0)]
    job_id = control.submit("diagnose", cells(1), spec={}, claim=False, requested_by="c").job_id
    walk(control, job_id, *ALL_THE_WAY, seconds=1.0, n_done=1)
    assert [(row.jobs, row.runs) for row in queue.usage() if row.requested_by == "c"] == [(1, 0)]


@pytest.mark.parametrize("priority", [101, -101])
def test_a_priority_out_of_range_is_refused_and_nothing_is_queued(control, cells, rehearse, priority):
    for submit in (
        lambda: queue.submit_training(cells(1), priority=priority),
        lambda: queue.submit_diagnostic(cells(1)[0], "hessian_extremes", priority=priority),
    ):
        with pytest.raises(BadRequest, match="A priority lies between -100 and 100"):
            submit()
    assert not queue.jobs()
    job_id = rehearse(1)
    with pytest.raises(BadRequest, match="A priority lies between"):
        queue.prioritise(job_id, priority)
    assert queue.prioritise(job_id, 100).priority == 100


def test_what_a_worker_said_goes_when_it_is_done(control, rehearse):
    job_id = rehearse(1)
    walk(control, job_id, State.SUBMITTED, State.RUNNING)
    control.note_progress(ticket_of(control, job_id), {"done": 1, "curves": {"iteration": [1]}})
    assert control.job(job_id).progress["curves"]
    walk(control, job_id, State.RETRY_WAIT)
    assert (control.job(job_id).progress, control.job(job_id).n_done) == ({}, 1)


def test_a_damaged_file_is_one_sentence(control):
    control.path.parent.mkdir(parents=True)
    control.path.write_bytes(b"nothing that SQLite knows " * 200)
    with pytest.raises(BadRequest, match="cannot be used .file is not a database.; stop the server, then put a backup"):
        control.jobs()


SUBMIT = """
import json, sys
from jobs import queue
from sciml_backend.run import BadRequest, RunSpec
sys.stdin.readline()
try:
    print(queue.submit_training([RunSpec.from_json(cell) for cell in json.loads(sys.argv[1])]).job_id)
except BadRequest as problem:
    print(problem)
"""


def test_of_several_processes_asking_for_the_same_cells_one_gets_them(cells, control):
    asked = json.dumps([cell.to_json() for cell in cells(3)])
    pipe, environment = subprocess.PIPE, {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    command = [sys.executable, "-c", SUBMIT, asked]
    tabs = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(4)]
    for tab in tabs:
        tab.stdin.write("go\n")
        tab.stdin.flush()
    replies = [tab.communicate(timeout=30)[0].strip() for tab in tabs]
    (job,) = control.jobs()
    assert replies.count(job.job_id) == 1
    assert sum(job.job_id in reply and "queued or running already" in reply for reply in replies) == 3
