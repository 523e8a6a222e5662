"""What cannot be computed again, kept hourly: job control and the batches of the spool, in dated folders.

Batches are hard links (copies where the disk has no links), so a backup takes little room. Links guard against deletion
and against faulty programs; against the loss of the disk, copy a folder elsewhere. Shipped results are in no backup.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sciml_backend import paths
from sciml_backend.run import BadRequest
from sciml_backend.store.spool import flush_folder, require_space, write_flushed

HOURS, DAYS = 24, 7
"""How many hourly and how many daily backups stay."""

LOG_AGE, QUARANTINE_AGE = timedelta(days=30), timedelta(days=90)
"""How long a log stays after its last line, and a file in quarantine."""

_INTERVAL = timedelta(hours=1)
_STAMP = "%Y%m%dT%H%M%SZ"
_MANIFEST = "manifest.json"
_CONTROL = "control.sqlite"
_BATCH = re.compile(r"spool/(new|done)/[^/]+\.parquet")


@dataclass(frozen=True)
class Entry:
    """A file of a backup: its bytes and their SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Restored:
    """What was put back: batches that were missing or damaged, batches that were there, and whether job control was.

    ``damaged`` batches of the backup itself were left out.
    """

    batches: int
    present: int
    damaged: int
    control: bool


def keep_backups(now: datetime | None = None) -> Path | None:
    """Back up when an hour has passed, remove what is too old, and give back the new backup, if one was due.

    Cheap when nothing is due. Raises BadRequest when the disk is nearly full or the control store cannot be read.
    """
    now = now or datetime.now(UTC)
    if not due(now):
        return None
    made = back_up(now)
    prune()
    clear_old(now)
    return made


def backups() -> list[Path]:
    """The folders of all backups, oldest first."""
    return sorted(path.parent for path in _home().glob(f"*/{_MANIFEST}") if _made_at(path.parent) is not None)


def due(now: datetime) -> bool:
    """Whether there is something to back up and no backup of the last hour."""
    if any(made and timedelta(0) <= now - made < _INTERVAL for made in map(_made_at, backups())):
        return False
    return paths.control().exists() or any(True for _ in _batches())


def back_up(now: datetime | None = None) -> Path:
    """Make a backup, whole or not at all, and give back its folder; raises as ``keep_backups`` does."""
    home = paths.made(_home())
    require_space(home)
    _sweep_drafts()
    target = home / (now or datetime.now(UTC)).strftime(_STAMP)
    if target.exists():
        raise BadRequest(f"The backup {target.name} exists already; wait a second.")
    draft = home / f".{target.name}.{os.getpid()}.tmp"
    for folder in (draft / "spool" / "new", draft / "spool" / "done"):
        folder.mkdir(parents=True)
    try:
        _copy_control(draft / _CONTROL)
        _link_batches(draft)
        entries = {name: asdict(entry) for name, entry in _entries(draft).items()}
        write_flushed(draft / _MANIFEST, json.dumps({"files": entries}, indent=1).encode())
        for folder in (draft / "spool" / "new", draft / "spool" / "done", draft / "spool", draft):
            flush_folder(folder)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    flush_folder(home)
    return target


def prune() -> list[Path]:
    """Remove all backups but the last of each of the last 24 hours and 7 days that have one; gives back the removed."""
    newest_first = backups()[::-1]
    keep: set[Path] = set()
    for length, many in ((len("20260101T00"), HOURS), (len("20260101"), DAYS)):
        last_of_each: dict[str, Path] = {}
        for folder in newest_first:
            last_of_each.setdefault(folder.name[:length], folder)
        keep.update(list(last_of_each.values())[:many])
    removed = [folder for folder in newest_first if folder not in keep]
    for folder in removed:
        doomed = folder.rename(folder.with_name(f".{folder.name}.tmp"))  # never half a backup under a valid name
        shutil.rmtree(doomed)
    return removed


def clear_old(now: datetime | None = None) -> list[Path]:
    """Remove logs of 30 days and quarantined files of 90 days, and give them back."""
    now = now or datetime.now(UTC)
    removed = []
    for path in [*(paths.var() / "logs").glob("*"), *paths.spool_quarantine().glob("*")]:
        state = path.stat()
        # A file comes to quarantine by renaming, which leaves the time of its content as it was.
        in_quarantine = path.parent == paths.spool_quarantine()
        since = datetime.fromtimestamp(state.st_ctime if in_quarantine else state.st_mtime, UTC)
        if path.is_file() and now - since > (QUARANTINE_AGE if in_quarantine else LOG_AGE):
            path.unlink()
            removed.append(path)
    return removed


def restore(folder: Path) -> Restored:
    """Put a backup back and drop the index, which the next start rebuilds; batches that came later stay.

    The control store that is replaced is kept in ``replaced/``. Raises BadRequest, and then nothing has changed, when a
    server or a dispatcher is at work, when there is no such backup, or when its job control is damaged.
    """
    try:
        folder = folder if folder.exists() else _home() / folder
    except OSError as error:
        raise BadRequest(f"{folder} is not a backup: {error.strerror}.") from None
    entries, damaged = _verified(folder)
    with _alone():
        outcomes = [_put_back(folder / name, entry) for name, entry in entries.items() if name != _CONTROL]
        if _CONTROL in entries:
            _put_control_back(folder / _CONTROL)
    back = sum(outcomes)
    return Restored(batches=back, present=len(outcomes) - back, damaged=damaged, control=_CONTROL in entries)


