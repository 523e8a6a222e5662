"""The jobs page: what runs with its curves, what waits, what ended and its cost; and the word of an end."""

import json
import re
import time
from dataclasses import asdict, replace

import pytest
from streamlit.testing.v1 import AppTest

from jobs import queue
from jobs.control import ControlStore
from jobs.engine import DeviceState
from jobs.engines.local import LocalEngine
from jobs.job import State
from jobs.owner import Ownership
from pages import devices, job_words, notice, pace, running
from pages.estimate import Cost
from sciml_backend import paths
from sciml_backend.run import RunSpec
from tests.pages.test_pages import charts, words

ON_THE_WAY = (State.SUBMITTED, State.RUNNING)


def specs(beta=9.0, data=100, seeds=(0, 1)):
    same = {"family": "pinn", "problem": "convection", "strategy": "lbfgs", "coefficients": {"beta": beta}}
    return [RunSpec(**same, data=data, seed=seed) for seed in seeds]


def ticket(job_id):
    return next(t for t in ControlStore(paths.control()).tickets(list(State)) if t.job_id == job_id)


def walk(job_id, *states, **changes):
    for state in states:
        assert ControlStore(paths.control()).move(ticket(job_id), state, actor="test", changes=changes)


def stamp(seconds_ago):
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - seconds_ago))


def started(seconds_ago=60.0, **settings):
    """A job that runs since a while."""
    job_id = queue.submit_training(specs(**settings), requested_by="somebody").job_id
    walk(job_id, *ON_THE_WAY, started_at=stamp(seconds_ago), device="node7 cuda:0")
    return job_id


def report(job_id, **progress):
    ControlStore(paths.control()).note_progress(ticket(job_id), progress)


def press(app, label):
    next(b for b in app.button if b.label == label).click()
    app.run()
    assert not app.exception


def test_a_running_job_shows_who_what_where_how_far_and_its_curves(small, visit):
    job_id = started()
    cells = specs()
    row = {"iteration": 1200, "train_loss": 1e-3, "test_error": 1.0}
    loss = {cells[0].cell_id: [-1.0, -2.0], cells[1].cell_id: [-1.0, None]}
    training = [{"cell_id": cell.cell_id, **row} for cell in cells]
    report(job_id, done=1, training=training, n_training=2, curves={"iteration": [20, 1200], "log10_loss": loss})
    app = visit("jobs")
    said = words(app)
    assert "Training 2 runs of PINN · 1D convection · L-BFGS · float32" in said and "asked by somebody" in said
    assert "on node7 cuda:0" in said and "β = 9, N = 100, seed = 0 to 1" in said and "**1** running" in said
    (bar,) = app.get("progress")
    assert bar.proto.text.startswith("1 of 2 runs · 2 in training, at iteration 1,200 · about 6")
    assert bar.proto.text.endswith(" s left at this pace")
    (figure,) = charts(app)
    assert [line["name"] for line in figure["data"]] == ["seed = 0", "seed = 1"]
    app.toggle(key=f"curves_{job_id}").set_value(False)
    app.run()
    assert not charts(app)


def test_before_a_first_run_is_done_the_cost_model_tells_the_time_left(small):
    soon = pace.left(queue.job(started(seconds_ago=1.0)))
    assert re.fullmatch("about [4-7] s left, as runs of this map usually take", soon)
    assert "longer than the 8 s" in pace.left(queue.job(started(seconds_ago=100.0, beta=7.0)))
    waits = queue.submit_training(specs(beta=11.0))
    assert pace.left(waits) == "about 8 s of work"


def test_the_pace_counts_runs_by_what_they_cost_with_every_attempt(small, monkeypatch):
    monkeypatch.setattr(pace, "cost_of", lambda name: Cost(fixed=0.0, per_point=0.01, basis=""))
    job = queue.submit_training([*specs(data=1000, seeds=[0]), *specs(data=10000, seeds=[0])])
    walk(job.job_id, State.SUBMITTED, State.RETRY_WAIT, seconds=600.0)
    walk(job.job_id, State.QUEUED)
    walk(job.job_id, *ON_THE_WAY, started_at=stamp(0))
    report(job.job_id, done=1)
    assert pace.left(queue.job(job.job_id)) == "about 60 s left at this pace", "the long run came first"


