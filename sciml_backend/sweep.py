"""Sweep: plan → batches → engine → diagnostics → records. The compute side's front door."""

from __future__ import annotations

import itertools
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml_backend import catalog
from sciml_backend.diagnostic import AlongTraining, Diagnostic, TrainingPath
from sciml_backend.engine import batches, provenance
from sciml_backend.engine.train import Outcome, Snapshot
from sciml_backend.engine.train import train as train_rows
from sciml_backend.model import Model
from sciml_backend.objective import Objective
from sciml_backend.run import DTYPES, Artifact, BadRequest, MapName, RunRecord, RunSpec, Setting, Status
from sciml_backend.strategy import Strategy

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


# -- plan ---------------------------------------------------------------------------------------------------------


def plan(
    name: MapName,
    *,
    coefficients: Mapping[str, Sequence[float]] | None = None,
    data: Sequence[int] | None = None,
    seeds: Sequence[int] = (0,),
    data_seed: int = 0,
    dtype: str | None = None,
    model: Mapping[str, Setting] | None = None,
    settings: Mapping[str, Setting] | None = None,
) -> list[RunSpec]:
    """Every combination of coefficients, data and seeds as a run of the map; axes left out take the map's own values.

    Settings in the name's variant (``@float64``, ``@nu=5.0``) count as given. Raises BadRequest on whatever is unknown
    or out of range, before anything is trained.
    """
    family = catalog.family(name.family)
    problem_entry = catalog.entry("problems", name.problem)
    strategy_entry = catalog.entry("strategies", name.strategy)
    problem = problem_entry.cls()
    if name.family not in problem.families:
        raise BadRequest(
            f"{problem.label} is not a problem for {family.label}; it is for {', '.join(problem.families)}."
        )
    said = _from_variant(name.variant, problem, catalog.entry("models", family.model).cls, strategy_entry.cls)
    if dtype and said.dtype and dtype != said.dtype:
        raise BadRequest(f"The map {name} is in {said.dtype} and {dtype} was asked for; leave one of them out.")
    dtype = dtype or said.dtype or "float32"
    if dtype not in DTYPES:
        raise BadRequest(f"dtype is float32 or float64, got {dtype!r}.")
    axis = problem.axis
    chosen: dict[str, Sequence[float]] = {axis.name: axis.axis, **{k: (v,) for k, v in said.coefficients.items()}}
    chosen |= {k: tuple(v) for k, v in (coefficients or {}).items()}
    model_settings = _differing(catalog.entry("models", family.model).cls, {**said.model, **(model or {})}, "model")
    own_settings = _differing(strategy_entry.cls, {**said.settings, **(settings or {})}, name.strategy)
    plugin = plugin_of(name.problem, name.strategy)
    runs = []
    for n in data if data is not None else problem.data_axis:
        problem.check_data(n)
        for values in itertools.product(*chosen.values()):
            full = problem.complete(dict(zip(chosen, values, strict=True)))
            for seed in seeds:
                if not 0 <= seed < 2**31:
                    raise BadRequest(f"A seed lies between 0 and 2^31 - 1, got {seed}.")
                spec = RunSpec(
                    family=name.family,
                    problem=name.problem,
                    strategy=name.strategy,
                    coefficients=full,
                    data=int(n),
                    seed=int(seed),
                    data_seed=data_seed,
                    dtype=dtype,
                    protocol="published" if dtype == "float32" else "corrected",
                    model=model_settings,
                    settings=own_settings,
                    plugin=plugin,
                )
                runs.append(spec.but(variant=variant_of(spec)))
    return runs


@dataclass
class _Said:
    dtype: str | None = None
    coefficients: dict[str, float] = field(default_factory=dict)
    model: dict[str, Setting] = field(default_factory=dict)
    settings: dict[str, Setting] = field(default_factory=dict)


