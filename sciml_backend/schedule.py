"""Schedules: the phases of a named strategy and the strategies within it, as data.

A strategy's settings are its own, those of the strategies it holds (``inner.max_epochs``; ``inner`` itself is the
identifier of the one that is held) and those of the phases before it (``adam.steps``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from sciml_backend import catalog
from sciml_backend.run import BadRequest, Setting
from sciml_backend.strategy import Part, Strategy


@dataclass(frozen=True)
class Known:
    """A setting: its default and what it means."""

    default: Setting
    doc: str


def settings_of(identifier: str, given: Mapping[str, Setting] | None = None) -> dict[str, Known]:
    """Every setting of a strategy by name; which ones there are may depend on what is ``given``."""
    given, cls = given or {}, catalog.entry("strategies", identifier).cls
    known = {
        f.name: Known(f.default, str(f.metadata.get("doc", "")))
        for f in fields(cls)
        if f.default is not MISSING and isinstance(f.default, int | float | str | bool)
    }
    for name, (held, doc) in _held(cls).items():
        known[name] = Known(held.identifier, doc)
        known |= _within(name, held, given)
    for before in cls.before:
        known |= _within(before.identifier, before, given)
    return known


def build(identifier: str, settings: Mapping[str, Setting] | None = None) -> list[Strategy[Any]]:
    """The phases of a strategy with these settings; raises BadRequest on an unknown or impossible one."""
    settings, cls = settings or {}, catalog.entry("strategies", identifier).cls
    known = settings_of(identifier, settings)
    for name in settings:
        if name not in known:
            raise BadRequest(f"{identifier} has no setting {name!r}; it has {', '.join(known)}.")
    own: dict[str, Any] = {name: value for name, value in settings.items() if "." not in name}
    for name, (held, _) in _held(cls).items():
        own[name] = _one(name, _chosen(name, held, settings), settings)
    return [*(_one(p.identifier, p, settings) for p in cls.before), cls(**own)]


def _held(cls: type) -> dict[str, tuple[Part, str]]:
    """The fields that hold another strategy."""
    return {f.name: (f.metadata["part"], f.metadata["doc"]) for f in fields(cls) if "part" in f.metadata}


def _chosen(name: str, held: Part, given: Mapping[str, Setting]) -> Part:
    """The strategy that a field holds: its own settings apply only to the one it names."""
    asked = str(given.get(name, held.identifier))
    return held if asked == held.identifier else Part(asked, {})


def _below(name: str, given: Mapping[str, Setting]) -> dict[str, Setting]:
    return {key.removeprefix(f"{name}."): value for key, value in given.items() if key.startswith(f"{name}.")}


def _within(name: str, held: Part, given: Mapping[str, Setting]) -> dict[str, Known]:
    held, own = _chosen(name, held, given), _below(name, given)
    found = settings_of(held.identifier, {**held.settings, **own})
    return {f"{name}.{key}": Known(held.settings.get(key, known.default), known.doc) for key, known in found.items()}


def _one(name: str, held: Part, given: Mapping[str, Setting]) -> Strategy[Any]:
    made = build(held.identifier, {**held.settings, **_below(name, given)})
    if len(made) > 1:
        raise BadRequest(f"{name} is one strategy, and {held.identifier} has phases before it; name another one.")
    return made[0]
