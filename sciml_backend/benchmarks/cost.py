"""The cost model of every map: seconds of one run on one core of this machine = fixed + per point * data.

The time of a step is measured here; the number of steps is what stored runs took on average, else the strategy's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pyarrow.parquet as pq

from sciml_backend import catalog, grouping, paths, sweep
from sciml_backend.engine import provenance
from sciml_backend.family import FAMILIES
from sciml_backend.run import MapName
from sciml_backend.store.batch import RUNS, read_header
from sciml_backend.store.spool import batch_files

SIZES = (200, 4000)
UNSEEN_ITERATIONS = 4000
"""Iterations of a strategy that ends by itself, where no run is stored: PINNs took 2,500 to 8,500."""


def seconds_per_step(name: MapName, data: int, *, steps: int = 12) -> float:
    """Median seconds of one step of one run, in a batch as the engine picks it, at the middle of the map's axis."""
    axis = catalog.problem(name.problem).axis
    middle = axis.axis[len(axis.axis) // 2]
    specs = sweep.plan(name, coefficients={axis.name: [middle]}, data=[data], seeds=range(grouping.rows(data)))
    objective, strategy, theta = sweep.objective_of(specs), sweep.schedule_of(specs[0])[0], sweep.initial_weights(specs)
    state, seconds = strategy.init(objective, theta), []
    for _ in range(steps):
        started = perf_counter()
        step = strategy.step(objective, theta, state)
        seconds.append(perf_counter() - started)
        theta, state = step.theta, step.state
    return median(seconds) / len(specs)


def mean_iterations(name: MapName) -> float | None:
    """Average iterations of the stored runs of a map, or None."""
    columns = ["map", "iterations"]
    counts: list[int] = []
    for path in batch_files(paths.results() / str(name)):
        if read_header(path).kind != RUNS:
            continue
        table = pq.read_table(path, columns=columns).to_pylist()
        counts += [row["iterations"] for row in table if row["map"] == str(name)]
    return sum(counts) / len(counts) if counts else None


def costs(names: Sequence[MapName] | None = None) -> dict[str, Any]:
    """The cost model by map name."""
    provenance.prepare("cpu", threads=1)
    out = {}
    for name in names or all_maps():
        small, large = (seconds_per_step(name, n) for n in SIZES)
        per_point = max(0.0, (large - small) / (SIZES[1] - SIZES[0]))
        strategy = catalog.entry("strategies", name.strategy).cls()
        iterations = getattr(strategy, "steps", None) or mean_iterations(name) or UNSEEN_ITERATIONS
        out[str(name)] = {
            "seconds_fixed": round(iterations * max(0.0, small - per_point * SIZES[0]), 3),
            "seconds_per_point": round(iterations * per_point, 6),
            "iterations": round(iterations),
        }
    return out


def all_maps() -> list[MapName]:
    """Every map of the catalogue."""
    return [
        MapName(family, problem, strategy)
        for family in FAMILIES
        for problem, entry in catalog.entries("problems").items()
        if family in entry.cls.families
        for strategy in catalog.entries("strategies")
    ]


def write(path: Path | None = None) -> dict[str, Any]:
    """Measure and write ``costs.json`` beside the shipped results; gives the model back."""
    found = costs()
    target = path or paths.results() / "costs.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(found, indent=1) + "\n")
    return found