def _from_variant(variant: str, problem: Any, model: type, strategy: type) -> _Said:
    """The settings a variant names; inverse of ``variant_of`` where that is readable."""
    said = _Said()
    defaults: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({c.name: 0.0 for c in problem.coefficients}, said.coefficients),
        ({f.name: f.default for f in fields(model)}, said.model),
        ({f.name: f.default for f in fields(strategy)}, said.settings),
    ]
    for token in filter(None, variant.split(",")):
        if token in DTYPES:
            said.dtype = token
            continue
        key, _, text = token.partition("=")
        owner = next((pair for pair in defaults if key in pair[0]), None)
        try:
            owner[1][key] = _typed(text, owner[0][key])  # type: ignore[index]
        except (KeyError, TypeError, ValueError):
            raise BadRequest(
                f"The variant {variant!r} cannot be read at {token!r}; it is float64, NAME=VALUE of a setting "
                "(nu=5.0), or several joined by commas. A hash cannot be read back: give the settings themselves."
            ) from None
    return said


def _typed(text: str, default: Any) -> Setting:
    if isinstance(default, bool):
        return {"True": True, "False": False}[text]
    return text if isinstance(default, str) else type(default)(text)  # type: ignore[no-any-return]


def variant_of(spec: RunSpec) -> str:
    """The name of what differs from the map's defaults: readable tokens, else the hash of the differences.

    A plugin's content is part of a cell's identity, not of its map's name.
    """
    problem = catalog.problem(spec.problem)
    tokens = [] if spec.dtype == "float32" else [spec.dtype]
    usual = {c.name: c.default for c in problem.coefficients}
    changed = {k: v for k, v in spec.coefficients.items() if usual.get(k) not in (None, v)}
    tokens += [f"{k}={v}" for k, v in {**changed, **spec.model, **spec.settings}.items()]
    name = ",".join(tokens)
    if spec.data_seed or len(tokens) > 3 or not re.fullmatch(r"[\w.=,+-]*", name):
        return sha256(json.dumps([name, spec.data_seed]).encode()).hexdigest()[:8]
    return name


def _differing(cls: type, given: Mapping[str, Setting], owner: str) -> dict[str, Setting]:
    """The given settings that differ from the defaults of a frozen dataclass, typed as they are."""
    known = {f.name: f.default for f in fields(cls)}
    out: dict[str, Setting] = {}
    for name, value in given.items():
        if name not in known:
            raise BadRequest(f"{owner} has no setting {name!r}; it has {', '.join(known)}.")
        default: Any = known[name]
        wanted = type(default)
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if wanted in (int, float, str, bool) and type(value) is not wanted:
            raise BadRequest(f"{owner}: {name} is of type {wanted.__name__}, got {value!r}.")
        if value != default:
            out[name] = value
    try:
        cls(**out)
    except (TypeError, ValueError) as error:
        raise BadRequest(str(error)) from None
    return out


# -- build --------------------------------------------------------------------------------------------------------


def model_of(spec: RunSpec) -> Model:
    """The network of a run."""
    made: Model = catalog.entry("models", catalog.family(spec.family).model).cls(**spec.model)
    return made


def schedule_of(spec: RunSpec) -> list[Strategy]:
    """The phases of a run's training."""
    return [catalog.entry("strategies", spec.strategy).cls(**spec.settings)]


def require_present_plugin(spec: RunSpec) -> None:
    """Raise BadRequest when the run was asked for with another version of its plugin than the one that is loaded."""
    present = plugin_of(spec.problem, spec.strategy)
    if spec.plugin != present:
        raise BadRequest(
            f"This run of {spec.map} was asked for with version {spec.plugin or 'none'} of its plugin and "
            f"{present or 'none'} is loaded; its numbers would get a wrong identity: ask for it anew."
        )


def plugin_of(problem: str, strategy: str) -> str:
    """The content hash of the plugins behind a map, empty when it is all ours."""
    parts = (catalog.entry("problems", problem), catalog.entry("strategies", strategy))
    return "-".join(part.plugin for part in parts if part.plugin)


