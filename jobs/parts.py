"""Parts: how a job's cells are cut into pieces that are delivered one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby

from sciml_backend.run import RunSpec

CELLS_PER_PART = 8
LEAST_CELLS_PER_PART = 3
POINTS_PER_PART = 16_000
"""A part is about what a core trains at once: finished cells are safe, and on the map, as soon as may be."""


def batch_id(job_id: str, part: int) -> str:
    """The key under which a part is ingested exactly once: whichever attempt delivers it first wins."""
    return f"{job_id}:{part}"


def cut(specs: Iterable[RunSpec]) -> list[list[RunSpec]]:
    """Cells in parts, each of one map, precision and amount of data; largest amounts first, as they take longest.

    The order of seeds and coefficients within a part does not depend on the order given.
    """
    ordered = sorted(specs, key=lambda spec: (-spec.data, *_kind(spec), *spec.coefficients.values(), spec.seed))
    parts: list[list[RunSpec]] = []
    for _, group in groupby(ordered, key=_kind):
        alike = list(group)
        size = max(LEAST_CELLS_PER_PART, min(CELLS_PER_PART, POINTS_PER_PART // alike[0].data))
        parts += (alike[at : at + size] for at in range(0, len(alike), size))
    return parts


def _kind(spec: RunSpec) -> tuple[str, ...]:
    settings = json.dumps([dict(spec.model), dict(spec.settings)])
    return (str(spec.map), spec.dtype, str(spec.data), str(spec.data_seed), settings)
