"""Which runs train together: alike but for coefficients and seeds, and few enough to stay in cache or memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from sciml_backend import memory
from sciml_backend.run import BadRequest, RunSpec

CPU_ROWS = 8
"""Rows of a batch on a CPU core: enough to share Python's overhead, few enough for curvature pairs to stay in cache."""
CPU_LEAST_ROWS = 3
"""The seeds of a cell usually number three: they end at about the same time."""
CPU_POINTS = 16_000
"""Rows times points of a CPU batch: above it the overhead is nothing and shorter batches are saved sooner."""
GPU_POINTS = 20_000_000
"""Rows times points of a GPU batch."""
MEMORY_SHARE = 0.5
"""The part of free memory a batch may be predicted to need."""


def kind(spec: RunSpec) -> tuple[str, ...]:
    """What the runs of one batch have in common."""
    shared = (spec.family, spec.problem, spec.strategy, spec.data, spec.data_seed, spec.dtype, spec.protocol)
    return tuple(
        str(part) for part in (*shared, sorted(spec.model.items()), sorted(spec.settings.items()), spec.plugin)
    )


def batches(
    specs: Sequence[RunSpec],
    *,
    device: str = "cpu",
    most: int | None = None,
    fits: Callable[[RunSpec], int] | None = None,
) -> Iterator[list[RunSpec]]:
    """Split runs into batches, those with most data first; the order within a batch is the given one.

    ``most`` overrides ``rows``; ``fits`` says how many runs like one fit into memory (see ``rows_that_fit``).
    """
    ordered = sorted(specs, key=lambda spec: (-spec.data, kind(spec)))
    for _, group in groupby(ordered, key=kind):
        alike = list(group)
        size = most or rows(alike[0].data, device=device)
        if fits is not None:
            size = min(size, fits(alike[0]))
        yield from (alike[at : at + size] for at in range(0, len(alike), size))


def rows(data: int, *, device: str = "cpu") -> int:
    """How many runs with this much data share a batch, memory apart."""
    if device.startswith("cuda"):
        return max(1, GPU_POINTS // data)
    return max(CPU_LEAST_ROWS, min(CPU_ROWS, CPU_POINTS // data))


def rows_that_fit(*, fixed: int, per_row: int, device: str) -> int:
    """How many rows fit into half of the free memory, predicted in bytes before anything runs.

    Raises BadRequest when not even one does.
    """
    room = int(memory.free(device) * MEMORY_SHARE)
    if fixed + per_row > room:
        raise BadRequest(
            f"One such run is predicted to need {(fixed + per_row) / 2**30:.1f} GiB and {room / 2**30:.1f} GiB may be "
            "used; take a smaller network, fewer points or a shorter history."
        )
    return (room - fixed) // per_row