def test_waiting_jobs_stand_in_the_order_of_service_and_can_be_moved(small, visit):
    ids = [queue.submit_training(specs(beta=beta)).job_id for beta in (11.0, 12.0)]
    app = visit("jobs")
    assert "**1. Training" in words(app) and "**2. Training" in words(app) and "**2** waiting" in words(app)
    app.number_input(key=f"priority_{ids[1]}_0").set_value(5)
    app.run()
    assert not app.exception
    assert [(job.job_id, job.priority) for job in queue.waiting()] == [(ids[1], 5), (ids[0], 0)]


def test_of_many_waiting_jobs_the_first_are_shown_with_a_count(small, visit):
    for k in range(14):
        queue.submit_training(specs(beta=20.0 + k, seeds=[0]))
    app = visit("jobs")
    assert "The first 10 of 14 are shown." in words(app) and sum(b.label == "Cancel" for b in app.button) == 10
    press(app, "Show 4 more")
    assert sum(b.label == "Cancel" for b in app.button) == 14


def test_a_job_that_waits_for_its_next_try_says_why_and_is_tried_at_once(small, visit):
    job_id = queue.submit_training(specs()).job_id
    walk(job_id, State.SUBMITTED)
    walk(job_id, State.RETRY_WAIT, not_before=time.time() + 600, error_text="Its worker is gone.")
    app = visit("jobs")
    assert "Its worker is gone." in words(app) and "tried again in 10 min" in words(app)
    press(app, "Try now")
    assert queue.job(job_id).state is State.QUEUED and "**1. Training" in words(app)


def test_a_dead_job_shows_error_and_log_at_once_and_is_queued_again(small, visit):
    job_id = queue.submit_training(specs(), requested_by="somebody").job_id
    walk(job_id, State.SUBMITTED)
    walk(job_id, State.DEAD, error_text="It broke.", seconds=7200.0)
    (paths.var() / "logs").mkdir(parents=True, exist_ok=True)
    (paths.var() / "logs" / f"{job_id}.log").write_text("the last words\n")
    app = visit("jobs")
    assert app.error[0].value == "It broke." and "the last words" in words(app)
    assert "failed" in app.expander[0].label and "2 h on cpu" in app.expander[0].label
    assert "somebody" in str(app.table[0].value) and "2 h" in str(app.table[0].value)
    press(app, "Queue again")
    assert queue.job(job_id).state is State.QUEUED


def test_the_history_can_be_of_one_person_and_one_kind_of_end(small, visit):
    for k, person in enumerate(("a", "b")):
        job_id = queue.submit_training(specs(beta=20.0 + k), requested_by=person).job_id
        queue.cancel(job_id)
    app = visit("jobs")
    assert len(app.expander) == 2
    app.selectbox(key="history_person").set_value("a")
    app.run()
    assert [e.label.rpartition(" ")[2] for e in app.expander] == ["a"]
    app.selectbox(key="history_state").set_value(State.DEAD)
    app.run()
    assert not app.expander and "No such job has ended yet." in words(app)


@pytest.mark.parametrize("label", ["Cancel", "Try now"])
def test_a_button_for_a_job_that_ended_meanwhile_says_so_in_one_sentence(small, visit, label):
    job_id = queue.submit_training(specs()).job_id
    if label == "Try now":
        walk(job_id, State.SUBMITTED, State.RETRY_WAIT, not_before=9e9)
    app = visit("jobs")
    button = next(b for b in app.button if b.label == label)
    job = queue.cancel(job_id)
    button.click()
    app.run()
    assert not app.exception and queue.job(job_id) == job


def anywhere():
    """A visitor on some page: AppTest runs the frame around the pages at the first run only."""
    app = AppTest.from_string("from pages import notice; notice.watch()", default_timeout=30)
    app.run()
    assert not app.exception
    return app