def objective_of(specs: Sequence[RunSpec], *, device: str = "cpu", dtype: str | None = None) -> Objective:
    """One objective for runs that differ in coefficients and seeds only; ``dtype`` overrides their own."""
    first = specs[0]
    problem = catalog.problem(first.problem)
    build = catalog.entry("objectives", catalog.family(first.family).objective).cls
    made: Objective = build(
        problem,
        model_of(first),
        coefficients={name: [s.coefficients[name] for s in specs] for name in first.coefficients},
        points=problem.points(first.data, data_seed=first.data_seed),
        dtype=TORCH_DTYPE[dtype or first.dtype],
        device=device,
    )
    return made


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
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[list[RunRecord]]:
    """Train runs in batches and yield the records of each batch; those with most data come first.

    ``batch_rows`` overrides how many runs share a batch. A run that diverges or fails is a record with that status.
    Runs unfinished when ``should_stop`` says so are left out. Raises BadRequest when the device is missing, a plugin is
    not the one that was asked for, or a run would not fit into memory.
    """
    provenance.prepare(device, threads=threads)
    for spec in specs:
        require_present_plugin(spec)
    done = 0
    for batch in batches.batches(specs, device=device, most=batch_rows, fits=lambda spec: _rows_that_fit(spec, device)):
        if should_stop():
            return
        records = _train_batch(batch, device, threads, _reporter(on_progress, done, len(specs), batch), should_stop)
        done += len(records)
        if on_progress is not None:
            on_progress(Progress(done, len(specs)))
        if records:
            yield records


def _rows_that_fit(spec: RunSpec, device: str) -> int:
    objective = objective_of([spec], device=device)
    one, two = objective.memory(1), objective.memory(2)
    kept = max(strategy.vectors for strategy in schedule_of(spec)) * objective.parameters
    per_row = two - one + kept * TORCH_DTYPE[spec.dtype].itemsize
    return batches.rows_that_fit(fixed=2 * one - two, per_row=per_row, device=device)


def _reporter(
    on_progress: Callable[[Progress], None] | None, done: int, total: int, batch: list[RunSpec]
) -> Callable[[Snapshot], None] | None:
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
        on_progress(Progress(done + len(batch) - len(shot.rows), total, training))

    return report


def _train_batch(
    specs: list[RunSpec],
    device: str,
    threads: int,
    on_snapshot: Callable[[Snapshot], None] | None,
    should_stop: Callable[[], bool],
) -> list[RunRecord]:
    start = initial_weights(specs, device=device)
    made: dict[int, RunRecord] = {}
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
    return [made[row] for row in sorted(made)]


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
    loss = float(own.value(theta)[0])
    errors = {name: finite(float(value[0])) for name, value in own.errors(theta, heldout=True).items()}
    diverged = o.status is Status.DIVERGED
    return RunRecord(
        spec=spec,
        status=o.status,
        reason=o.reason,
        train_loss=None if diverged else finite(loss),
        objective_value=None if diverged else finite(loss),
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
        theta_initial=to_bytes(start),
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
    """Train a run anew and keep its weights, in float64, wherever its curve has a point."""
    iterations: list[int] = []
    thetas: list[Tensor] = []

    def keep(_: int, iteration: int, theta: Tensor) -> None:
        iterations.append(iteration)
        thetas.append(theta.double())

    start = initial_weights([spec], device=device)
    for _ in train_rows(objective_of([spec], device=device), schedule_of(spec), start, on_log=keep):
        pass
    return TrainingPath(iterations, torch.stack(thetas))


def diagnose(
    spec: RunSpec,
    kind: str,
    *,
    theta_initial: bytes,
    theta_final: bytes,
    settings: Mapping[str, Setting] | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> Artifact:
    """Measure one trained run from its weights; raises BadRequest on an unknown diagnostic or setting."""
    provenance.prepare(device, threads=threads)
    require_present_plugin(spec)
    diagnostic: Diagnostic = catalog.entry("diagnostics", kind).cls.of(settings or {})
    objective = objective_of([spec], device=device, dtype="float64")
    before, after = (from_bytes(blob, spec.dtype).to(device, torch.float64) for blob in (theta_initial, theta_final))
    started = time.perf_counter()
    if isinstance(diagnostic, AlongTraining):
        path = retraced(spec, device=device)
        found = diagnostic.compute_along(objective, path)
        found.numbers["reproduced"] = float(torch.equal(path.theta[-1], after))
    else:
        found = diagnostic.compute(objective, theta_initial=before, theta_final=after)
    return Artifact(
        cell_id=spec.cell_id,
        kind=kind,
        settings=diagnostic.settings(),
        numbers=found.numbers,
        arrays=found.arrays,
        seconds=round(time.perf_counter() - started, 3),
        finished_at=provenance.now(),
    )
