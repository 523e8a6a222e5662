"""The server as a process: it starts, serves, refuses, takes in results, and stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from streamlit.proto.Navigation_pb2 import Navigation

from jobs.control import ControlStore
from jobs.job import State
from jobs.owner import owner_pid
from sciml_backend.paths import ROOT
from sciml_backend.run import Curve, RunRecord, RunSpec, Status
from sciml_backend.store.connection import Store
from sciml_backend.store.spool import write_runs

PAGES = ("", "compare", "families", "cell", "jobs", "methods")


@pytest.fixture(scope="module")
def server(serve):
    """One server for the tests that leave it as it was."""
    return serve()


def loaded(pid: int) -> str:
    """The libraries in a process."""
    return Path(f"/proc/{pid}/maps").read_text()


def refusal(server, *, seconds: float = 240) -> str:
    """What a server said that could not start."""
    assert server.process.wait(timeout=seconds) == 1
    return server.printed().strip()


def wait_for(condition, *, seconds: float = 240.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"Not within {seconds} s."
        time.sleep(0.1)
    return found


def test_it_is_healthy_and_prints_its_address(server):
    assert server.health() == "ok"
    assert server.url.startswith("http://127.0.0.1:")


def test_every_page_runs_without_an_error_and_without_torch_in_the_process(server, visit):
    for name in PAGES:
        assert visit(server, name).exceptions() == []
    libraries = loaded(server.process.pid)
    assert "duckdb" in libraries  # the server owns the index …
    assert "torch" not in libraries  # … and leaves computing to its children


def test_a_page_opened_first_on_a_fresh_server_comes_through_the_frame(serve, visit):
    (navigation, *_) = visit(serve(), "jobs").of("navigation")
    names = [page.page_name for page in navigation.app_pages]
    assert names == ["Regime map", "Compare", "Families", "Cell", "Jobs", "Methods"]
    assert navigation.position == Navigation.Position.TOP  # pages found in a folder would go to the sidebar


def test_pages_guard_themselves():
    for page in (ROOT / "pages").glob("*.py"):
        if f"pages/{page.name}" in (ROOT / "app.py").read_text():
            assert "\nservices.guard()\n" in page.read_text(), f"{page.name} can be reached around app.py"


def test_it_listens_on_the_loopback_address_only(server):
    socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):  # a socket open to everyone would answer here as well
        socket.create_connection(("127.0.0.2", server.port), timeout=5)


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 101), ("localhost", 101), ("elsewhere.example", 403)])
def test_a_name_that_another_site_points_here_is_not_served(server, host, status):
    request = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}:{server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Origin: http://{host}:{server.port}\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request.encode())
        assert connection.recv(100).split()[1] == str(status).encode()


def test_the_settings_that_matter_are_in_force():
    given = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert given["runner"]["postScriptGC"] is False
    sections = ("runner", "server", "browser", "client")
    read = f"{{s: config.get_options_for_section(s) for s in {sections}}}"
    command = f"import json, server; from streamlit import config; print(json.dumps({read}))"
    answer = subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=True, capture_output=True, text=True)
    in_force = json.loads(answer.stdout)
    for section in sections:
        assert given[section].items() <= in_force[section].items()


def test_a_second_server_on_the_same_store_is_refused_with_one_sentence(serve, server):
    said = refusal(serve(server.data, wait=False))
    assert said.startswith(f"Process {server.process.pid} already owns the results") and "\n" not in said
    assert server.health() == "ok"


def test_a_port_in_use_is_refused_with_one_sentence(server):
    command = [sys.executable, str(ROOT / "server.py"), "--port", str(server.port)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Cannot listen on 127.0.0.1, port {server.port}")
    assert refused.stderr.count("\n") == 1


def test_a_catalogue_that_cannot_be_read_is_refused_with_one_sentence(serve):
    said = refusal(serve(wait=False, ATLAS_PLUGINS="/nowhere/plugins"))
    assert "/nowhere/plugins" in said and "\n" not in said


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("ATLAS_WORKERS", "x", "ATLAS_WORKERS is a whole number of workers"),
        ("ATLAS_GPU_HOURS", "night", "ATLAS_GPU_HOURS is a span of hours"),
        ("ATLAS_KEEP_FREE", "x", "ATLAS_KEEP_FREE is a whole number of MiB"),
        ("ENGINE_ADDRESS", "compute", "ENGINE_ADDRESS is like tls://"),
        ("ATLAS_DATA", "/dev/null/data", "/dev/null/data cannot be made (Not a directory)"),
    ],
)
def test_a_wrong_setting_is_refused_with_one_sentence(serve, setting, value, words):
    said = refusal(serve(wait=False, **{setting: value}))
    assert said.startswith(words) and "\n" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(serve, visit, number):
    server = serve()
    visit(server)
    server.process.send_signal(number)
    assert server.process.wait(timeout=120) == 0
    assert server.printed().splitlines() == [f"Regime Atlas is at {server.url} (Ctrl-C stops it)."]
    Store.open(server.data / "results.duckdb").close()  # nobody holds it any more


def test_a_signal_during_the_start_stops_it_too(serve):
    server = serve(wait=False)
    wait_for(lambda: (server.data / "results.duckdb").exists())
    assert server.stop() == 0
    assert "Traceback" not in server.printed()


def test_results_that_arrive_are_taken_in(server):
    spec = RunSpec(family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": 5.0}, data=100, seed=7)
    curve = Curve([0], [1], [0.0], [1.0], [1.0])
    record = RunRecord(spec=spec, status=Status.CONVERGED, reason="", train_loss=0.01, test_error=0.1, curve=curve)
    (file,) = write_runs([record], server.data / "spool" / "new", batch_id="arrival", axis="beta")
    wait_for(lambda: (server.data / "spool" / "done" / file.name).exists())


def test_backups_are_kept(serve, tmp_path):
    cell = RunSpec(family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": 5.0}, data=100, seed=7)
    record = RunRecord(spec=cell, status=Status.STALLED, reason="Made up.", train_loss=1.0)
    (batch,) = write_runs([record], tmp_path / "spool" / "new", batch_id="backup:0", axis="beta")
    server = serve(data=tmp_path)
    wait_for(lambda: list((tmp_path / "backup").glob("*/manifest.json")))
    (manifest,) = (tmp_path / "backup").glob("*/manifest.json")
    assert batch.name in manifest.read_text()
    assert server.stop() == 0


def test_a_job_is_trained_and_stored_and_its_worker_leaves_with_the_server(serve):
    server = serve()
    control = ControlStore(server.data / "control.sqlite")
    assert owner_pid(control) == server.process.pid
    cell = RunSpec(
        family="pinn",
        problem="convection",
        strategy="lbfgs",
        coefficients={"beta": 5.0},
        data=100,
        seed=0,
        settings={"max_epochs": 1},
    )
    job = control.submit("train", [cell], spec={"maps": [str(cell.map)], "device": "cpu"}, claim=True)
    wait_for(lambda: not control.job(job.job_id).state.active)
    assert control.job(job.job_id).state is State.SUCCEEDED, control.events(job.job_id)
    assert len(list((server.data / "spool" / "done").glob("*.parquet"))) == 1
    long = RunSpec(
        family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": 30.0}, data=20_000, seed=0
    )
    job = control.submit("train", [long], spec={"maps": [str(long.map)], "device": "cpu"}, claim=True)
    wait_for(lambda: control.job(job.job_id).state is State.RUNNING)
    workers = [int(pid) for pid in children_of_all_threads(server.process.pid)]
    assert workers
    assert server.stop() == 0
    assert control.job(job.job_id).state is State.QUEUED  # the next server goes on with it
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), seconds=30)


def children_of_all_threads(pid: int) -> list[str]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]
