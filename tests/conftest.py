"""The real server in a process of its own, for tests of the server and of the pages in a browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sciml_backend.paths import ROOT

START_SECONDS = 240

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of torch, in every process: workers of the tests share the cores


@dataclass
class Server:
    """A running server: where it is, where its data are, and what it printed."""

    process: subprocess.Popen[bytes]
    log: Path
    data: Path

    @property
    def url(self) -> str:
        """Its address, as it printed it."""
        found = re.search(r"http://[^ ]+:\d+", self.printed())
        return found[0] if found else ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def printed(self) -> str:
        return self.log.read_text()

    def health(self) -> str:
        """The answer of its health check; empty while it gives none."""
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5) as answer:
                return answer.read().decode()
        except (OSError, ValueError):
            return ""

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Until it is healthy or has ended."""
        end = time.monotonic() + seconds
        while self.health() != "ok":
            if self.process.poll() is not None:
                raise AssertionError(f"The server ended with status {self.process.returncode}: {self.printed()}")
            assert time.monotonic() < end, f"The server was not healthy after {seconds} s: {self.printed()}"
            time.sleep(0.1)

    def stop(self) -> int:
        """Ask it to end and give back its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=120)
        finally:
            self.process.kill()


Serve = Callable[..., Server]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start servers on free ports: ``serve(data=folder, results=folder, wait=True, **environment)``.

    Without ``data`` each has an empty folder of its own; without ``results`` it has no shipped results. All stop at
    the end of the module that started them.
    """
    started: list[Server] = []

    def start(
        data: Path | None = None, *, results: Path | None = None, wait: bool = True, **environment: str
    ) -> Server:
        data = data or tmp_path_factory.mktemp("atlas")
        results = results or tmp_path_factory.mktemp("results")
        log = tmp_path_factory.mktemp("log") / "server.log"
        places = {"ATLAS_DATA": str(data), "ATLAS_RESULTS": str(results), "OMP_NUM_THREADS": "1"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "server.py"), "--port", "0"],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=tmp_path_factory.getbasetemp(),
                env=os.environ | places | environment,
            )
        started.append(Server(process, log, data))
        if wait:
            started[-1].wait()
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()
