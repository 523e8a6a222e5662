"""Sweep: plan → batches → engine → diagnostics → records. The compute side's front door."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend import catalog, memory
from sciml_backend import plan as planning
from sciml_backend.diagnostic import DOUBLE_UP_TO, AlongTraining, Diagnostic, OfTheLoss, TrainingPath
from sciml_backend.engine import batches, provenance
from sciml_backend.engine.train import Outcome, Snapshot
from sciml_backend.engine.train import train as train_rows
from sciml_backend.model import Model
from sciml_backend.objective import Objective
from sciml_backend.plan import plan
from sciml_backend.run import Artifact, BadRequest, NoMemory, RunRecord, RunSpec, Setting, Status
from sciml_backend.strategy import Strategy

__all__ = ["Progress", "diagnose", "initial_weights", "objective_of", "plan", "schedule_of", "train"]

TORCH_DTYPE = {"float32": torch.float32, "float64": torch.float64}
NUMPY_DTYPE: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float64": np.dtype("<f8")}


@dataclass(frozen=True)
class Progress:
    """How far a call of ``train`` is: finished and planned runs, and the ones in training right now.

    ``training`` has a dict per running row: cell_id, iteration, train_loss, test_error (None where not known yet).
    """

    done: int
    total: int
    training: list[dict[str, Any]] = field(default_factory=list)


# -- build --------------------------------------------------------------------------------------------------------


def model_of(spec: RunSpec) -> Model:
    """The network of a run, with the inputs and outputs that its problem asks for."""
    return planning.model_of(catalog.family(spec.family), catalog.problem(spec.problem), spec.model, spec.settings)


def schedule_of(spec: RunSpec) -> list[Strategy[Any]]:
    """The phases of a run's training."""
    family, problem = catalog.family(spec.family), catalog.problem(spec.problem)
    return planning.schedule_of(family, spec.strategy, problem, spec.settings)


def require_present_plugin(spec: RunSpec) -> None:
    """Raise BadRequest when the run was asked for with another version of its plugin than the one that is loaded."""
    present = planning.plugin_behind(catalog.family(spec.family), spec.strategy, spec.problem, spec.settings)
    if spec.plugin != present:
        raise BadRequest(
            f"This run of {spec.map} was asked for with version {spec.plugin or 'none'} of its plugin and "
            f"{present or 'none'} is loaded; its numbers would get a wrong identity: ask for it anew."
        )


def objective_of(specs: Sequence[RunSpec], *, device: str = "cpu", dtype: str | None = None) -> Objective:
    """One objective for runs that train together; ``dtype`` overrides their own."""
    first = specs[0]
    family, problem = catalog.family(first.family), catalog.problem(first.problem)
    loss, _ = planning.loss_of(family, problem, first.settings)
    return catalog.objective(family).build(
        problem, model_of(first), specs, loss=loss, dtype=TORCH_DTYPE[dtype or first.dtype], device=device
    )


def initial_weights(specs: Sequence[RunSpec], *, device: str = "cpu") -> Tensor:
    """theta (B, P): drawn in float32 from each run's seed, so that precisions start alike."""
    model = model_of(specs[0])
    return torch.stack([model.init(s.seed) for s in specs]).to(device, TORCH_DTYPE[specs[0].dtype])


# -- train --------------------------------------------------------------------------------------------------------


