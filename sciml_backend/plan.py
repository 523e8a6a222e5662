"""Plan: a map's name, its axes and settings → the runs it asks for, each checked before anything is trained."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import isfinite
from typing import Any

from sciml_backend import catalog
from sciml_backend.family import Axes, Family
from sciml_backend.loss import Loss
from sciml_backend.model import Model
from sciml_backend.objective import Objective
from sciml_backend.problem import Problem
from sciml_backend.run import DTYPES, BadRequest, Known, MapName, RunSpec, Setting, defaults, plugin_of
from sciml_backend.schedule import before, build, overlaid, usually
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

    What is asked for twice is planned once. Settings in the name's variant (``@float64``, ``@nu=5.0``) count as given.
    Raises BadRequest on whatever is unknown or out of range, before anything is trained.
    """
    family = catalog.family(name.family)
    problem_entry = catalog.entry("problems", name.problem)
    catalog.entry("strategies", name.strategy)
    problem = problem_entry.cls()
    if name.family not in problem.families:
        raise BadRequest(
            f"{problem.label} is not a problem for {family.label}; it is for {', '.join(problem.families)}."
        )
    _require_strategy(family, name.strategy)
    said = _from_variant(name.variant, family, problem, name.strategy)
    if dtype and said.dtype and dtype != said.dtype:
        raise BadRequest(f"The map {name} is in {said.dtype} and {dtype} was asked for; leave one of them out.")
    dtype = dtype or said.dtype or "float32"
    if dtype not in DTYPES:
        raise BadRequest(f"dtype is float32 or float64, got {dtype!r}.")
    axes = axes_of(name)
    chosen: dict[str, Sequence[float]] = {problem.axis.name: axes.x, **{k: (v,) for k, v in said.coefficients.items()}}
    chosen |= {k: tuple(v) for k, v in (coefficients or {}).items()}
    asked = family.strategy_settings.get(name.strategy, {})
    for more in (said.settings, settings or {}):
        asked = overlaid(name.strategy, asked, more)
    own_settings = _checked_settings(family, name.strategy, problem, asked)
    if earlier := before(asked):
        _require_strategy(family, earlier)
    model_settings = _model_settings(family, problem, {**said.model, **(model or {})}, own_settings)
    _check_phases(family, name.strategy, problem, model_settings, own_settings)
    corrected = dtype == "float64" or loss_of(family, problem, own_settings)[0].corrected
    plugin = plugin_behind(family, name.strategy, name.problem, own_settings)
    for seed in (*seeds, data_seed):
        if not 0 <= seed < 2**31:
            raise BadRequest(f"A seed lies between 0 and 2^31 - 1, got {seed}.")
    if data_seed and not problem.by_chance:
        raise BadRequest(f"The data of {problem.label} are not drawn, so no other seed gives others; leave it at 0.")
    runs = []
    for n in data if data is not None else axes.y:
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
                    protocol="corrected" if corrected else "published",
                    model=model_settings,
                    settings=own_settings,
                    plugin=plugin,
                )
                runs.append(spec.but(variant=variant_of(spec)))
    return list({run.cell_id: run for run in runs}.values())


def plugin_behind(family: Family, strategy: str, problem: str, settings: Mapping[str, Setting]) -> str:
    """The content hashes of the plugins that train a run, those that its strategy holds by default included."""
    known = known_settings(family, strategy, catalog.problem(problem), settings)
    return plugin_of(catalog.plugins(), problem, strategy, {n: k.default for n, k in known.items()} | dict(settings))


def axes_of(name: MapName) -> Axes:
    """The values along a map's two axes."""
    found = catalog.problem(name.problem).axes(name.family)
    for token in name.variant.split(","):
        if variant := catalog.family(name.family).variants.get(token):
            found = Axes(variant.axes.x or found.x, variant.axes.y or found.y)
    return found


def _require_strategy(family: Family, strategy: str) -> None:
    if family.strategies and strategy not in family.strategies:
        raise BadRequest(f"{family.label} is not trained by {strategy} here; it is by {', '.join(family.strategies)}.")


@dataclass
class _Said:
    dtype: str | None = None
    coefficients: dict[str, float] = field(default_factory=dict)
    model: dict[str, Setting] = field(default_factory=dict)
    settings: dict[str, Setting] = field(default_factory=dict)


def _from_variant(variant: str, family: Family, problem: Problem, strategy: str) -> _Said:
    """The settings a variant names; inverse of ``variant_of`` where that is readable."""
    said = _Said()
    for token in filter(None, variant.split(",")):
        if token in DTYPES:
            said.dtype = token
            continue
        if token in family.variants:
            said.model |= family.variants[token].model
            said.settings |= family.variants[token].settings(strategy)
            continue
        key, _, text = token.partition("=")
        known = known_settings(family, strategy, problem, said.settings)
        owners: list[tuple[Mapping[str, Any], dict[str, Any]]] = [
            ({c.name: 0.0 for c in problem.coefficients}, said.coefficients),
            (known_of_model(family), said.model),
            ({name: k.default for name, k in known.items()}, said.settings),
        ]
        owner = next((pair for pair in owners if key in pair[0]), None)
        try:
            value = _typed(text, owner[0][key])  # type: ignore[index]
        except (KeyError, TypeError, ValueError):
            raise BadRequest(
                f"The variant {variant!r} cannot be read at {token!r}; it is float64, NAME=VALUE of a setting "
                "(nu=5.0), or several joined by commas. A hash cannot be read back: give the settings themselves."
            ) from None
        if owner and owner[1] is said.settings:
            usual = {**family.strategy_settings.get(strategy, {}), **said.settings}
            left = overlaid(strategy, usual, {key: value})
            said.settings = {k: v for k, v in left.items() if k in said.settings or k == key}
        elif owner:
            owner[1][key] = value
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
    name, named = _named(spec)
    tokens += [name] if name else []
    differing = {**changed, **spec.model, **spec.settings}
    tokens += [f"{k}={v}" for k, v in differing.items() if named.get(k) != v]
    name = ",".join(tokens)
    if spec.data_seed or len(tokens) > READABLE or not re.fullmatch(r"[\w.=,+-]*", name):
        return sha256(json.dumps([name, spec.data_seed]).encode()).hexdigest()[:8]
    return name


