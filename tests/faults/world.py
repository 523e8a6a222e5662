"""An installation to break: a data folder, an owner process like the server, jobs, and an audit of what is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from jobs.control import ControlStore
from jobs.job import State
from sciml_backend import paths
from sciml_backend.run import RunSpec
from sciml_backend.store.connection import Store

PLUGINS = Path(__file__).parents[1] / "jobs" / "plugins"
ORPHAN_SECONDS = 2.0
OWNER = """
import os, signal, sys, threading, time
from jobs.dispatcher import Dispatcher, Pace
from sciml_backend.run import BadRequest
from sciml_backend.store import ingest, open_store
from sciml_backend.store.backup import keep_backups
point, times = sys.argv[1], int(sys.argv[2])
def reached(name):
    global times
    if name == point:
        times -= 1
        if times <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
ingest.reached = reached
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
with open_store() as store:
    pace = Pace(tick=0.05, note=0.2, stop=5.0, first_retry=0.05, longest_retry=0.5, lease=float(sys.argv[3]))
    dispatcher = Dispatcher(pace=pace, wait_for_ingest=True)
    print("ready", flush=True)
    complaint = ""
    while not stop.is_set():
        try:
            store.ingest()
        except BadRequest as problem:  # anything else ends us with a traceback
            if str(problem) != complaint:
                print(problem, file=sys.stderr, flush=True)
            complaint = str(problem)
        try:
            keep_backups()
        except BadRequest as problem:
            print(problem, file=sys.stderr, flush=True)
        stop.wait(0.1)
    dispatcher.stop()
    store.ingest()