def _home() -> Path:
    return paths.var() / "backup"


def _made_at(folder: Path) -> datetime | None:
    try:
        return datetime.strptime(folder.name, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _sweep_drafts() -> None:
    """Remove what a killed backup left; a living one's folder was touched a moment ago."""
    for draft in _home().glob(".*.tmp"):
        if datetime.now(UTC).timestamp() - draft.stat().st_mtime > _INTERVAL.total_seconds():
            shutil.rmtree(draft, ignore_errors=True)


def _copy_control(target: Path) -> None:
    if not paths.control().exists():
        return
    try:
        with closing(sqlite3.connect(f"{paths.control().resolve().as_uri()}?mode=rw", uri=True, timeout=30)) as control:
            control.execute("VACUUM INTO ?", [str(target)])
    except sqlite3.Error as error:
        raise BadRequest(f"No backup was made: {paths.control()} cannot be copied ({error}).") from None
    with open(target, "rb") as file:
        os.fsync(file.fileno())


def _batches() -> Iterator[Path]:
    # new/ before done/: what moves between them meanwhile is seen at least once
    for folder in (paths.spool_new(), paths.spool_done()):
        yield from folder.glob("*.parquet")


def _link_batches(draft: Path) -> None:
    """Link until a listing brings nothing new: a file that vanished was moved, or merged into one that came later."""
    taken: set[str] = set()
    while fresh := [path for path in _batches() if path.name not in taken]:
        for path in fresh:
            taken.add(path.name)
            try:
                _link(path, draft / "spool" / path.parent.name / path.name)
            except FileNotFoundError:
                if path.parent == paths.spool_new():
                    taken.discard(path.name)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        write_flushed(target, source.read_bytes())


def _entries(draft: Path) -> dict[str, Entry]:
    """Size and digest of each file; that of a batch which the last backup has as well is known."""
    last = backups()[-1:]
    known = _manifest(last[0]) if last else {}
    found = {}
    for path in sorted(path for path in draft.rglob("*") if path.is_file()):
        name = path.relative_to(draft).as_posix()
        same = name in known and (last[0] / name).exists() and path.samefile(last[0] / name)
        found[name] = known[name] if same else _entry(path)
    return found


def _entry(path: Path) -> Entry:
    with open(path, "rb") as file:
        return Entry(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _manifest(folder: Path) -> dict[str, Entry]:
    try:
        files = json.loads((folder / _MANIFEST).read_text())["files"]
        return {name: Entry(**entry) for name, entry in files.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise BadRequest(f"{folder} is not a backup: its {_MANIFEST} is missing or cannot be read.") from None


def _verified(folder: Path) -> tuple[Mapping[str, Entry], int]:
    """The files of a backup that are as its manifest says, and how many batches are not."""
    entries = _manifest(folder)
    for name in entries:
        if name != _CONTROL and not _BATCH.fullmatch(name):
            raise BadRequest(f"{folder} is not a backup: its {_MANIFEST} names {name!r}.")
    whole = {n: e for n, e in entries.items() if (folder / n).is_file() and _entry(folder / n) == e}
    if _CONTROL in entries.keys() - whole.keys():
        raise BadRequest(f"{folder.name} was not restored: its {_CONTROL} is damaged; take another backup.")
    return whole, len(entries) - len(whole)


@contextmanager
def _alone() -> Iterator[None]:
    """No dispatcher and no owner of the index meanwhile; the index is put aside in the end."""
    from sciml_backend.store.connection import without_owner

    paths.made(paths.var())
    with open(paths.control().with_name("dispatcher.lock"), "a") as lock, without_owner(paths.database()):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadRequest(
                "Jobs are being dispatched here; stop the server or `python -m jobs work` first."
            ) from None
        yield


def _put_back(source: Path, entry: Entry) -> bool:
    """Put a batch where it is, or was; whether it had to be."""
    places = [folder / source.name for folder in (paths.spool_done(), paths.spool_new())]
    present = next((place for place in places if place.exists()), None)
    if present is not None and _entry(present) == entry:
        return False
    target = present or paths.var() / "spool" / source.parent.name / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    _link(source, draft)
    draft.replace(target)
    flush_folder(target.parent)
    return True


def _put_control_back(source: Path) -> None:
    control = paths.control()
    draft = control.with_name(f".{control.name}.{os.getpid()}.tmp")
    write_flushed(draft, source.read_bytes())  # a copy: this file will be written to
    aside = paths.var() / "replaced" / datetime.now(UTC).strftime(_STAMP)
    for part in (control, *(control.with_name(control.name + suffix) for suffix in ("-wal", "-shm"))):
        if part.exists():
            aside.mkdir(parents=True, exist_ok=True)
            part.rename(aside / part.name)
    draft.replace(control)
    flush_folder(control.parent)
