"""Live curves: the loss of the rows that a job trains now, thinned so that they fit into a note of progress."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MOST_ROWS = 20
MOST_POINTS = 120


class LiveCurves:
    """Curves of the batch that a job trains now: at most ``MOST_ROWS`` rows and ``MOST_POINTS`` points of each.

    A row that ends keeps its curve until the next batch, or the next phase of its training, begins.
    """

    def __init__(self) -> None:
        self._begin([])

    def _begin(self, rows: list[str]) -> None:
        self._rows = rows
        self._points: list[tuple[int, int, dict[str, float | None]]] = []
        self._seen = 0
        self._every = 1

    def add(self, training: Sequence[Mapping[str, Any]]) -> None:
        """Take in the rows in training as ``sweep.Progress`` has them; none, between two batches, change nothing."""
        if not training:
            return
        iteration = int(training[0]["iteration"])
        loss = {str(row["cell_id"]): _log10(row["train_loss"]) for row in training}
        last = self._points[-1][1] if self._points else 0
        if iteration < last or not loss.keys() & set(self._rows):
            self._begin(list(loss)[:MOST_ROWS])
        elif iteration == last:
            return
        self._append(iteration, loss)

    def _append(self, iteration: int, loss: dict[str, float | None]) -> None:
        """Add the newest point, which always stays; when there are too many, every second of the others goes."""
        if self._points and self._points[-1][0] % self._every:
            self._points.pop()
        self._points.append((self._seen, iteration, loss))
        self._seen += 1
        if len(self._points) > MOST_POINTS:
            self._every *= 2
            *earlier, newest = self._points
            self._points = [point for point in earlier if point[0] % self._every == 0] + [newest]

    def to_json(self) -> dict[str, Any]:
        """``iteration`` (n,) and, by cell_id, ``log10_loss`` (n,), with None where a row has no such number."""
        return {
            "iteration": [iteration for _, iteration, _ in self._points],
            "log10_loss": {row: [loss.get(row) for _, _, loss in self._points] for row in self._rows},
        }


def note(message: Mapping[str, Any], curves: LiveCurves) -> dict[str, Any]:
    """What is kept of a worker's message: a few of its rows in training, how many there are, and their curves."""
    kept = {name: value for name, value in message.items() if name != "event"}
    training = kept.get("training")
    if training is None:
        return kept
    curves.add(training)
    return {**kept, "training": training[:MOST_ROWS], "n_training": len(training), "curves": curves.to_json()}


def _log10(loss: float | None) -> float | None:
    return round(math.log10(loss), 4) if loss is not None and math.isfinite(loss) and loss > 0 else None