def train(
    specs: Sequence[RunSpec],
    *,
    device: str = "cpu",
    threads: int = 1,
    batch_rows: int | None = None,
    shrink: int = 1,
    keep_weights: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[list[RunRecord]]:
    """Train runs in batches and yield the records of each batch; those with most data come first.

    ``batch_rows`` overrides how many runs share a batch, and ``shrink`` divides it. Without ``keep_weights`` the
    records have none: a diagnostic then trains its run anew. A run that diverges or fails is a record with that status.
    Runs unfinished when ``should_stop`` says so, or on Ctrl-C, are left out. Raises BadRequest when the device is
    missing, a plugin is not the one that was asked for, or a run would not fit into memory.
    """
    provenance.prepare(device, threads=threads)
    for spec in specs:
        require_present_plugin(spec)
    done = 0
    cut = batches.batches(
        specs, device=device, most=batch_rows, shrink=shrink, fits=lambda spec: _rows_that_fit(spec, device)
    )
    for batch in cut:
        if should_stop():
            return
        made: dict[int, RunRecord] = {}
        interrupted = False
        try:
            _train_batch(
                batch, made, device, threads, _reporter(on_progress, done, len(specs), batch, made), should_stop
            )
        except KeyboardInterrupt:
            interrupted = True
        records = [made[row] for row in sorted(made)]
        if not keep_weights:
            records = [replace(record, theta_initial=None, theta_final=None) for record in records]
        done += len(records)
        if on_progress is not None:
            on_progress(Progress(done, len(specs)))
        if records:
            yield records
        if interrupted:
            raise KeyboardInterrupt


def _rows_that_fit(spec: RunSpec, device: str) -> int:
    objective, schedule = objective_of([spec], device=device), schedule_of(spec)
    largest = max(strategy.largest_batch for strategy in schedule)
    seen = [objective, objective.minibatch(0, largest)] if largest else [objective]  # a batch may go through at once
    one, two = (max(part.memory(rows) for part in seen) for rows in (1, 2))
    kept = max(strategy.vectors for strategy in schedule) * objective.parameters
    per_row = two - one + kept * TORCH_DTYPE[spec.dtype].itemsize
    return batches.rows_that_fit(fixed=2 * one - two, per_row=per_row, device=device)


def _reporter(
    on_progress: Callable[[Progress], None] | None,
    done: int,
    total: int,
    batch: list[RunSpec],
    made: Mapping[int, RunRecord],
) -> Callable[[Snapshot], None] | None:
    """What tells of a batch in training: ``made`` has its runs that ended, where others only ended a phase."""
    if on_progress is None:
        return None
    last = 0.0

    def report(shot: Snapshot) -> None:
        nonlocal last
        if time.monotonic() - last < 0.5:
            return
        last = time.monotonic()
        rows = zip(shot.rows, shot.train_loss, shot.test_error, strict=True)
        training = [
            {"cell_id": batch[r].cell_id, "iteration": shot.iteration, "train_loss": loss, "test_error": error}
            for r, loss, error in rows
        ]
        on_progress(Progress(done + len(made), total, training))

    return report


def _train_batch(
    specs: list[RunSpec],
    made: dict[int, RunRecord],
    device: str,
    threads: int,
    on_snapshot: Callable[[Snapshot], None] | None,
    should_stop: Callable[[], bool],
) -> None:
    """Put the record of each row into ``made`` as it ends, by its place in the batch."""
    start = initial_weights(specs, device=device)
    try:
        objective = objective_of(specs, device=device)
        outcomes = train_rows(
            objective, schedule_of(specs[0]), start.clone(), on_snapshot=on_snapshot, should_stop=should_stop
        )
        for o in outcomes:
            made[o.row] = _record(specs[o.row], o, start[o.row], objective, len(specs), device, threads)
    except BadRequest:
        raise
    except (ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError) as error:
        # An entry's own code failed and would fail again; what memory or a device does is left to whoever retries.
        for row in set(range(len(specs))) - set(made):
            made[row] = _failed(specs[row], error, device, threads)


def _failed(spec: RunSpec, error: Exception, device: str, threads: int) -> RunRecord:
    return RunRecord(
        spec=spec,
        status=Status.FAILED,
        reason=f"{type(error).__name__}: {error}",
        device=provenance.device_label(device),
        threads=threads,
        versions=provenance.versions(),
        finished_at=provenance.now(),
    )


def _record(
    spec: RunSpec, o: Outcome, start: Tensor, objective: Objective, batch_rows: int, device: str, threads: int
) -> RunRecord:
    own = objective.rows([o.row])
    theta = o.theta[None]
    loss = float(own.training_error(theta)[0])
    errors: dict[str, Any] = {name: finite(float(value[0])) for name, value in own.errors(theta, heldout=True).items()}
    diverged = o.status is Status.DIVERGED
    return RunRecord(
        spec=spec,
        status=o.status,
        reason=o.reason,
        train_loss=None if diverged else finite(loss),
        objective_value=None if diverged else finite(o.objective_value),
        gradient_norm=finite(o.gradient_norm),
        iterations=o.iterations,
        evaluations=o.evaluations,
        seconds=round(o.seconds, 3),
        device=provenance.device_label(device),
        threads=threads,
        kernel=provenance.kernels(objective.kernel),
        chunk=objective.chunk,
        batch_rows=batch_rows,
        versions=provenance.versions(),
        finished_at=provenance.now(),
        curve=o.curve,
        theta_initial=to_bytes(start) if len(start) <= DOUBLE_UP_TO else None,
        theta_final=to_bytes(o.theta),
        **({} if diverged else errors),
    )


def finite(value: float) -> float | None:
    """The number, or None when it is none."""
    return value if math.isfinite(value) else None


def to_bytes(theta: Tensor) -> bytes:
    """Weights (P,) as little-endian bytes of their precision."""
    array = theta.detach().cpu().numpy()
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def from_bytes(blob: bytes, dtype: str) -> Tensor:
    """Inverse of ``to_bytes``."""
    return torch.from_numpy(np.frombuffer(blob, dtype=NUMPY_DTYPE[dtype]).copy())


# -- diagnose -----------------------------------------------------------------------------------------------------


def retraced(spec: RunSpec, *, device: str = "cpu") -> TrainingPath:
    """Train a run anew and keep its weights wherever its curve has a point; small networks' in float64.

    Raises NoMemory once the weights would fill more than half of the free memory.
    """
    iterations: list[int] = []
    thetas: list[Tensor] = []

    def keep(_: int, iteration: int, theta: Tensor) -> None:
        iterations.append(iteration)
        if (len(thetas) + 1) * theta.nbytes > memory.room(theta.device):
            raise NoMemory(
                f"The weights at {len(iterations):,} points of its training do not fit into half of the free memory; "
                "measure a run of fewer steps, or its ends by hessian_extremes."
            )
        thetas.append(theta.double() if len(theta) <= DOUBLE_UP_TO else theta)

    start = initial_weights([spec], device=device)
    for _ in train_rows(objective_of([spec], device=device), schedule_of(spec), start, on_log=keep):
        pass
    return TrainingPath(iterations, torch.stack(thetas))


def diagnose(
    spec: RunSpec,
    kind: str,
    *,
    theta_initial: bytes | None,
    theta_final: bytes,
    settings: Mapping[str, Setting] | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> Artifact:
    """Measure one trained run from its weights; raises BadRequest on an unknown diagnostic or setting.

    The initial ones follow from the seed where they were not kept.
    """
    provenance.prepare(device, threads=threads)
    require_present_plugin(spec)
    diagnostic: Diagnostic = catalog.entry("diagnostics", kind).cls.of(settings or {})
    final = from_bytes(theta_final, spec.dtype)
    initial = from_bytes(theta_initial, spec.dtype) if theta_initial else initial_weights([spec])[0]
    dtype = "float64" if final.numel() <= DOUBLE_UP_TO else spec.dtype
    objective = diagnostic.of_interest(objective_of([spec], device=device, dtype=dtype))
    before, after = (theta.to(device, TORCH_DTYPE[dtype]) for theta in (initial, final))
    started = time.perf_counter()
    if isinstance(diagnostic, AlongTraining):
        diagnostic.require_room(after)
        path = retraced(spec, device=device)
        found = diagnostic.compute_along(objective, path)
        found.numbers["reproduced"] = float(torch.equal(path.theta[-1], after))
    else:
        found = diagnostic.compute(objective, theta_initial=before, theta_final=after)
    if isinstance(diagnostic, OfTheLoss) and objective.published_scale != 1:
        found.numbers["published_scale"] = objective.published_scale
    return Artifact(
        cell_id=spec.cell_id,
        kind=kind,
        settings=diagnostic.settings(),
        numbers=found.numbers,
        arrays=found.arrays,
        seconds=round(time.perf_counter() - started, 3),
        finished_at=provenance.now(),
    )
