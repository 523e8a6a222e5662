"""Arrays kept on disk: real files, real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sciml_backend import disk_cache, paths

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path))
    disk_cache.forget()
    yield tmp_path
    disk_cache.forget()


class Maker:
    """Makes arrays, and counts how often it had to."""

    def __init__(self, size: int = 1000) -> None:
        self.calls, self.size = 0, size

    def __call__(self) -> disk_cache.Arrays:
        self.calls += 1
        return {"values": np.arange(self.size, dtype=np.float32), "units": np.ones(3, np.float32)}


def files() -> list[Path]:
    return sorted(paths.samples().glob("*.npz"), key=lambda part: part.stat().st_mtime_ns)


def test_arrays_are_made_once() -> None:
    make = Maker()
    first = disk_cache.kept({"n": 5}, make)
    assert disk_cache.kept({"n": 5}, make) is first, "from memory"
    disk_cache.forget()
    again = disk_cache.kept({"n": 5}, make)
    assert make.calls == 1 and len(files()) == 1
    assert again.keys() == first.keys()
    assert all(np.array_equal(again[k], first[k]) and again[k].dtype == first[k].dtype for k in first)


def test_everything_in_the_identity_counts() -> None:
    make = Maker()
    for identity in ({"n": 5}, {"n": 6}, {"n": 5, "c": {"r": 2.0}}, {"n": 5, "c": {"r": 3.0}}):
        disk_cache.kept(identity, make)
    assert make.calls == len(files()) == 4


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_made_anew(damage: str) -> None:
    make = Maker()
    disk_cache.kept({"n": 5}, make)
    (path,) = files()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes({"cut": content[:-600], "flipped": content, "empty": b"", "other": b"not a zip"}[damage])
    disk_cache.forget()
    found = disk_cache.kept({"n": 5}, make)
    assert make.calls == 2 and np.array_equal(found["values"], np.arange(1000))
    disk_cache.forget()
    assert np.array_equal(disk_cache.kept({"n": 5}, make)["values"], np.arange(1000)) and make.calls == 2


def test_an_array_that_became_shorter_is_made_anew() -> None:
    make = Maker()
    disk_cache.kept({"n": 5}, make)
    (path,) = files()
    path.write_bytes(path.read_bytes().replace(b"(1000,)", b"( 100,)"))
    disk_cache.forget()
    assert np.array_equal(disk_cache.kept({"n": 5}, make)["values"], np.arange(1000)) and make.calls == 2


def test_the_files_used_longest_ago_go(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    disk_cache.kept({"n": 0}, make)
    monkeypatch.setattr(disk_cache, "LIMIT", 3 * files()[0].stat().st_size)
    os.utime(files()[0], (1, 1))
    for n in (1, 2):
        disk_cache.kept({"n": n}, make)
        os.utime(files()[-1], (n + 1, n + 1))
    disk_cache.forget()
    disk_cache.kept({"n": 0}, make)  # read, so it is the newest now
    disk_cache.kept({"n": 3}, make)
    disk_cache.forget()
    assert make.calls == 4 and len(files()) == 3
    disk_cache.kept({"n": 0}, make)
    assert make.calls == 4, "1 went, 0 stayed"


def test_what_is_larger_than_the_limit_stays_until_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "LIMIT", 10)
    disk_cache.kept({"n": 0}, Maker())
    disk_cache.kept({"n": 1}, Maker())
    assert len(files()) == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_cache, "IN_MEMORY", 10_000)
    first = disk_cache.kept({"n": 0}, Maker())
    disk_cache.kept({"n": 1}, Maker())
    assert disk_cache.kept({"n": 0}, Maker()) is first
    disk_cache.kept({"n": 2}, Maker())
    assert disk_cache.kept({"n": 0}, Maker()) is first, "the one used last stays"
    large = disk_cache.kept({"n": 3}, Maker(10_000))
    assert disk_cache.kept({"n": 3}, Maker()) is large and disk_cache.kept({"n": 0}, Maker()) is not first


def test_where_nothing_can_be_written_it_works_all_the_same(data: Path) -> None:
    paths.samples().write_text("a file where the folder should be")
    make = Maker()
    assert np.array_equal(disk_cache.kept({"n": 0}, make)["values"], np.arange(1000)) and make.calls == 1


def test_a_draft_left_by_a_killed_process_goes() -> None:
    disk_cache.kept({"n": 0}, Maker())
    old, young = paths.samples() / "x.1.tmp", paths.samples() / "y.2.tmp"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * disk_cache.DRAFT_AGE,) * 2)
    disk_cache.kept({"n": 1}, Maker())
    assert not old.exists() and young.exists()


TOGETHER = """
import json, sys, time
from pathlib import Path
import numpy as np
from sciml_backend import disk_cache, paths

def make():
    (paths.samples() / f"made.{sys.argv[1]}").touch()
    while len(list(paths.samples().glob("made.*"))) < 2:  # both are making it at the same time
        time.sleep(0.01)
    return {"values": np.arange(300_000.0)}

paths.samples().mkdir(parents=True, exist_ok=True)
print(float(disk_cache.kept({"n": 1}, make)["values"].sum()))
"""


def test_two_processes_may_make_the_same() -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", TOGETHER, str(i)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    found = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert found == [299_999 * 150_000.0] * 2 and all(process.returncode == 0 for process in both)
    assert len(files()) == 1 and not list(paths.samples().glob("*.tmp"))
    make = Maker()
    assert disk_cache.kept({"n": 1}, make)["values"].sum() == found[0] and make.calls == 0
