"""The catalogue: one module, one entry; discovered, not listed.

An entry is the subclass of its contract that a module defines; its identifier is the module's name. Entries come from
the folders of this package, from Python entry points (groups ``regime_atlas.problems``, ``.models``, ``.strategies``,
``.diagnostics``, ``.objectives``) and from the folder named by ``ATLAS_PLUGINS`` (with the same subfolders). The
content of a problem or strategy that is a plugin is part of the identity of the runs it makes.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from sciml_backend.diagnostic import Diagnostic
from sciml_backend.family import FAMILIES, Family
from sciml_backend.model import Model
from sciml_backend.objective import Objective
from sciml_backend.problem import Problem
from sciml_backend.run import BadRequest
from sciml_backend.strategy import Strategy

CONTRACTS: dict[str, type] = {
    "problems": Problem,
    "models": Model,
    "objectives": Objective,
    "strategies": Strategy,
    "diagnostics": Diagnostic,
}


@dataclass(frozen=True)
class Entry:
    """A class of the catalogue; ``plugin`` is the hash of its file when it comes from outside, else empty."""

    identifier: str
    kind: str
    cls: Any
    plugin: str = ""

    @property
    def label(self) -> str:
        """What people call it."""
        return str(getattr(self.cls, "label", self.identifier))

    @property
    def doc(self) -> str:
        """The class's docstring and its module's, for people."""
        module = sys.modules[self.cls.__module__]
        return "\n\n".join(inspect.cleandoc(d) for d in (self.cls.__doc__, module.__doc__) if d)


@functools.cache
def entries(kind: str) -> dict[str, Entry]:
    """All entries of a kind by identifier; raises BadRequest when a plugin cannot be loaded or takes a used name."""
    found: dict[str, Entry] = {}
    for entry in (*_own(kind), *_installed(kind), *_from_folder(kind)):
        if entry.identifier in found:
            raise BadRequest(
                f"Two {kind} are called {entry.identifier!r}; rename the plugin file so that every name is used once."
            )
        found[entry.identifier] = entry
    return found


def entry(kind: str, identifier: str) -> Entry:
    """One entry; raises BadRequest with the known identifiers when there is none of that name."""
    known = entries(kind)
    if identifier not in known:
        one = {"strategies": "strategy"}.get(kind, kind.removesuffix("s"))
        raise BadRequest(f"There is no {one} {identifier!r}; there are {', '.join(sorted(known))}.")
    return known[identifier]


def family(identifier: str) -> Family:
    """One family; raises BadRequest with the known ones when there is none of that name."""
    if identifier not in FAMILIES:
        raise BadRequest(f"There is no family {identifier!r}; there are {', '.join(sorted(FAMILIES))}.")
    return FAMILIES[identifier]


def model(family: Family) -> type[Model]:
    """The model of a family."""
    found: type[Model] = entry("models", family.model).cls
    return found


def objective(family: Family) -> type[Objective]:
    """The objective of a family."""
    found: type[Objective] = entry("objectives", family.objective).cls
    return found


def problem(identifier: str) -> Problem:
    """A problem by its identifier."""
    made: Problem = entry("problems", identifier).cls()
    return made


def trainings() -> Iterator[tuple[str, str, str]]:
    """Every family with each of its problems and of its strategies, by identifier."""
    for own in FAMILIES.values():
        for name, found in entries("problems").items():
            if own.identifier in found.cls.families:
                yield from ((own.identifier, name, strategy) for strategy in own.strategies or entries("strategies"))


def plugins() -> dict[str, dict[str, str]]:
    """The content hash of every problem and strategy that is a plugin, by kind and identifier."""
    kinds = ("problems", "strategies")
    return {kind: {e.identifier: e.plugin for e in entries(kind).values() if e.plugin} for kind in kinds}


def _own(kind: str) -> Iterator[Entry]:
    package = importlib.import_module(f"sciml_backend.{kind}")
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            yield from _defined(kind, importlib.import_module(f"{package.__name__}.{info.name}"), info.name, "")


def _installed(kind: str) -> Iterator[Entry]:
    for point in entry_points(group=f"regime_atlas.{kind}"):
        try:
            cls = point.load()
        except Exception as error:
            raise BadRequest(f"The plugin {point.value} cannot be loaded: {type(error).__name__}: {error}.") from error
        if not (inspect.isclass(cls) and issubclass(cls, CONTRACTS[kind])):
            raise BadRequest(f"The plugin {point.value} is no {CONTRACTS[kind].__name__}; subclass it there.")
        yield Entry(point.name, kind, cls, _hash(Path(inspect.getfile(cls))))


def _from_folder(kind: str) -> Iterator[Entry]:
    root = os.environ.get("ATLAS_PLUGINS")
    if not root:
        return
    if not Path(root).is_dir():
        raise BadRequest(f"ATLAS_PLUGINS names {root!r}, which is not a folder; name one or unset it.")
    for path in sorted((Path(root) / kind).glob("*.py")):
        if path.name.startswith("_"):
            continue
        name = f"atlas_plugins.{kind}.{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise BadRequest(f"The plugin {path} cannot be loaded: {type(error).__name__}: {error}.") from error
        made = list(_defined(kind, module, path.stem, _hash(path)))
        if not made:
            raise BadRequest(f"The plugin {path} defines no {CONTRACTS[kind].__name__}; subclass it there.")
        yield from made


def _defined(kind: str, module: ModuleType, identifier: str, plugin: str) -> Iterator[Entry]:
    for cls in vars(module).values():
        if (
            inspect.isclass(cls)
            and issubclass(cls, CONTRACTS[kind])
            and cls.__module__ == module.__name__
            and not inspect.isabstract(cls)
        ):
            yield Entry(identifier, kind, cls, plugin)
            return


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
