"""The rows of the fault programme: each breaks an installation ``n`` times, lets it finish, and is audited."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from sciml_backend import paths
from sciml_backend.store.backup import backups
from sciml_backend.store.batch import read_header
from sciml_backend.store.connection import Store
from tests.cluster import Cluster, Hosts, write_certificate
from tests.faults.disk import ballast, small_disk
from tests.faults.world import COMPUTED, Impossible, World

LEASE = 3.0
POINTS = ("before begin", "after log", "after rows", "after commit", "after rename")

Row = Callable[[World, int], int]
ROWS: dict[str, Row] = {}
"""By title; a row returns how many faults it injected."""

BRIEF: list[str] = []
"""Titles of those that are short enough for ``make test``."""


def row(title: str, *, brief: bool = True) -> Callable[[Row], Row]:
    """Enter a row into the programme."""

    def enter(act: Row) -> Row:
        ROWS[title] = act
        if brief:
            BRIEF.append(title)
        return act

    return enter


@row("kill -9 of the owner while it ingests, at every named point")
def ingester(world: World, n: int) -> int:
    world.submit(8 * (n + 5), seconds=0.0)
    for k in range(n):
        world.start(point=POINTS[k % len(POINTS)], times=1 + k // len(POINTS) % 3)
        try:
            world.owner.wait(15)  # type: ignore[union-attr]
        except Exception:  # everything was taken in before the point was reached again
            world.submit(8, seconds=0.0)
            world.owner.wait(30)  # type: ignore[union-attr]
        world.buried()
        world.submit(8, seconds=0.0)
    world.finish()
    return n


@row("kill -9 of the owner at random")
def owner(world: World, n: int) -> int:
    for _ in range(n):
        world.submit(24, seconds=0.02)
        world.start()
        time.sleep(world.random.uniform(0.0, 2.0))
        world.kill()
    world.finish()
    return n


@row("kill -9 of workers at random")
def worker(world: World, n: int) -> int:
    for _ in range(4):
        world.submit(16 + 4 * n, seconds=0.03)
    world.start()
    killed = 0
    while killed < n:
        if not world.active():
            world.submit(64, seconds=0.03)
        if pids := world.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(world.random.choice(pids), signal.SIGKILL)
                killed += 1
        time.sleep(world.random.uniform(0.1, 0.8))
    world.finish()
    return n


@row("workers stopped past their lease, then resumed")
def zombie(world: World, n: int) -> int:
    world.submit(24, seconds=0.1)
    world.start(lease=LEASE)
    stopped: list[int] = []
    while len(stopped) < n:
        if not world.active():
            world.submit(24, seconds=0.1)
        for pid in world.reported():
            if pid not in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    stopped.append(pid)
        time.sleep(LEASE / 2)
        for pid in stopped[: len(stopped) // 2]:  # some wake up before they are killed
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    world.finish()
    return len(stopped)


@row("duplicate, late and reordered deliveries")
def deliveries(world: World, n: int) -> int:
    world.submit(16 * n, seconds=0.0)
    world.finish()
    files = sorted(paths.spool_done().glob("*.parquet"))
    for k in range(n):
        chosen = [world.random.choice(files) for _ in range(3)]
        for path in chosen:
            shutil.copy2(path, paths.spool_new() / path.name.replace("~", f"~again{k}~", 1))
        world.start()
        world.until(lambda: not list(paths.spool_new().glob("*.parquet")))
        world.stop()
    return 3 * n


@row("truncated and foreign files in the spool")
def strangers(world: World, n: int) -> int:
    world.submit(8 * n, seconds=0.0)
    world.finish()
    source = next(iter(sorted(paths.spool_done().glob("*.parquet"))))
    whole = source.read_bytes()
    for k in range(n):
        cut = world.random.randrange(len(whole))
        (paths.spool_new() / f"truncated{k}~x.parquet").write_bytes(whole[:cut])
        (paths.spool_new() / f"foreign{k}~x.parquet").write_bytes(world.random.randbytes(2000))
    world.submit(8, seconds=0.0)
    world.finish()
    assert not list(paths.spool_new().glob("*.parquet"))
    return 2 * n


@row("the index's write-ahead log cut short, or bits of the index flipped")
def damage(world: World, n: int) -> int:
    world.submit(24, seconds=0.0)
    world.finish()
    for k in range(n):
        world.submit(8, seconds=0.0)
        world.start()
        world.until(lambda: not world.active())
        world.kill()
        wal = Path(f"{paths.database()}.wal")
        target = wal if wal.exists() and wal.stat().st_size and k % 2 else paths.database()
        content = bytearray(target.read_bytes())
        if k % 4 == 1:
            content = content[: world.random.randrange(len(content))]
        else:
            for _ in range(32):
                content[world.random.randrange(len(content))] ^= 1 << world.random.randrange(8)
        target.write_bytes(content)
        _same_as_a_fresh_one(world)
    world.finish()
    return n


def _same_as_a_fresh_one(world: World) -> None:
    """What the opened store answers is what an index made anew from the batches does, row for row."""
    question = f"SELECT cell_id::VARCHAR, status, train_loss, batch_id FROM {COMPUTED} ORDER BY ALL"
    with Store.open() as store:
        opened = store.rows(question)
        store.rebuild()
        assert opened == store.rows(question)
    assert len(opened) == world.cells


@row("poison: jobs that kill their worker every time, beside good ones")
def poison(world: World, n: int) -> int:
    for _ in range(n):
        asked = world.submit(1, bad_attempts=2, failure="killed")
        world.submit(8, seconds=0.0)
        assert asked
    world.finish()
    return 2 * n


@row("a disk that fills up, to its last byte or below the reserve")
def disk(world: World, n: int) -> int:
    world.on_exit.enter_context(small_disk(paths.var(), mebibytes=64))
    world.set(ATLAS_KEEP_FREE="0")  # so that everything goes on writing to a disk that is full
    for k in range(n):
        if world.owner is None:
            world.start(ATLAS_KEEP_FREE=("0", "8")[k // 2 % 2])
        for _ in range(2):
            world.submit(16, seconds=0.02)
        time.sleep(world.random.uniform(0.0, 2.0))
        with ballast(paths.var(), leave=world.random.choice((0, 2**12, 2**16, 2**20))):
            time.sleep(world.random.uniform(0.2, 1.5))
            if k % 4 == 3:
                world.kill()
        if k % 4 == 1:
            world.finish()
    world.finish()
    return n


HOUR = 3600.0


@row("the clock set back and forward by up to an hour")
def clock(world: World, n: int) -> int:
    file = world.folder / "clock"
    file.write_bytes(struct.pack("d", 0.0))
    world.start(LD_PRELOAD=str(_clock(world.folder)), ATLAS_CLOCK=str(file))
    for k in range(n):
        world.submit(12, seconds=0.02, bad_attempts=1, failure="machine")  # so that it waits for another try
        world.submit(12, seconds=0.02)
        time.sleep(world.random.uniform(0.0, 2.0))
        jump = (-HOUR, HOUR)[k % 2] if k < 4 else world.random.uniform(-HOUR, HOUR)
        with file.open("r+b") as shift:  # in place, as it is mapped
            shift.write(struct.pack("d", jump))
    world.finish(seconds=60.0 + 5 * n)  # far less than the jumps
    assert backups()
    return n


def _clock(folder: Path) -> Path:
    """The library that shifts the time of day."""
    library = folder / "clock.so"
    compiler, source = os.environ.get("CC", "cc"), Path(__file__).with_name("clock.c")
    if not shutil.which(compiler):
        raise Impossible("there is no C compiler here, so the clock cannot be shifted")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    return library


TAB = """
import json, sys
from jobs import queue
from sciml_backend.run import BadRequest, RunSpec
cells = [RunSpec.from_json(cell) for cell in json.loads(sys.argv[1])]
print("ready", flush=True)
for _ in sys.stdin:
    try:
        queue.submit_training(cells)
    except BadRequest as refusal:
        assert "queued or running already" in str(refusal) or "The same request" in str(refusal), refusal
    break