"""
"""What the server does beside serving pages; killed when it reaches a named point of ingest for the n-th time."""


class Impossible(Exception):
    """A fault that cannot be injected on this machine; the text says why."""


COMPUTED = "run JOIN regime_map USING (map_id) WHERE source = 'computed'"


@dataclass
class Audit:
    """What must hold after any fault; ``ok`` when all of it does."""

    wanted: int
    lost: int
    twice: int
    jobs_lost: int
    orphans: int
    tracebacks: int
    quarantined: int

    @property
    def ok(self) -> bool:
        return not (self.lost or self.twice or self.jobs_lost or self.orphans or self.tracebacks)


@dataclass
class World:
    """One installation in ``folder``; while it is entered, this process has its environment variables too."""

    folder: Path
    slots: int = 2
    cells: int = 0
    twice: int = 0
    orphans: int = 0
    owner: subprocess.Popen[str] | None = None
    random: random.Random = field(default_factory=lambda: random.Random(0))
    on_exit: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> World:
        self.on_exit.callback(self._restore, dict(os.environ))
        self.set(
            ATLAS_DATA=str(self.folder / "var"),
            ATLAS_RESULTS=str(self.folder / "results"),
            ATLAS_PLUGINS=str(PLUGINS),
            ATLAS_WORKERS=str(self.slots),
            PYTHONPATH=str(paths.ROOT),
        )
        self.control = ControlStore(paths.control())
        return self

    def __exit__(self, *_: object) -> None:
        if self.owner is not None:
            self.owner.kill()
            self.owner.communicate()
        self.on_exit.close()

    def set(self, **environment: str) -> None:
        """Set variables for this process and all that are started from now on."""
        os.environ |= environment

    @staticmethod
    def _restore(environment: dict[str, str]) -> None:
        os.environ.clear()
        os.environ |= environment

    # --- work --------------------------------------------------------------------------------------------------------

    def submit(self, n: int, **spec: object) -> str:
        """Queue a made-up job of ``n`` new cells."""
        cells = self.new_cells(n)
        job_id = self.control.submit("rehearse", cells, spec=spec, claim=True, max_attempts=1000).job_id
        self.cells += n
        return job_id

    def new_cells(self, n: int) -> list[RunSpec]:
        """Cells that nobody asked for yet."""
        same = {"family": "pinn", "problem": "convection", "strategy": "lbfgs", "coefficients": {"beta": 5.0}}
        return [RunSpec(**same, data=100, seed=self.cells + k) for k in range(n)]

    def real_cells(self, n: int) -> list[RunSpec]:
        """New cells whose training is real, and over in a moment."""
        cells = [replace(cell, model={"width": 4}, settings={"max_epochs": 1}) for cell in self.new_cells(n)]
        self.cells += n
        return cells

    def script(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a program that a visitor might, who sees its errors."""
        with self._errors().open("a") as errors:
            command = [sys.executable, "-c", program, *arguments]
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)

    def start(self, *, point: str = "", times: int = 1, lease: float = 60.0, **environment: str) -> None:
        """Start the owner; with ``point`` it kills itself there, perhaps before it is ready."""
        with self._errors().open("a") as errors:
            self.owner = subprocess.Popen(
                [sys.executable, "-c", OWNER, point, str(times), str(lease)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                env=os.environ | environment,
            )
        if not point:
            assert self.owner.stdout is not None
            assert self.owner.stdout.readline() == "ready\n", self._errors().read_text()

    def kill(self) -> None:
        """kill -9 the owner, and count what outlives it for more than ORPHAN_SECONDS."""
        assert self.owner is not None
        self.owner.kill()
        self.buried()

    def buried(self) -> None:
        """Wait for the owner's end, then for that of all it started."""
        assert self.owner is not None
        self.owner.communicate(timeout=60)
        self.owner = None
        self.count_orphans()

    def count_orphans(self) -> None:
        """Count what has outlived who started it for more than ORPHAN_SECONDS, and end it."""
        end = time.monotonic() + ORPHAN_SECONDS
        while (left := self.orphaned()) and time.monotonic() < end:
            time.sleep(0.02)
        self.orphans += len(left)
        for pid in left:
            os.kill(pid, signal.SIGKILL)

    def orphaned(self) -> list[int]:
        """Live processes of this installation that do not descend from this one any more."""
        return [pid for pid in self.processes() if not _descends(pid, os.getpid())]

    def processes(self) -> list[int]:
        """Live processes of this installation other than this one."""
        mark = f"ATLAS_DATA={paths.var()}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                mine = mark in (entry / "environ").read_bytes().split(b"\0")
                zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if mine and not zombie and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        return found

    def workers(self) -> list[int]:
        """The live workers."""
        return [pid for pid in self.processes() if b"jobs.worker" in _command(pid)]

    def reported(self) -> list[int]:
        """The workers that have said so much as their number, so that they are bound to their owner's life."""
        alive = set(self.workers())
        numbers = [self.control.job(job_id).progress.get("pid") for job_id in self.active()]
        return [pid for pid in numbers if pid in alive]

    def until(self, condition: Callable[[], object], *, seconds: float = 120.0) -> None:
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"Not within {seconds} s; errors: {self._errors().read_text()[-2000:]}")
            time.sleep(0.02)

    def active(self) -> list[str]:
        """Jobs that have not ended."""
        return [ticket.job_id for ticket in self.control.tickets([state for state in State if state.active])]

    def finish(self, *, seconds: float = 180.0, **environment: str) -> None:
        """Let the owner end all jobs, then stop it."""
        if self.owner is None:
            self.start(**environment)
        self.until(lambda: not self.active(), seconds=seconds)
        self.stop()

    def stop(self) -> None:
        """Stop the owner as an operator does."""
        assert self.owner is not None
        self.owner.terminate()
        self.owner.communicate(timeout=60)
        assert self.owner.returncode == 0
        self.owner = None
        self.until(lambda: not self.orphaned(), seconds=ORPHAN_SECONDS)

    # --- audit -------------------------------------------------------------------------------------------------------

    def audit(self, *, dead: int = 0) -> Audit:
        """Compare the store with what was asked; ``dead`` jobs were meant to end so."""
        with Store.open() as store:
            ((stored, distinct),) = store.rows(f"SELECT count(*), count(DISTINCT cell_id) FROM {COMPUTED}")
            ((quarantined,),) = store.rows("SELECT count(*) FROM quarantine")
        jobs = self.control.jobs(limit=100_000)
        return Audit(
            wanted=self.cells,
            lost=self.cells - distinct,
            twice=stored - distinct + self.twice,
            jobs_lost=sum(job.state is not State.SUCCEEDED for job in jobs) - dead,
            orphans=self.orphans,
            tracebacks=self._errors().read_text().count("Traceback"),
            quarantined=quarantined,
        )

    def _errors(self) -> Path:
        path = self.folder / "errors.txt"
        path.touch()
        return path


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1 and pid != ancestor:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            return True
    return pid == ancestor


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