def test_the_frame_watches_for_ends(small, visit):
    assert notice._SEEN in visit("methods").session_state


def test_an_end_is_told_once_on_whatever_page_to_who_asked(small):
    app = anywhere()
    mine = queue.submit_training(specs(beta=20.0)).job_id
    other = queue.submit_training(specs(beta=21.0)).job_id
    app.session_state["_own_jobs"] = {mine}
    for job_id in (mine, other):
        walk(job_id, State.SUBMITTED)
    walk(mine, State.DEAD, error_text="It broke.")
    queue.cancel(other)
    walk(other, State.CANCELLED)
    app.run()
    (toast,) = app.toast
    assert "**Failed:** Training 2 runs of PINN" in toast.value and "It broke." in toast.value
    app.run()
    assert not app.toast


def test_of_many_ends_a_few_are_told_and_the_rest_counted(small):
    app = anywhere()
    ids = [queue.submit_training(specs(beta=20.0 + k)).job_id for k in range(notice.MOST + 2)]
    app.session_state["_own_jobs"] = set(ids)
    for job_id in ids:
        queue.cancel(job_id)
    app.run()
    assert len(app.toast) == notice.MOST + 1 and "2 more of your jobs ended" in app.toast[-1].value


def test_what_ended_before_a_visit_is_not_told(small):
    job_id = queue.submit_training(specs(), requested_by="test@example.com").job_id
    queue.cancel(job_id)
    assert not anywhere().toast


def test_runs_of_a_batch_are_named_by_what_tells_them_apart():
    batch = [*specs(beta=5.0, seeds=[0]), *specs(beta=9.0, seeds=[0])]
    assert running.names_in(batch)[1] != running.names_in(batch[:1])[1]
    together, names = running.names_in(specs())
    assert together.endswith("N = 100") and names == ["seed = 0", "seed = 1"]


def test_what_somebody_wrote_is_never_markup():
    shown = job_words.plain("<b>[x](http://evil)</b> `a` :red[b]")
    assert not set(shown) & set("<>[]()`:") and "evil" in shown


def test_devices_are_told_in_words():
    cpu = DeviceState(name="cpu", label="A processor", slots=4, used=1, memory=32 * 2**30, memory_used=8 * 2**30)
    gpu = DeviceState(name="cuda:0", label="NVIDIA H200", slots=1, used=0.5)
    assert devices.line(cpu) == "**cpu** A processor · 1 of 4 cores in use · memory 8 of 32 GiB"
    assert devices.line(gpu) == "**cuda:0** NVIDIA H200 · 50% of the GPU in use"
    assert devices.line(replace(gpu, blocked="others use it")).endswith("nothing starts: others use it")


def test_the_page_shows_the_devices_of_the_dispatcher(small, visit):
    control = ControlStore(paths.control())
    right = Ownership(control)
    try:
        found = LocalEngine(slots=2).devices()
        control.note("devices", json.dumps([asdict(device) for device in found]))
        assert any("of 2 cores in use" in text.value for text in visit("jobs").markdown)
    finally:
        right.release()
    assert not any("cores in use" in text.value for text in visit("jobs").markdown)


def test_a_priority_of_an_older_queue_is_shown_as_the_nearest_there_is(small, visit):
    job_id = queue.submit_training(specs()).job_id
    ControlStore(paths.control()).prioritise(job_id, 500, actor="test")
    assert visit("jobs").number_input(key=f"priority_{job_id}_500").value == 100


def test_refused_files_are_told_with_the_reason(own_store, visit):
    assert "refused" not in str([e.label for e in visit("jobs").expander])
    paths.spool_new().mkdir(parents=True, exist_ok=True)
    (paths.spool_new() / "stranger~0000.parquet").write_bytes(b"nothing")
    own_store.ingest()
    app = visit("jobs")
    assert app.expander[-1].label == "1 refused file" and "stranger" in words(app)
