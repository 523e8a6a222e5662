"""Parts: how a job's cells are cut into pieces that are delivered one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sciml_backend.run import RunSpec

CELLS_PER_PART = 20
"""Small enough that a float64 part with its weights stays below the 2 MiB of a batch file."""


def batch_id(job_id: str, part: int) -> str:
    """The key under which a part is ingested exactly once: whichever attempt delivers it first wins."""
    return f"{job_id}:{part}"


def cut(specs: Iterable[RunSpec]) -> list[list[RunSpec]]:
    """Cells in parts of at most CELLS_PER_PART; a part has one map and one precision.

    Cells that train together in one batch are neighbours, so that parts fill one after the other. The largest
    amounts of data come first: they take longest.
    """
    groups: dict[Any, list[RunSpec]] = {}
    for spec in sorted(specs, key=_order):
        groups.setdefault((spec.map, spec.dtype), []).append(spec)
    return [cells[i : i + CELLS_PER_PART] for cells in groups.values() for i in range(0, len(cells), CELLS_PER_PART)]


def _order(spec: RunSpec) -> tuple[Any, ...]:
    return (spec.map, spec.dtype, -spec.data, tuple(spec.coefficients.items()), spec.seed, spec.cell_id)
