"""A Dask cluster over TLS for tests: certificates, and a scheduler and workers as processes of this machine."""

from __future__ import annotations

import datetime
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jobs.engines.cluster import CERTIFICATES
from sciml_backend import paths

NAMES = "ca", "cert", "key"


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
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def at_free_port(cls, certificates: Path, logs: Path) -> Cluster:
        """A cluster of which nothing runs yet."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return cls(certificates, logs, free.getsockname()[1])

    @property
    def address(self) -> str:
        return f"tls://{self.host('scheduler')}:{self.port}"

    def host(self, name: str) -> str:
        """The address of the machine of a process."""
        return "127.0.0.1"

    def within(self, name: str) -> list[str]:
        """The words before a command that run it on the machine of a process."""
        return []

    @property
    def settings(self) -> dict[str, str]:
        """What an engine must find in its environment."""
        files = {
            variable: str(self.certificates / f"{name}.pem")
            for variable, name in zip(CERTIFICATES.values(), NAMES, strict=True)
        }
        return {"ENGINE_ADDRESS": self.address} | files

    def scheduler(self) -> None:
        self._start(
            "scheduler",
            "--port",
            str(self.port),
            "--host",
            self.host("scheduler"),
            "--no-dashboard",
            sign="Scheduler at",
        )

    def worker(self, name: str, **environment: str) -> None:
        more = ["--nthreads", "1", "--name", name, "--no-dashboard", "--host", self.host(name)]
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
                [*self.within(name), sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments, *options],
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


@dataclass
class Hosts(Cluster):
    """A cluster of which every process has a network stack and an address of its own, joined by a bridge.

    Raises OSError where this user may not make such.
    """

    names: list[str] = field(default_factory=list)
    bridge: str = "atlas0"

    def __post_init__(self) -> None:
        _ip(f"link add {self.bridge} type bridge")
        _ip(f"addr add 10.77.0.254/24 dev {self.bridge}")
        _ip(f"link set {self.bridge} up")

    def host(self, name: str) -> str:
        if name not in self.names:
            self.names.append(name)
            number, space = len(self.names), self._space(name)
            for command in (
                f"netns add {space}",
                f"link add atlas{number} type veth peer name eth0 netns {space}",
                f"link set atlas{number} master {self.bridge}",
                f"link set atlas{number} up",
                f"-n {space} addr add 10.77.0.{number}/24 dev eth0",
                f"-n {space} link set eth0 up",
                f"-n {space} link set lo up",
            ):
                _ip(command)
        return f"10.77.0.{self.names.index(name) + 1}"

    def within(self, name: str) -> list[str]:
        return ["ip", "netns", "exec", self._space(name)]

    def plugged(self, name: str, state: str) -> None:
        """Pull a machine's plug (``down``), or put it back (``up``)."""
        _ip(f"-n {self._space(name)} link set eth0 {state}")

    def close(self) -> None:
        super().close()
        for name in self.names:
            _ip(f"netns del {self._space(name)}")
        _ip(f"link del {self.bridge}")

    def _space(self, name: str) -> str:
        return f"atlas-{name}"


def _ip(command: str) -> None:
    done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {command}: {done.stderr.strip()}")
