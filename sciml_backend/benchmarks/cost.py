"""The cost model of every map: seconds of one run on one core of this machine = fixed + per point * data.

The time of a step of every phase is measured here; the number of steps is what stored runs took on average where a
strategy of one phase ends by itself, else what the strategy expects.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from sciml_backend import catalog, grouping, paths, sweep
from sciml_backend.engine import provenance
from sciml_backend.family import FAMILIES
from sciml_backend.plan import axes_of
from sciml_backend.run import MapName
from sciml_backend.schedule import build
from sciml_backend.store.batch import RUNS, read_header
from sciml_backend.store.spool import batch_files

SIZES = (200, 4000)
"""Amounts of data at which steps are timed, as far as a problem has them."""


def seconds_per_step(name: MapName, data: int, *, steps: int = 24) -> list[float]:
    """Mean seconds of one step of one run in every phase, in a batch as the engine picks it, mid-axis."""
    problem = catalog.problem(name.problem)
    values = axes_of(name).x
    middle = values[len(values) // 2]
    specs = sweep.plan(
        name, coefficients={problem.axis.name: [middle]}, data=[data], seeds=range(grouping.rows(name.family, data))
    )
    objective, theta, out = sweep.objective_of(specs), sweep.initial_weights(specs), []
    for strategy in sweep.schedule_of(specs[0]):
        state = strategy.init(objective, theta)
        started = perf_counter()
        for _ in range(steps):  # on average: some steps make a preconditioner or begin a stage
            step = strategy.step(objective, theta, state)
            theta, state = step.theta, step.state
        out.append((perf_counter() - started) / steps / len(specs))
    return out


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
        most = min(SIZES[1], catalog.problem(name.problem).data_limit)
        few = min(SIZES[0], most // 2)
        small, large = (np.array(seconds_per_step(name, n)) for n in (few, most))
        per_point = np.maximum(0.0, (large - small) / (most - few))
        iterations = np.array(_iterations(name))
        out[str(name)] = {
            "seconds_fixed": round(float(iterations @ np.maximum(0.0, small - per_point * few)), 3),
            "seconds_per_point": round(float(iterations @ per_point), 6),
            "iterations": round(float(iterations.sum())),
        }
    return out


def _iterations(name: MapName) -> list[float]:
    """How many iterations each phase takes."""
    phases = build(name.strategy)
    stored = mean_iterations(name) if len(phases) == 1 else None
    return [stored or phase.expected_iterations for phase in phases]


def all_maps() -> list[MapName]:
    """Every map of the catalogue, in the variant that its strategy asks for."""
    return [
        MapName(family, problem, identifier, *strategy.cls.variants[:1])
        for family in FAMILIES
        for problem, entry in catalog.entries("problems").items()
        if family in entry.cls.families
        for identifier, strategy in catalog.entries("strategies").items()
    ]


def write(path: Path | None = None) -> dict[str, Any]:
    """Measure and write ``costs.json`` beside the shipped results; gives the model back."""
    found = costs()
    target = path or paths.results() / "costs.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(found, indent=1) + "\n")
    return found
