"""The cluster engine over TLS: a scheduler and workers as processes of this machine, killed as it comes."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil
import pytest

from jobs.dispatcher import Dispatcher
from jobs.engine import Need
from jobs.engines.cluster import CERTIFICATES, ClusterEngine
from jobs.job import State
from jobs.logs import tail
from sciml_backend.run import BadRequest
from sciml_backend.store.spool import existing_cells
from tests.cluster import NAMES, Cluster, write_certificate
from tests.jobs.conftest import QUICK
from tests.jobs.test_dispatcher import alive


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    write_certificate(folder)
    return folder


@pytest.fixture
def cluster(tmp_path, certificates, monkeypatch):
    """A scheduler without workers; ENGINE_ADDRESS and certificates are set."""
    found = Cluster.at_free_port(certificates, tmp_path)
    for variable, value in found.settings.items():
        monkeypatch.setenv(variable, value)
    found.scheduler()
    yield found
    found.close()


@pytest.fixture
def attach(cluster):
    started = []

    def start(**settings):
        started.append(Dispatcher(engine=ClusterEngine(cluster.address), pace=QUICK, **settings))
        return started[-1]

    yield start
    for dispatcher in started:
        dispatcher.stop()


@pytest.fixture
def reaches(control, wait_for):
    return lambda job_id, state: wait_for(lambda: control.job(job_id).state is state, seconds=60)


def test_two_workers_deliver_every_cell_once(cluster, control, rehearse, attach, reaches, cells, trained):
    cluster.worker("one")
    cluster.worker("two")
    first, second = rehearse(20, seconds=0.1), rehearse(20, first_seed=50, seconds=0.1)
    attach()
    reaches(first, State.SUCCEEDED)
    reaches(second, State.SUCCEEDED)
    wanted = {c.cell_id for c in [*cells(20), *cells(20, first_seed=50)]}
    assert existing_cells() == wanted and sorted(trained()) == sorted(wanted)
    assert {control.job(job_id).device for job_id in (first, second)} == {"cpu on one", "cpu on two"}


def test_cancel_ends_a_running_attempt_and_frees_its_slot(cluster, control, rehearse, attach, reaches, wait_for):
    cluster.worker("one")
    job_id = rehearse(1, bad_attempts=9, failure="deaf")
    waiting = rehearse(1, first_seed=10)
    attach()
    wait_for(lambda: "about to fail" in tail(job_id), seconds=30)
    pid = wait_for(lambda: control.job(job_id).progress.get("pid"))
    started = time.monotonic()
    control.cancel(job_id, actor="test")
    reaches(job_id, State.CANCELLED)
    assert time.monotonic() - started < 2.0
    assert not alive(pid)
    reaches(waiting, State.SUCCEEDED)


def test_a_killed_server_finds_its_running_attempt_again(
    cluster, control, rehearse, reaches, wait_for, trained, command_line, attach
):
    cluster.worker("one")
    job_id = rehearse(40, seconds=0.2)
    work = command_line("work")
    pid = wait_for(lambda: control.job(job_id).progress.get("pid"), seconds=60)
    wait_for(lambda: len(existing_cells()) >= 8, seconds=60)
    work.kill()
    work.wait()
    assert alive(pid), "what runs on the cluster goes on without the server"
    attach()
    reaches(job_id, State.SUCCEEDED)
    assert control.job(job_id).attempt == 1
    assert len(trained()) == len(set(trained())) == 40


def test_a_killed_worker_takes_its_child_along_and_another_one_resumes(
    cluster, control, rehearse, attach, reaches, wait_for, trained
):
    cluster.worker("one")
    job_id = rehearse(40, seconds=0.1)
    attach()
    pid = wait_for(lambda: control.job(job_id).progress.get("pid"), seconds=30)
    wait_for(lambda: len(existing_cells()) >= 8, seconds=30)
    cluster.kill("one")
    wait_for(lambda: not alive(pid), seconds=2.0)
    cluster.worker("two")
    reaches(job_id, State.SUCCEEDED)
    assert len(set(trained())) == 40 and len(trained()) <= 48


def test_jobs_survive_the_end_of_the_scheduler(cluster, control, rehearse, attach, reaches, wait_for):
    cluster.worker("one")
    job_id = rehearse(40, seconds=0.1)
    attach()
    wait_for(lambda: len(existing_cells()) >= 8, seconds=30)
    cluster.kill("scheduler")
    cluster.kill("one")
    cluster.scheduler()
    cluster.worker("one")
    reaches(job_id, State.SUCCEEDED)
    assert len(existing_cells()) == 40
    assert control.job(job_id).attempt == 1, "it was given to the new scheduler as it was"


def test_a_worker_that_sees_another_folder_is_one_sentence(cluster, control, rehearse, attach, reaches, tmp_path):
    cluster.worker("one", ATLAS_DATA=str(tmp_path / "elsewhere"))
    job_id = rehearse(1)
    attach()
    reaches(job_id, State.DEAD)
    assert "is not the server's; mount the server's folder" in control.job(job_id).error_text
    assert not (tmp_path / "elsewhere").exists()


def test_strangers_are_refused(cluster, monkeypatch, tmp_path):
    write_certificate(tmp_path / "foreign")
    for variable, file in zip(CERTIFICATES.values(), NAMES, strict=True):
        monkeypatch.setenv(variable, str(tmp_path / "foreign" / f"{file}.pem"))
    for address in (cluster.address, cluster.address.replace("tls", "tcp")):
        stranger = ClusterEngine(address)
        assert "cannot be reached" in stranger.trouble and "Traceback" not in stranger.trouble
        assert stranger.capacity(Need()) == "" and stranger.devices() == []
        stranger.close(grace=1)


def test_a_scheduler_that_stays_away_costs_no_thread_and_no_file(cluster, monkeypatch):
    monkeypatch.setattr("jobs.engines.cluster.RECONNECT_SECONDS", 0.0)
    monkeypatch.setattr("jobs.engines.cluster.CONNECT_SECONDS", 0.5)
    cluster.kill("scheduler")
    engine, own = ClusterEngine(cluster.address), psutil.Process()
    before = own.num_threads(), own.num_fds()
    for _ in range(4):
        assert engine.devices() == [] and "cannot be reached" in engine.trouble
    assert (own.num_threads(), own.num_fds()) == before
    engine.close(grace=1)


def test_jobs_wait_for_a_scheduler_that_is_not_there_and_the_page_says_so(
    cluster, control, rehearse, attach, reaches, wait_for
):
    cluster.kill("scheduler")
    job_id = rehearse(1)
    attach()
    assert wait_for(lambda: control.noted("paused"), seconds=30).startswith("The scheduler at ENGINE_ADDRESS=tls")
    cluster.scheduler()
    cluster.worker("one")
    reaches(job_id, State.SUCCEEDED)
    assert control.noted("paused") == ""


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://compute.example:8786", "open to everyone"),
        ("compute.example", "is like tls://host:8786"),
        ("tls://compute.example:87866", "is like tls://host:8786"),
        ("tls://[::1", "is like tls://host:8786"),
        ("tls://compute.example:8786", "ENGINE_CA, ENGINE_CERT, ENGINE_KEY names no file"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(address, words, monkeypatch):
    for variable in CERTIFICATES.values():
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(BadRequest, match=re.escape(words)):
        ClusterEngine(address)
