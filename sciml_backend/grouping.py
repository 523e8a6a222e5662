"""Which runs train together: what they have in common, and how many of them share a batch."""

from __future__ import annotations

from sciml_backend.family import FAMILIES
from sciml_backend.run import RunSpec

CPU_LEAST_ROWS = 3
"""The seeds of a cell usually number three: they end at about the same time."""
CPU_POINTS = 16_000
"""Rows times points of a CPU batch: above it the overhead is nothing and shorter batches are saved sooner."""
GPU_POINTS = 20_000_000
"""Rows times points of a GPU batch."""


def kind(spec: RunSpec) -> tuple[str, ...]:
    """What the runs of one batch have in common."""
    shared = (spec.family, spec.problem, spec.strategy, spec.data_seed, spec.dtype, spec.protocol, spec.plugin)
    data = () if FAMILIES[spec.family].ragged else (spec.data,)
    return tuple(str(part) for part in (*data, *shared, sorted(spec.model.items()), sorted(spec.settings.items())))


def order(spec: RunSpec) -> tuple[object, ...]:
    """What runs are sorted by before they are cut into batches: those with most data first, runs of a kind together."""
    return (0 if FAMILIES[spec.family].ragged else -spec.data), kind(spec), -spec.data


def rows(family: str, data: int, *, device: str = "cpu") -> int:
    """How many runs of a family with this much data share a batch, memory apart."""
    own = FAMILIES[family]
    if device.startswith("cuda"):
        return max(1, GPU_POINTS // data) if own.shares_a_gpu else 1
    most = own.rows if own.ragged else min(own.rows, CPU_POINTS // data)
    return max(min(CPU_LEAST_ROWS, own.rows), most)
