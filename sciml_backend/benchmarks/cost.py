"""The cost model of a map: seconds of one run on one core of this machine = fixed + per point * data.

The time of a step of every phase is measured here; the number of steps is what stored runs took on average where a
strategy of one phase ends by itself, else what the strategy expects or what was published for the amount of data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow.parquet as pq

from sciml_backend import catalog, costs, grouping, paths, sweep
from sciml_backend.engine import provenance
from sciml_backend.objective import Objective
from sciml_backend.plan import axes_of
from sciml_backend.run import BadRequest, MapName
from sciml_backend.store.batch import RUNS, read_header
from sciml_backend.store.spool import batch_files
from sciml_backend.strategy import Strategy

SIZES = (200, 4000)
"""Amounts of data at which steps are timed, as far as a map has them: to make a set may take longer than the steps."""
STEPS = 24
"""Steps that are timed, on average: some make a preconditioner or begin a stage."""
LONGEST = 20.0
"""Seconds after which no further step is timed."""


def seconds(name: MapName, data: int) -> tuple[float, int]:
    """Seconds of one run in a batch as the engine picks it, mid-axis, and how many iterations that is."""
    problem = catalog.problem(name.problem)
    values = axes_of(name).x
    middle = values[len(values) // 2]
    specs = sweep.plan(
        name, coefficients={problem.axis.name: [middle]}, data=[data], seeds=range(grouping.rows(name.family, data))
    )
    objective, theta, schedule = sweep.objective_of(specs), sweep.initial_weights(specs), sweep.schedule_of(specs[0])
    ends = len(schedule) == 1 and not schedule[0].as_published
    stored = mean_iterations(name) if ends else None
    total, iterations = 0.0, 0.0
    for strategy in schedule:
        state = strategy.init(objective, theta)
        started, taken = perf_counter(), 0
        while not taken or (taken < STEPS and perf_counter() - started < LONGEST):
            step = strategy.step(objective, theta, state)
            theta, state, taken = step.theta, step.state, taken + 1
        expected = stored or _expected(strategy, objective)
        total += expected * (perf_counter() - started) / taken / len(specs)
        iterations += expected
    return total, round(iterations)


def _expected(strategy: Strategy[Any], objective: Objective) -> int:
    """How many iterations a phase takes, as far as it says so."""
    return objective.published_steps(strategy.largest_batch) if strategy.as_published else strategy.expected_iterations


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


def cost(name: MapName) -> dict[str, Any]:
    """The cost model of a map; raises BadRequest when it cannot be trained here."""
    provenance.prepare("cpu", threads=1)
    most = min(SIZES[1], max(axes_of(name).y))
    few = min(SIZES[0], most // 2)
    (small, _), (large, iterations) = seconds(name, few), seconds(name, most)
    per_point = max(0.0, (large - small) / (most - few))
    return {
        "seconds_fixed": round(max(0.0, small - per_point * few), 3),
        "seconds_per_point": round(per_point, 6),
        "iterations": iterations,
    }


def write(names: Sequence[MapName] = (), path: Path | None = None) -> dict[str, Any]:
    """Measure maps, and put them into ``costs.json`` beside the shipped results; gives them back.

    Without names it is every map of the catalogue, in the variant that its strategy asks for, that can be trained here.
    """
    found = {}
    for name in names or _all_maps():
        with nullcontext() if names else suppress(BadRequest):
            found[str(name)] = cost(name)
    target = path or costs.file()
    known = costs.recorded(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(dict(sorted((known | found).items())), indent=1) + "\n")
    return found


def _all_maps() -> list[MapName]:
    strategies = catalog.entries("strategies")
    return [
        MapName(family, problem, strategy, *strategies[strategy].cls.variants[:1])
        for family, problem, strategy in catalog.trainings()
    ]
