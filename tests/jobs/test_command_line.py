"""``python -m jobs``: the verbs, JSON, and one sentence for what cannot be done."""

import json
import subprocess
import sys
from functools import partial

import pytest

from jobs import bench
from jobs.__main__ import main
from jobs.job import State
from sciml_backend import paths
from sciml_backend.run import RunRecord, Status
from sciml_backend.store import spool


def test_list_says_so_when_there_is_nothing(capsys):
    assert main(["list"]) == 0
    assert "No jobs yet" in capsys.readouterr().out


def test_list_cancel_requeue_logs(rehearse, capsys):
    job_id = rehearse(2)
    assert main(["list", "--json"]) == 0
    (job,) = json.loads(capsys.readouterr().out)
    assert (job["job_id"], job["state"], job["n_cells"]) == (job_id, "queued", 2)
    assert main(["cancel", job_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "cancelled"
    assert main(["requeue", job_id]) == 0
    assert "queued" in capsys.readouterr().out
    assert main(["logs", job_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"job_id": job_id, "log": ""}


def test_bench_measures_in_a_folder_of_its_own(monkeypatch, capsys):
    monkeypatch.setattr(bench, "bench_jobs", partial(bench.bench_jobs, queued=3, cancels=1))
    assert main(["bench", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert 0 < figures["cancel_s"] <= figures["slot_free_s"] < 20
    assert 0 < figures["list_3_queued_ms"] < figures["command_list_3_queued_ms"]
    assert main(["list"]) == 0
    assert "No jobs yet" in capsys.readouterr().out


def test_list_shows_device_cost_and_who_and_usage_adds_them_up(control, cells, capsys):
    job_id = control.submit(
        "rehearse", cells(1), spec={"device": "cuda:0"}, claim=True, requested_by="a@example.org"
    ).job_id
    for state in (State.SUBMITTED, State.RUNNING, State.INGESTING, State.SUCCEEDED):
        (ticket,) = control.tickets(list(State))
        control.move(ticket, state, actor="test", changes={"device": "node1 cuda:0", "seconds": 3725.0})
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert job_id in shown and "node1 cuda:0" in shown and "1:02:05" in shown and "a@example.org" in shown
    assert main(["usage"]) == 0
    assert capsys.readouterr().out.split()[:2] == ["1:02:05", "cuda"]
    assert main(["usage", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["requested_by"], row["jobs"], row["seconds"]) == ("a@example.org", 1, 3725.0)


def test_only_a_job_that_waits_for_its_next_try_is_retried(rehearse, capsys):
    assert main(["retry", rehearse(1)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "only one that waits" in err


@pytest.mark.parametrize("arguments", [["cancel", "nope"], ["requeue", "nope"], ["retry", "nope"], ["logs", "nope"]])
def test_an_unknown_job_is_one_sentence(arguments, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "There is no job 'nope'" in err


def test_work_until_done_shows_each_change(rehearse, command_line):
    job_id = rehearse(3, seconds=0.1)
    output, errors = command_line("work", "--until-done", "--json").communicate(timeout=30)
    states = [json.loads(line)["state"] for line in output.splitlines()]
    assert errors == "" and states[-1] == "succeeded"
    assert all(json.loads(line)["job_id"] == job_id for line in output.splitlines())


def test_a_submission_takes_what_a_sweep_takes(control, capsys):
    settings = ["--set", "beta=5,10", "--set", "width=8", "--set", "max_epochs=2", "--data-seed", "3"]
    assert main(["submit", "pinn/convection/lbfgs", *settings, "--data", "100", "--seeds", "0,1", "--json"]) == 0
    out, err = capsys.readouterr()
    (cells,) = control.parts(json.loads(out)["job_id"]).values()
    assert {(c.coefficients["beta"], c.seed) for c in cells} == {(5, 0), (5, 1), (10, 0), (10, 1)}
    assert all((c.model["width"], c.settings["max_epochs"], c.data_seed) == (8, 2, 3) for c in cells)
    assert "Nobody dispatches" in err


def test_a_submission_leaves_out_what_is_stored(control, cells, capsys):
    first, second = cells(2)
    done = RunRecord(spec=first, status=Status.CONVERGED, reason="", train_loss=1e-5, test_error=0.01)
    spool.write_runs([done], paths.spool_new(), batch_id="job:0", axis="beta")
    words = ["submit", str(first.map), "--set", f"beta={first.coefficients['beta']:g}", "--data", str(first.data)]
    assert main([*words, "--seeds", f"{first.seed},{second.seed}", "--json"]) == 0
    out, err = capsys.readouterr()
    assert control.parts(json.loads(out)["job_id"]) == {0: [second]}
    assert err.startswith("1 of 2 runs are stored already.\n")
    assert main([*words, "--seed", str(first.seed), "--json"]) == 0
    assert capsys.readouterr() == ("", "1 of 1 runs are stored already.\n")


@pytest.mark.parametrize("words", [["--set", "beta"], ["--data", "a"], ["--seeds", "0", "--seed", "1"]])
def test_a_submission_that_cannot_be_read_is_one_sentence(words, capsys):
    assert main(["submit", "pinn/convection/lbfgs", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1


def test_listing_jobs_needs_no_torch():
    code = "import sys; from jobs.__main__ import main; main(['list']); print({'torch', 'duckdb'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.endswith("set()\n")


def test_the_queue_needs_neither_torch_nor_duckdb():
    code = "import sys, jobs.queue, jobs.dispatcher; print({'torch', 'duckdb', 'streamlit'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
