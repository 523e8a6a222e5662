"""Runs into batches: alike but for coefficients and seeds, and few enough to stay in cache or memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from sciml_backend import memory
from sciml_backend.grouping import kind, order, rows
from sciml_backend.run import NoMemory, RunSpec


def batches(
    specs: Sequence[RunSpec],
    *,
    device: str = "cpu",
    most: int | None = None,
    shrink: int = 1,
    fits: Callable[[RunSpec], int] | None = None,
) -> Iterator[list[RunSpec]]:
    """Split runs into batches, those with most data first; the order within a batch is the given one.

    ``most`` overrides ``rows``; ``fits`` says how many runs like one fit into memory (see ``rows_that_fit``);
    ``shrink`` divides what comes of both.
    """
    ordered = sorted(specs, key=order)
    for _, group in groupby(ordered, key=kind):
        alike = list(group)
        size = most or rows(alike[0].family, alike[0].data, device=device)
        if fits is not None:
            size = min(size, fits(alike[0]))
        size = max(1, size // shrink)
        yield from (alike[at : at + size] for at in range(0, len(alike), size))


def rows_that_fit(*, fixed: int, per_row: int, device: str) -> int:
    """How many rows fit into half of the free memory, predicted in bytes before anything runs.

    Raises NoMemory when not even one does.
    """
    room = memory.room(device)
    if fixed + per_row > room:
        raise NoMemory(
            f"One such run is predicted to need {(fixed + per_row) / 2**30:.1f} GiB and {room / 2**30:.1f} GiB may be "
            "used; take a smaller network, fewer points, a smaller batch or a shorter history."
        )
    return (room - fixed) // per_row