# -- what a run is made of ----------------------------------------------------------------------------------------


def known_of_model(family: Family) -> dict[str, Setting]:
    """The settings of a family's model: their names and default values."""
    return {**defaults(catalog.model(family)), **family.model_settings}


def known_settings(
    family: Family, strategy: str, problem: Problem, given: Mapping[str, Setting] | None = None
) -> dict[str, Known]:
    """The settings of a strategy and of the loss that it trains; which ones there are may depend on what is given."""
    own = family.strategy_settings.get(strategy, {})
    objective = catalog.objective(family)
    of_loss = {
        name: replace(known, default=family.loss_settings.get(name, known.default))
        for name, known in objective.loss.settings(objective.terms_of(problem)).items()
    }
    return usually(strategy, own, given) | of_loss


def loss_of(family: Family, problem: Problem, settings: Mapping[str, Setting]) -> tuple[Loss, dict[str, Setting]]:
    """The loss that settings ask for, and the settings that are the strategy's; raises BadRequest on wrong ones."""
    objective = catalog.objective(family)
    terms = objective.terms_of(problem)
    loss, own = objective.loss.split(terms, {**family.loss_settings, **settings})
    loss.check(problem, terms)
    return loss, own


def schedule_of(
    family: Family, strategy: str, problem: Problem, settings: Mapping[str, Setting]
) -> list[Strategy[Any]]:
    """The phases of a run with these settings, each made to train the loss that they ask for."""
    loss, own = loss_of(family, problem, settings)
    return [
        loss.trained(phase)
        for phase in build(strategy, overlaid(strategy, family.strategy_settings.get(strategy, {}), own))
    ]


def model_of(family: Family, problem: Problem, model: Mapping[str, Setting], settings: Mapping[str, Setting]) -> Model:
    """The network of a run with these settings of its own and of the loss."""
    objective, loss = catalog.objective(family), loss_of(family, problem, settings)[0]
    made: Model = catalog.model(family)(**objective.sizes(problem, loss), **{**family.model_settings, **model})
    objective.check(problem, made, loss)
    return made


def _model_settings(
    family: Family, problem: Problem, given: Mapping[str, Setting], settings: Mapping[str, Setting]
) -> dict[str, Setting]:
    """The given settings that differ from the model's defaults; raises BadRequest when it cannot be made of them."""
    chosen = _differing(known_of_model(family), given, "model")
    try:
        model_of(family, problem, chosen, settings)
    except (TypeError, ValueError) as error:
        raise BadRequest(str(error)) from None
    return chosen


def _checked_settings(
    family: Family, strategy: str, problem: Problem, given: Mapping[str, Setting]
) -> dict[str, Setting]:
    """The given settings that differ from their defaults; raises BadRequest when no schedule can be made of them."""
    known = {name: known.default for name, known in known_settings(family, strategy, problem, given).items()}
    chosen = _differing(known, given, strategy)
    try:
        schedule_of(family, strategy, problem, chosen)
    except (TypeError, ValueError) as error:
        raise BadRequest(str(error)) from None
    return chosen


def _check_phases(
    family: Family, strategy: str, problem: Problem, model: Mapping[str, Setting], settings: Mapping[str, Setting]
) -> None:
    """Raise BadRequest when one of the strategies cannot train this loss or so many parameters, or knows no end."""
    size, objective = model_of(family, problem, model, settings).parameters, catalog.objective(family)
    terms, loss = objective.terms_of(problem), loss_of(family, problem, settings)[0]
    for part in (part for phase in schedule_of(family, strategy, problem, settings) for part in phase.within()):
        part.check(terms)
        if part.moves_points and not loss.movable(problem):
            raise BadRequest(f"{part.label} moves collocation points, and this loss has none to move; name another.")
        most = part.most_parameters
        if most is not None and size > most:
            raise BadRequest(
                f"{part.label} is for networks of at most {most:,} parameters and this one has {size:,}; "
                "take a small one, such as depth=2 and width=10."
            )
        if part.as_published and objective.published_steps is Objective.published_steps:
            raise BadRequest(f"Nothing says how many steps {part.label} takes on {problem.label}; set steps above 0.")


def _named(spec: RunSpec) -> tuple[str, dict[str, Setting]]:
    """The family's named variant that a run is of, and what that sets; nothing when it is of none."""
    family = catalog.family(spec.family)
    defaults_of = {**known_of_model(family), **family.settings(spec.strategy)}
    chosen = {**spec.model, **spec.settings}
    whole = {name: value for name, value in spec.settings.items() if "." not in name}
    for name, variant in family.variants.items():
        own = variant.settings(spec.strategy)
        left = overlaid(spec.strategy, {**family.strategy_settings.get(spec.strategy, {}), **own}, whole)
        sets = {**variant.model, **{k: v for k, v in own.items() if k in left}}
        if all(chosen.get(k, defaults_of.get(k)) == v for k, v in sets.items()):
            return name, sets
    return "", {}


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
