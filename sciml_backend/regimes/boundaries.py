"""Regime boundaries: linear contours of the un-smoothed map at perturbed thresholds; arXiv:2605.29153, Fig. 1.

Coordinates are cell indices (the axes are categorical): 0 is the first value of an axis. The train boundary is the
whole contour of the training loss; the test boundary is the contour of the test error where the training loss is at or
below its own threshold, so it separates regimes I and III.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from contourpy import contour_generator
from numpy.typing import NDArray

from sciml_backend.regimes.cells import Floats, matrix
from sciml_backend.regimes.thresholds import Thresholds
from sciml_backend.run import BadRequest

LEVELS = (-0.2, -0.1, 0.0, 0.1, 0.2)


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The polylines (n, 2) of one metric (``train`` or ``test``) at one perturbed threshold, (x, y) in cell indices."""

    metric: str
    level: float
    threshold: float
    lines: tuple[Floats, ...]


def perturbations(size: float = 0.2) -> tuple[float, ...]:
    """Five levels from -size to +size; size in [0, 1), else BadRequest."""
    if not 0 <= size < 1:
        raise BadRequest(f"The perturbation of a threshold is a fraction from 0 to below 1; got {size:g}.")
    return (-size, -size / 2, 0.0, size / 2, size) if size else (0.0,)


def boundaries(
    grid: pd.DataFrame, thresholds: Thresholds | None = None, *, levels: Sequence[float] = LEVELS
) -> list[Boundary]:
    """Train boundaries, then test boundaries, one per level; no lines where the map has no contour.

    A level scales the number of the rule (f, percentile or T). Rows and columns with less than half as many values as
    the fullest one are passed over: lines cross them from one computed neighbour to the other. Elsewhere no line passes
    between cells of which one has no value.
    """
    thresholds = thresholds or Thresholds()
    train, test = matrix(grid, thresholds.train_column), matrix(grid, thresholds.test_column)
    there = np.isfinite(train) | np.isfinite(test)
    rows, columns = (well_filled(there.sum(axis=axis)) for axis in (1, 0))
    train, test = train[np.ix_(rows, columns)], test[np.ix_(rows, columns)]

    def placed(lines: Iterable[Floats]) -> tuple[Floats, ...]:
        """Lines of what was computed, in indices of the whole map."""
        return tuple(np.column_stack([_at(columns, line[:, 0]), _at(rows, line[:, 1])]) for line in lines)

    cuts = [thresholds.of(grid, 1 + level) for level in levels]
    train_lines = contours(train, [cut for cut, _ in cuts])
    test_lines = contours(test, [cut for _, cut in cuts])
    solid = [
        Boundary(metric="train", level=level, threshold=cut, lines=placed(lines))
        for level, (cut, _), lines in zip(levels, cuts, train_lines, strict=True)
    ]
    dashed = [
        Boundary(metric="test", level=level, threshold=cut, lines=placed(_below(lines, train, train_cut)))
        for level, (train_cut, cut), lines in zip(levels, cuts, test_lines, strict=True)
    ]
    return solid + dashed


def well_filled(count: NDArray[np.intp]) -> NDArray[np.intp]:
    """The rows (or columns) to draw by, from how many values each has: those with half the most or more."""
    return np.flatnonzero((count > 0) & (2 * count >= count.max(initial=0)))


def _at(kept: NDArray[np.intp], position: Floats) -> Floats:
    """Positions among the kept indices as positions among all."""
    return np.asarray(np.interp(position, np.arange(len(kept)), kept))


def contours(values: Floats, levels: Sequence[float]) -> list[tuple[Floats, ...]]:
    """Per level, polylines (n, 2) where linear interpolation along the grid's lines meets it; nan cells have none."""
    if min(values.shape) < 2:
        return [() for _ in levels]
    found = contour_generator(z=np.ma.masked_invalid(values), corner_mask=False)
    drawn: list[Any] = [found.lines(level) if math.isfinite(level) else () for level in levels]
    return [tuple(map(_snapped, lines)) for lines in drawn]


def _snapped(line: Floats) -> Floats:
    """Vertices exactly on the lines of the grid, which interpolation misses by rounding."""
    whole = np.round(line)
    return np.asarray(np.where(np.abs(line - whole) < 1e-9, whole, line))


def _below(lines: Sequence[Floats], values: Floats, level: float) -> tuple[Floats, ...]:
    """The parts of polylines along which the values stay at or below the level."""
    return tuple(piece for line in lines for piece in _pieces(line, level - _along(line, values)))


def _along(line: Floats, values: Floats) -> Floats:
    """Values at a contour's vertices, which lie on lines of the grid: linear between the two cells beside each."""
    before = np.floor(line).astype(int)
    after = np.ceil(line).astype(int)
    near, far = values[before[:, 1], before[:, 0]], values[after[:, 1], after[:, 0]]
    share = np.abs(line - before).max(axis=1)
    return np.asarray(np.where(share > 0, near + share * (far - near), near))


def _pieces(line: Floats, room: Floats) -> Iterator[Floats]:
    """Cut a polyline where ``room`` changes sign, and yield what has room >= 0; nan counts as no room."""
    inside = room >= 0
    piece: list[Floats] = [line[0]] if inside[0] else []
    for k in range(1, len(line)):
        if inside[k] != inside[k - 1]:
            crossing = _crossing(line[k - 1 : k + 1], room[k - 1 : k + 1])
            piece.append(crossing)
        if inside[k]:
            piece.append(line[k])
        elif piece:
            yield np.array(piece)
            piece = []
    if len(piece) > 1:
        yield np.array(piece)


def _crossing(ends: Floats, room: Floats) -> Floats:
    """Where room is zero between two points; the known end when the other has no value."""
    if np.isnan(room).any():
        return np.asarray(ends[int(np.isnan(room[0]))])
    return np.asarray(ends[0] + room[0] / (room[0] - room[1]) * (ends[1] - ends[0]))
