"""Which runs train together: what they have in common, and how many of them share a batch."""

from __future__ import annotations

from sciml_backend.run import RunSpec

CPU_ROWS = 8
"""Rows of a batch on a CPU core: enough to share Python's overhead, few enough for curvature pairs to stay in cache."""
CPU_LEAST_ROWS = 3
"""The seeds of a cell usually number three: they end at about the same time."""
CPU_POINTS = 16_000
"""Rows times points of a CPU batch: above it the overhead is nothing and shorter batches are saved sooner."""
GPU_POINTS = 20_000_000
"""Rows times points of a GPU batch."""


def kind(spec: RunSpec) -> tuple[str, ...]:
    """What the runs of one batch have in common."""
    shared = (spec.family, spec.problem, spec.strategy, spec.data, spec.data_seed, spec.dtype, spec.protocol)
    return tuple(
        str(part) for part in (*shared, sorted(spec.model.items()), sorted(spec.settings.items()), spec.plugin)
    )


def rows(data: int, *, device: str = "cpu") -> int:
    """How many runs with this much data share a batch, memory apart."""
    if device.startswith("cuda"):
        return max(1, GPU_POINTS // data)
    return max(CPU_LEAST_ROWS, min(CPU_ROWS, CPU_POINTS // data))
