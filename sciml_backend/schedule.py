"""Schedules: the phases of a named strategy and the strategies within it, as data.

A strategy's settings are its own, those of the strategies it holds (``inner.max_epochs``; ``inner`` itself is the
identifier of the one that is held) and those of the phases before it (``adam.steps``). Any may follow another one:
``before`` is its identifier, ``before.steps`` a setting of it. What is ``usual`` where a schedule is used takes the
place of the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from sciml_backend import catalog
from sciml_backend.run import BadRequest, Known, Setting
from sciml_backend.strategy import Part, Strategy

BEFORE = "before"
"""The setting that names the strategy of the first phase."""
PRECEDING = Known("none", "the strategy that trains before it, such as adam; none for none")


def settings_of(identifier: str, given: Mapping[str, Setting] | None = None) -> dict[str, Known]:
    """Every setting of a schedule by name; which ones there are may depend on what is ``given``."""
    given = given or {}
    found = _of_strategy(identifier, given) | {BEFORE: PRECEDING}
    return found | (_within(BEFORE, Part(earlier, {}), given) if (earlier := before(given)) else {})


def _of_strategy(identifier: str, given: Mapping[str, Setting]) -> dict[str, Known]:
    """The settings of a strategy and the phases that belong to it."""
    cls = catalog.entry("strategies", identifier).cls
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


def usually(
    identifier: str, usual: Mapping[str, Setting], given: Mapping[str, Setting] | None = None
) -> dict[str, Known]:
    """The same, with other defaults."""
    found = settings_of(identifier, overlaid(identifier, usual, given or {}))
    parts = {name: value for name, value in (given or {}).items() if _is_part(name, usual)}
    kept = overlaid(identifier, usual, parts)
    still = {name: usual[name] for name in kept if name in usual}
    still |= {name: settings_of(identifier)[name].default for name in parts if name not in usual}
    return {name: replace(k, default=still.get(name, k.default)) for name, k in found.items()}


def overlaid(identifier: str, usual: Mapping[str, Setting], given: Mapping[str, Setting]) -> dict[str, Setting]:
    """What is usual with what is given over it; of a held strategy that is another one, nothing is usual."""
    own = settings_of(identifier)
    other = tuple(
        f"{name}."
        for name, value in given.items()
        if _is_part(name, usual) and value != usual.get(name, own[name].default if name in own else None)
    )
    return {name: value for name, value in usual.items() if not name.startswith(other or (" ",))} | dict(given)


def _is_part(name: str, usual: Mapping[str, Setting]) -> bool:
    return any(known.startswith(f"{name}.") for known in usual)


def build(identifier: str, settings: Mapping[str, Setting] | None = None) -> list[Strategy[Any]]:
    """The phases of a strategy with these settings; raises BadRequest on an unknown or impossible one."""
    settings, cls = settings or {}, catalog.entry("strategies", identifier).cls
    known = settings_of(identifier, settings)
    for name in settings:
        if name not in known:
            raise BadRequest(f"{identifier} has no setting {name!r}; it has {', '.join(known)}.")
    own: dict[str, Any] = {name: value for name, value in settings.items() if "." not in name and name != BEFORE}
    for name, (held, _) in _held(cls).items():
        own[name] = _one(name, _chosen(name, held, settings), settings)
    phases = [(BEFORE, Part(earlier, {}))] if (earlier := before(settings)) else []
    phases += [(part.identifier, part) for part in cls.before]
    return [*(_one(*phase, settings) for phase in phases), cls(**own)]


def before(given: Mapping[str, Setting]) -> str | None:
    """The strategy that goes before all phases of a schedule, if one is asked for."""
    asked = str(given.get(BEFORE, PRECEDING.default))
    return asked if asked != PRECEDING.default else None


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
    found = _of_strategy(held.identifier, {**held.settings, **own})
    return {f"{name}.{key}": Known(held.settings.get(key, known.default), known.doc) for key, known in found.items()}


def _one(name: str, held: Part, given: Mapping[str, Setting]) -> Strategy[Any]:
    made = build(held.identifier, {**held.settings, **_below(name, given)})
    if len(made) > 1:
        raise BadRequest(f"{name} is one strategy, and {held.identifier} has phases before it; name another one.")
    return made[0]
