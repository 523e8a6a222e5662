"""A data folder of its own for each test, cells to ask for, and a dispatcher that is stopped afterwards."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.control import ControlStore
from jobs.dispatcher import Dispatcher, Pace
from jobs.engines.local import LocalEngine
from sciml_backend import paths
from sciml_backend.run import RunSpec

QUICK = Pace(tick=0.05, note=0.1, stop=3.0, first_retry=0.05)


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path / "var"))
    monkeypatch.setenv("ATLAS_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("ATLAS_PLUGINS", str(Path(__file__).with_name("plugins")))
    return tmp_path / "var"


@pytest.fixture
def control():
    return ControlStore(paths.control())


@pytest.fixture
def cells():
    def made(n, *, first_seed=0):
        same = {"family": "pinn", "problem": "convection", "strategy": "lbfgs", "coefficients": {"beta": 5.0}}
        return [RunSpec(**same, data=100, seed=first_seed + k) for k in range(n)]

    return made


@pytest.fixture
def rehearse(control, cells):
    """Queue a job of the made-up kind."""

    def submit(n=2, *, first_seed=0, claim=True, max_attempts=3, **spec):
        asked = cells(n, first_seed=first_seed)
        return control.submit("rehearse", asked, spec=spec, claim=claim, max_attempts=max_attempts).job_id

    return submit


@pytest.fixture
def dispatch():
    """Start dispatchers that stop with the test."""
    started = []

    def start(*, slots=2, pace=QUICK, **settings):
        started.append(Dispatcher(engine=LocalEngine(slots=slots), pace=pace, **settings))
        return started[-1]

    yield start
    for dispatcher in started:
        dispatcher.stop()


@pytest.fixture
def trained(data_folder):
    """The cells that a worker worked on, in order, with repetitions."""
    file = data_folder / "trained.txt"
    return lambda: file.read_text().split() if file.exists() else []


@pytest.fixture
def wait_for():
    """Wait until something holds; fail after ``seconds``."""

    def wait(condition, *, seconds=20.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.02)
        raise AssertionError(f"Not within {seconds} s.")

    return wait


@pytest.fixture
def command_line():
    """Start ``python -m jobs`` in a process of its own; killed with the test if it is still there."""
    started = []

    def start(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(paths.ROOT), "ATLAS_WORKERS": "1"}
        command = [sys.executable, "-m", "jobs", *arguments]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
