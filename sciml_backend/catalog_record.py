"""The record of the catalogue: what pages need to know of it, as JSON, so that they never import torch.

``python -m sciml_backend.catalog_record PATH`` writes it; the server does so in a child process at its start.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sciml_backend import __version__, catalog, costs
from sciml_backend.engine import provenance
from sciml_backend.family import FAMILIES, Axes, Family
from sciml_backend.kernels import build
from sciml_backend.objective import Objective
from sciml_backend.plan import axes_of, known_of_model, plan
from sciml_backend.problem import Problem
from sciml_backend.run import PROTOCOL_VERSION, MapName, Setting, defaults
from sciml_backend.schedule import settings_of


def record() -> dict[str, Any]:
    """Families, problems, strategies, diagnostics, maps and costs, as plain JSON values."""
    problems = catalog.entries("problems")
    strategies = catalog.entries("strategies")
    return {
        "version": __version__,
        "protocol_version": PROTOCOL_VERSION,
        "families": {f.identifier: _family(f) for f in FAMILIES.values()},
        "problems": {name: _problem(e.cls(), e.doc) for name, e in problems.items()},
        "strategies": {
            name: {"label": e.label, "doc": e.doc, "settings": {k: vars(v) for k, v in settings_of(name).items()}}
            for name, e in strategies.items()
        },
        "models": {
            name: {"label": e.label, "doc": e.doc, "settings": _settings(e.cls, defaults(e.cls))}
            for name, e in catalog.entries("models").items()
        },
        "losses": {name: _loss(e.cls) for name, e in catalog.entries("objectives").items()},
        "diagnostics": {
            name: {"label": e.label, "doc": e.doc, "settings": _settings(e.cls, e.cls.defaults())}
            for name, e in catalog.entries("diagnostics").items()
        },
        "maps": [
            _map(family, name, problems[name].cls(), strategy, strategies[strategy].cls.variants)
            for family, name, strategy in catalog.trainings()
        ],
        "plugins": catalog.plugins(),
        "cost": costs.recorded(),
    }


def _family(family: Family) -> dict[str, Any]:
    """A family, with what it sets its model, its loss and its strategies to in place of their defaults."""
    return {
        "label": family.label,
        "doc": family.doc,
        "metrics": dict(family.metrics),
        "kernel": provenance.kernels(_kernel(catalog.objective(family).kernel_name)),
        "model": known_of_model(family),
        "loss": dict(family.loss_settings),
        "strategies": {name: dict(settings) for name, settings in family.strategy_settings.items()},
    }


def _kernel(name: str) -> str:
    return build.version(name) if name else "torch"


def _loss(objective: type[Objective]) -> dict[str, Any]:
    loss = objective.loss
    settings = {name: vars(known) for name, known in loss.settings(()).items()}
    return {"label": objective.label, "doc": inspect.cleandoc(str(loss.__doc__)), "settings": settings}


def _problem(problem: Problem, doc: str) -> dict[str, Any]:
    return {
        "label": problem.label,
        "doc": doc,
        "equation": problem.equation,
        "note": problem.note,
        "coefficients": [
            {
                "name": c.name,
                "label": c.label,
                "low": c.low,
                "high": c.high,
                "default": c.default,
                "axis": list(c.axis),
                "names": list(c.names),
            }
            for c in problem.coefficients
        ],
        "data": {
            "name": problem.data_name,
            "label": problem.data_label,
            "low": 1,
            "high": problem.data_limit,
            "axis": list(problem.data_axis),
        },
    }


def _settings(cls: Any, known: Mapping[str, Setting]) -> dict[str, Any]:
    docs = {f.name: f.metadata.get("doc", "") for f in fields(cls)}
    return {name: {"default": default, "doc": docs[name]} for name, default in known.items()}


def _map(family: str, name: str, problem: Problem, strategy: str, variants: tuple[str, ...]) -> dict[str, Any]:
    axis, axes = problem.axis, problem.axes(family)
    offered = variants or problem.variants
    return {
        "family": family,
        "problem": name,
        "strategy": strategy,
        "variants": {v: _template(MapName(family, name, strategy, v), problem) for v in offered},
        "axes": {v: _values(axes_of(MapName(family, name, strategy, v))) for v in FAMILIES[family].variants},
        "x": {"name": axis.name, "label": axis.label, "values": [float(v) for v in axes.x], "names": list(axis.names)},
        "y": {"name": problem.data_name, "label": problem.data_label, "values": [float(n) for n in axes.y]},
    }


def _values(axes: Axes) -> dict[str, list[float]]:
    return {"x": [float(v) for v in axes.x], "y": [float(n) for n in axes.y]}


def _template(name: MapName, problem: Problem) -> dict[str, Any]:
    """A run of a map, at the first values of its axes."""
    axes = axes_of(name)
    (run,) = plan(name, coefficients={problem.axis.name: axes.x[:1]}, data=axes.y[:1])
    return run.to_json()


def main(argv: list[str]) -> int:
    """Write the record to the path given, whole or not at all."""
    target = Path(argv[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".tmp")
    draft.write_text(json.dumps(record(), ensure_ascii=False, indent=1))
    draft.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
