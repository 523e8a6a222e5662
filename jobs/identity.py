"""The name of a data folder, by which a worker elsewhere knows that it sees the same one."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

from sciml_backend import paths


def made() -> str:
    """The name of our data folder; given to it when it has none."""
    if not (name := read()):
        path = _path()
        paths.made(path.parent)
        with contextlib.suppress(FileExistsError), path.open("x") as file:
            file.write(uuid.uuid4().hex)
        name = read()
    return name


def read() -> str:
    """The name of the folder that ``ATLAS_DATA`` names here; empty when it has none."""
    try:
        return _path().read_text()
    except FileNotFoundError:
        return ""


def _path() -> Path:
    return paths.var() / "identity"
