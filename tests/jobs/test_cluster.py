"""The cluster engine over TLS: a scheduler and workers as processes of this machine, killed as it comes."""

from __future__ import annotations

import datetime
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jobs.dispatcher import Dispatcher
from jobs.engine import Need
from jobs.engines.cluster import CERTIFICATES, ClusterEngine
from jobs.job import State
from jobs.logs import tail
from sciml_backend import paths
from sciml_backend.run import BadRequest
from sciml_backend.store.spool import existing_cells
from tests.jobs.conftest import QUICK
from tests.jobs.test_dispatcher import alive


def write_certificate(folder: Path) -> None:
    """A certificate authority and a certificate by it, in the files ca.pem, cert.pem and key.pem."""
    now = datetime.datetime.now(datetime.UTC)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])

    def signed(subject: x509.Name, of: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
        made = x509.CertificateBuilder(
            issuer_name=issuer,
            subject_name=subject,
            public_key=of.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(hours=1),
            not_valid_after=now + datetime.timedelta(days=1),
        ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        return made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    folder.mkdir(exist_ok=True)
    (folder / "ca.pem").write_bytes(signed(issuer, authority, ca=True))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "atlas")])
    (folder / "cert.pem").write_bytes(signed(subject, key, ca=False))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)


@dataclass
class Cluster:
    """A scheduler and its workers as processes."""

    certificates: Path
    logs: Path
    port: int
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"tls://127.0.0.1:{self.port}"

    def scheduler(self) -> None:
        self._start("scheduler", "--port", str(self.port), "--host", "127.0.0.1", "--no-dashboard", sign="Scheduler at")

    def worker(self, name: str, **environment: str) -> None:
        more = ["--nthreads", "1", "--name", name, "--no-dashboard", "--host", "127.0.0.1"]
        self._start("worker", self.address, *more, name=name, sign="Registered to", **environment)

    def kill(self, name: str) -> None:
        """Kill a process and what it started, as a machine that goes down does."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(self, what: str, *arguments: str, sign: str, name: str = "", **environment: str) -> None:
        name = name or what
        log = self.logs / f"{name}.log"
        tls = {"--tls-ca-file": "ca", "--tls-cert": "cert", "--tls-key": "key"}
        options = [word for option, file in tls.items() for word in (option, str(self.certificates / f"{file}.pem"))]
        with log.open("w") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments, *options],
                env={**os.environ, "PYTHONPATH": str(paths.ROOT), **environment},
                cwd=self.logs,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        end = time.monotonic() + 60
        while sign not in log.read_text():
            if time.monotonic() > end:
                raise AssertionError(f"The {what} did not start: {log.read_text()}")
            time.sleep(0.05)

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    write_certificate(folder)
    return folder


@pytest.fixture
def cluster(tmp_path, certificates, monkeypatch):
    """A scheduler without workers; ENGINE_ADDRESS and certificates are set."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = Cluster(certificates, tmp_path, port)
    monkeypatch.setenv("ENGINE_ADDRESS", found.address)
    for variable, file in zip(CERTIFICATES.values(), ("ca", "cert", "key"), strict=True):
        monkeypatch.setenv(variable, str(certificates / f"{file}.pem"))
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
    for variable, file in zip(CERTIFICATES.values(), ("ca", "cert", "key"), strict=True):
        monkeypatch.setenv(variable, str(tmp_path / "foreign" / f"{file}.pem"))
    for address in (cluster.address, cluster.address.replace("tls", "tcp")):
        stranger = ClusterEngine(address)
        assert "cannot be reached" in stranger.trouble and "Traceback" not in stranger.trouble
        assert stranger.capacity(Need()) == "" and stranger.devices() == []
        stranger.close(grace=1)


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
        ("tls://compute.example:8786", "ENGINE_CA, ENGINE_CERT, ENGINE_KEY names no file"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence(address, words, monkeypatch):
    for variable in CERTIFICATES.values():
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(BadRequest, match=re.escape(words)):
        ClusterEngine(address)