"""


@row("several tabs asking for the same cells, and for some of them")
def tabs(world: World, n: int) -> int:
    world.start()
    for _ in range(n):
        cells = world.real_cells(6)
        asked = cells, cells, cells[:4], cells[2:]
        opened = [world.script(TAB, json.dumps([cell.to_json() for cell in part])) for part in asked]
        for tab in opened:
            assert tab.stdout is not None and tab.stdout.readline() == "ready\n"
        for tab in opened:
            assert tab.stdin is not None
            tab.stdin.write("go\n")
            tab.stdin.flush()
        for tab in opened:
            tab.communicate(timeout=60)
            assert tab.returncode == 0
    world.finish()
    delivered = [cell for path in paths.spool_done().glob("*.parquet") for cell in read_header(path).cells]
    world.twice += len(delivered) - len(set(delivered))
    return n


@row("kill -9 of the workers, the scheduler and the owner of a cluster", brief=False)
def cluster(world: World, n: int) -> int:
    certificates = world.folder / "certificates"
    write_certificate(certificates)
    made = Cluster.at_free_port(certificates, world.folder)
    _use(world, made)
    for k in range(n):
        if world.owner is None:
            world.start()
        world.submit(24, seconds=0.05)
        world.submit(24, seconds=0.05)
        time.sleep(world.random.uniform(0.0, 3.0))
        victim = (*WORKERS, "scheduler", "owner")[k % 4]
        if victim == "owner":
            world.kill()
            continue
        # Workers end by themselves with their scheduler, but take their time.
        ended = [victim, *WORKERS] if victim == "scheduler" else [victim]
        for name in ended:
            made.kill(name)
        world.count_orphans()
        for name in ended:
            made.scheduler() if name == "scheduler" else made.worker(name)
    world.finish()
    return n


WORKERS = "one", "two"


def _use(world: World, made: Cluster) -> None:
    """Start a cluster and have the owner compute there."""
    world.on_exit.callback(made.close)
    world.set(**made.settings)
    made.scheduler()
    for name in WORKERS:
        made.worker(name)


@row("machines of a cluster that lose their network, or whose server is killed", brief=False)
def hosts(world: World, n: int) -> int:
    certificates = world.folder / "certificates"
    write_certificate(certificates)
    try:
        made = Hosts(certificates, world.folder, port=8786)
    except OSError as error:
        raise Impossible(f"This user may not make networks here ({error}).") from None
    _use(world, made)
    for k in range(n):
        if world.owner is None:
            world.start(lease=LEASE)
        world.submit(24, seconds=0.1)
        world.submit(24, seconds=0.1)
        time.sleep(world.random.uniform(1.0, 3.0))
        if k % 3 == 2:
            world.kill()
            continue
        made.plugged(WORKERS[k % 2], "down")
        time.sleep(world.random.uniform(0.5, 4 * LEASE))
        made.plugged(WORKERS[k % 2], "up")
    world.finish()
    return n
