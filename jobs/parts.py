"""Parts: how a job's cells are cut into pieces that are delivered one by one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from sciml_backend.grouping import kind, order, rows
from sciml_backend.run import RunSpec


def batch_id(job_id: str, part: int) -> str:
    """The key under which a part is ingested exactly once: whichever attempt delivers it first wins."""
    return f"{job_id}:{part}"


def cut(specs: Iterable[RunSpec]) -> list[list[RunSpec]]:
    """Cells in parts, each what a core trains at once; largest amounts of data first, as they take longest.

    So finished cells are safe, and on the map, as soon as may be. The order of seeds and coefficients within a part
    does not depend on the order given.
    """
    ordered = sorted(specs, key=lambda spec: (*order(spec), *spec.coefficients.values(), spec.seed))
    parts: list[list[RunSpec]] = []
    for _, group in groupby(ordered, key=kind):
        alike = list(group)
        size = rows(alike[0].family, alike[0].data)
        parts += (alike[at : at + size] for at in range(0, len(alike), size))
    return parts
