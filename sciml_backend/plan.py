"""Plan: a map's name, its axes and settings → the runs it asks for, each checked before anything is trained."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import isfinite
from typing import Any

from sciml_backend import catalog, loss
from sciml_backend.model import Model
from sciml_backend.problem import Problem
from sciml_backend.run import DTYPES, BadRequest, MapName, RunSpec, Setting, defaults
from sciml_backend.schedule import Known, build, settings_of
from sciml_backend.strategy import Strategy

READABLE = 5
"""Differences that a variant names; more are a hash."""


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
    catalog.entry("strategies", name.strategy)
    problem = problem_entry.cls()
    if name.family not in problem.families:
        raise BadRequest(
            f"{problem.label} is not a problem for {family.label}; it is for {', '.join(problem.families)}."
        )
    model_class = catalog.entry("models", family.model).cls
    said = _from_variant(name.variant, problem, model_class, name.strategy)
    if dtype and said.dtype and dtype != said.dtype:
        raise BadRequest(f"The map {name} is in {said.dtype} and {dtype} was asked for; leave one of them out.")
    dtype = dtype or said.dtype or "float32"
    if dtype not in DTYPES:
        raise BadRequest(f"dtype is float32 or float64, got {dtype!r}.")
    axis = problem.axis
    chosen: dict[str, Sequence[float]] = {axis.name: axis.axis, **{k: (v,) for k, v in said.coefficients.items()}}
    chosen |= {k: tuple(v) for k, v in (coefficients or {}).items()}
    model_settings = _model_settings(model_class, {**said.model, **(model or {})})
    own_settings = _checked_settings(name.strategy, problem, {**said.settings, **(settings or {})})
    _check_size(model_class(inputs=len(problem.domain), **model_settings), name.strategy, problem, own_settings)
    plugin = catalog.plugin_of(name.problem, name.strategy)
    for seed in (*seeds, data_seed):
        if not 0 <= seed < 2**31:
            raise BadRequest(f"A seed lies between 0 and 2^31 - 1, got {seed}.")
    runs = []
    for n in data if data is not None else problem.data_axis:
        problem.check_data(n)
        for values in itertools.product(*chosen.values()):
            full = problem.complete(dict(zip(chosen, values, strict=True)))
            for seed in seeds:
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


def _from_variant(variant: str, problem: Any, model: type, strategy: str) -> _Said:
    """The settings a variant names; inverse of ``variant_of`` where that is readable."""
    said = _Said()
    for token in filter(None, variant.split(",")):
        if token in DTYPES:
            said.dtype = token
            continue
        key, _, text = token.partition("=")
        owners: list[tuple[Mapping[str, Any], dict[str, Any]]] = [
            ({c.name: 0.0 for c in problem.coefficients}, said.coefficients),
            (defaults(model), said.model),
            (
                {name: known.default for name, known in known_settings(strategy, problem, said.settings).items()},
                said.settings,
            ),
        ]
        owner = next((pair for pair in owners if key in pair[0]), None)
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
    return text if isinstance(default, str) else type(default)(text)


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
    if spec.data_seed or len(tokens) > READABLE or not re.fullmatch(r"[\w.=,+-]*", name):
        return sha256(json.dumps([name, spec.data_seed]).encode()).hexdigest()[:8]
    return name


def _model_settings(cls: type, given: Mapping[str, Setting]) -> dict[str, Setting]:
    """The given settings that differ from the model's defaults; raises BadRequest when it cannot be made of them."""
    chosen = _differing(defaults(cls), given, "model")
    try:
        cls(**chosen)
    except (TypeError, ValueError) as error:
        raise BadRequest(str(error)) from None
    return chosen


def known_settings(strategy: str, problem: Problem, given: Mapping[str, Setting]) -> dict[str, Known]:
    """The settings of a strategy and of the loss that it trains."""
    return settings_of(strategy, given) | loss.settings_of(problem)


def schedule(strategy: str, problem: Problem, settings: Mapping[str, Setting]) -> list[Strategy[Any]]:
    """The phases of a run with these settings, each made to train the loss that they ask for."""
    chosen, own = loss.split(problem, settings)
    return [chosen.trained(phase) for phase in build(strategy, own)]


def _checked_settings(strategy: str, problem: Problem, given: Mapping[str, Setting]) -> dict[str, Setting]:
    """The given settings that differ from their defaults; raises BadRequest when no schedule can be made of them."""
    known = {name: known.default for name, known in known_settings(strategy, problem, given).items()}
    chosen = _differing(known, given, strategy)
    try:
        schedule(strategy, problem, chosen)
    except (TypeError, ValueError) as error:
        raise BadRequest(str(error)) from None
    return chosen


def _check_size(model: Model, strategy: str, problem: Problem, settings: Mapping[str, Setting]) -> None:
    """Raise BadRequest when a network has more parameters than one of its strategies can train."""
    for phase in schedule(strategy, problem, settings):
        most = phase.most_parameters
        if most is not None and model.parameters > most:
            raise BadRequest(
                f"{phase.label} is for networks of at most {most:,} parameters and this one has {model.parameters:,}; "
                "take a small one, such as depth=2 and width=10."
            )


def _differing(known: Mapping[str, Any], given: Mapping[str, Setting], owner: str) -> dict[str, Setting]:
    """The given settings that differ from the known defaults, typed as they are."""
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
        if isinstance(value, float) and not isfinite(value):
            raise BadRequest(f"{owner}: {name} must be a finite number, got {value!r}.")
        if value != default:
            out[name] = value
    return out
