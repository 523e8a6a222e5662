"""The rows of the fault programme: each breaks an installation ``n`` times, lets it finish, and is audited."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from sciml_backend import paths
from sciml_backend.store.connection import Store
from tests.faults.world import COMPUTED, World

LEASE = 3.0
POINTS = ("before begin", "after log", "after rows", "after commit", "after rename")

Row = Callable[[World, int], int]
ROWS: dict[str, Row] = {}
"""By title; a row returns how many faults it injected."""


def row(title: str) -> Callable[[Row], Row]:
    """Enter a row into the programme."""

    def enter(act: Row) -> Row:
        ROWS[title] = act
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
