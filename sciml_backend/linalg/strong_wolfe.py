"""Line search for the strong Wolfe conditions; Nocedal & Wright (2006), algorithms 3.5 and 3.6.

Each row is searched by a generator that asks for a step length and is sent what the objective says there, so rows
decide for themselves while their evaluations run together. The decisions are those of ``torch.optim.LBFGS``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import inf, isfinite, isinf, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from sciml_backend.linalg.row_wise import Floats, Integers

SUFFICIENT_DECREASE = 1e-4
CURVATURE = 0.9

Evaluate = Callable[[Integers, Floats], tuple[Floats, Floats]]
"""Rows and their step lengths in; loss and slope (the derivative along the direction) of each out."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A step length, what the objective said there, and how many-th trial it was (-1: the start)."""

    step: float
    loss: float
    slope: float
    number: int

    @property
    def broken(self) -> bool:
        """Whether nothing can be learnt from it; plus infinity is a step too long, which is learnt from."""
        if isinf(self.loss):
            return self.loss < 0
        return not (isfinite(self.loss) and isfinite(self.slope))


class Diverged(ArithmeticError):
    """The loss or its slope was not a number at a trial."""


@dataclass(frozen=True)
class Found:
    """Where every row's search ended: its ``step`` (zero: nowhere better), the ``loss`` there, which ``trial`` that
    was (-1: the start), how many ``trials`` it took, and whether it ``diverged``; all (B,).
    """

    step: Floats
    loss: Floats
    trial: Integers
    trials: Integers
    diverged: NDArray[np.bool_]


def strong_wolfe(
    evaluate: Evaluate,
    rows: Integers,
    *,
    first: Floats,
    loss: Floats,
    slope: Floats,
    largest: Floats,
    limit: Integers,
    tolerance: float = 1e-9,
) -> Found:
    """Search the given rows of B, each along its direction from step length ``first``.

    ``loss``, ``slope`` (negative) are those at the start, ``largest`` the largest absolute component of the direction,
    ``limit`` how often a search may go on after its first trial; all (B,). A bracket that moves no component by
    ``tolerance`` is not refined. Rows not searched are reported as staying where they are.
    """
    step, reached, diverged = np.zeros_like(loss), loss.copy(), np.zeros(len(loss), dtype=bool)
    trial, trials = np.full(len(loss), -1), np.zeros(len(loss), dtype=np.int64)
    searches = {
        row: search(first[row], loss[row], slope[row], largest=largest[row], limit=int(limit[row]), tolerance=tolerance)
        for row in rows.tolist()
    }
    asked = {row: next(run) for row, run in searches.items()}
    while asked:
        active = np.fromiter(asked, dtype=np.int64)
        values, slopes = evaluate(active, np.fromiter(asked.values(), dtype=np.float64))
        trials[active] += 1
        for row, value, derivative in zip(active.tolist(), values.tolist(), slopes.tolist(), strict=True):
            try:
                asked[row] = searches[row].send((value, derivative))
            except StopIteration as end:
                del asked[row]
                step[row], reached[row], trial[row] = end.value.step, end.value.loss, end.value.number
            except Diverged:
                del asked[row]
                diverged[row] = True
    return Found(step, reached, trial, trials, diverged)


Search = Generator[float, tuple[float, float], Trial]


def search(first: float, loss: float, slope: float, *, largest: float, limit: int, tolerance: float) -> Search:
    """One row's search: yields step lengths, is sent (loss, slope), returns the trial it settles on.

    Raises Diverged.
    """
    start = Trial(0.0, loss, slope, -1)
    bracket, count, done = yield from _bracket(start, float(first), limit)
    if done:
        return bracket[0]
    return (yield from _zoom(start, bracket, count, largest, limit, tolerance))


def _ask(step: float, number: int) -> Generator[float, tuple[float, float], Trial]:
    loss, slope = yield step
    trial = Trial(step, loss, slope, number)
    if trial.broken:
        raise Diverged
    return trial


def _satisfies_curvature(trial: Trial, start: Trial) -> bool:
    return abs(trial.slope) <= -CURVATURE * start.slope


def _decreases_enough(trial: Trial, start: Trial) -> bool:
    return trial.loss <= start.loss + SUFFICIENT_DECREASE * trial.step * start.slope


def _bracket(
    start: Trial, step: float, limit: int
) -> Generator[float, tuple[float, float], tuple[list[Trial], int, bool]]:
    """Lengthen the step until it is good (then done), or two trials enclose a good one."""
    before, trial = start, (yield from _ask(step, 0))
    for count in range(limit):
        if not _decreases_enough(trial, start) or (count > 1 and trial.loss >= before.loss):
            return [before, trial], count, False
        if _satisfies_curvature(trial, start):
            return [trial], count, True
        if trial.slope >= 0:
            return [before, trial], count, False
        shortest, longest = trial.step + 0.01 * (trial.step - before.step), trial.step * 10
        step = cubic_minimum(before, trial, shortest, longest)
        before, trial = trial, (yield from _ask(step, count + 1))
    return [start, trial], limit, False


def _zoom(
    start: Trial, bracket: list[Trial], count: int, largest: float, limit: int, tolerance: float
) -> Generator[float, tuple[float, float], Trial]:
    """Narrow the bracket around a good step; returns its lower end when nothing better can be had."""
    low, high = _by_loss(bracket)
    hesitated = False
    while count < limit:
        left, right = bracket[0].step, bracket[1].step
        if abs(right - left) * largest < tolerance:
            break
        step = cubic_minimum(bracket[0], bracket[1], min(left, right), max(left, right))
        step, hesitated = _away_from_ends(step, min(left, right), max(left, right), hesitated)
        count += 1
        trial = yield from _ask(step, count)
        if not _decreases_enough(trial, start) or trial.loss >= bracket[low].loss:
            bracket[high] = trial
            low, high = _by_loss(bracket)
            continue
        done = _satisfies_curvature(trial, start)
        if not done and trial.slope * (bracket[high].step - bracket[low].step) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = trial
        if done:
            break
    return bracket[low]


def _by_loss(bracket: list[Trial]) -> tuple[int, int]:
    return (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)


def _away_from_ends(step: float, left: float, right: float, hesitated: bool) -> tuple[float, bool]:
    """Keep a tenth of the bracket from its ends, when the last step was as near already or this one is on an end."""
    margin = 0.1 * (right - left)
    if min(right - step, step - left) >= margin:
        return step, False
    if not (hesitated or step >= right or step <= left):
        return step, True
    return (right - margin if abs(step - right) < abs(step - left) else left + margin), False


def cubic_minimum(a: Trial, b: Trial, low: float, high: float) -> float:
    """Minimiser within [low, high] of the cubic through both losses and slopes, its middle where there is none.

    Nocedal & Wright (2006), equation 3.59.
    """
    if a.step > b.step:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step) if a.step != b.step else nan
    square = d1 * d1 - a.slope * b.slope
    if not 0 <= square < inf:
        return (low + high) / 2.0
    d2 = sqrt(square)
    curvature = b.slope - a.slope + 2 * d2
    if curvature == 0:
        return (low + high) / 2.0
    return min(max(b.step - (b.step - a.step) * ((b.slope + d2 - d1) / curvature), low), high)
