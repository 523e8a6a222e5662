"""Which map is looked at: the pickers, the map's axes, and the runs that would fill it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
import streamlit as st

from pages import address, results, services
from sciml_backend import figures, regimes
from sciml_backend.run import MapName, RunSpec, plugin_of

VARIANTS = {"": "float32", "float64": "float64"}
SOURCES = {"computed": "computed here", "published": "published"}


@dataclass(frozen=True)
class Axis:
    """A coefficient or the amount of data: its name in the store, its name for people, its planned values."""

    name: str
    label: str
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A map as chosen; ``name`` is its name in the store."""

    name: MapName
    source: str
    x: Axis
    y: Axis
    title: str


def pick() -> Choice:
    """The pickers, for a horizontal container; their values are in the session under the keys of ``address.MAP``."""
    family, problem, known = pick_problem()
    strategy = _select(
        "Training strategy", "strategy", _unique(known, "strategy"), _label("strategies"), help=_STRATEGY
    )
    known = known[known["strategy"] == strategy]
    variant = _select("Variant", "variant", _unique(known, "variant"), _variant, help=_VARIANT)
    source = pick_source(known[known["variant"] == variant])
    return choice(MapName(family, problem, strategy, variant), source)


def pick_problem() -> tuple[str, str, pd.DataFrame]:
    """The pickers of family and problem, and all maps of the two."""
    known = _known()
    family = _select("Model family", "family", _unique(known, "family"), _label("families"), help=_FAMILY)
    known = known[known["family"] == family]
    problem = _select("Problem", "problem", _unique(known, "problem"), _label("problems"), help=_PROBLEM)
    return family, problem, known[known["problem"] == problem]


def pick_source(known: pd.DataFrame) -> str:
    """The picker of the source of these maps."""
    sources = list(dict.fromkeys(["computed", *known["source"]]))
    return _select("Source", "source", sources, lambda s: SOURCES.get(s, s), help=_SOURCE)


def problem_title(family: str, problem: str) -> str:
    """A problem of a family."""
    return f"{_label('families')(family)} · {_label('problems')(problem)}"


def strategy_label(name: MapName) -> str:
    """A map's strategy, with its variant unless that is the plain one."""
    return " · ".join(filter(None, [_label("strategies")(name.strategy), name.variant and _variant(name.variant)]))


def choice(name: MapName, source: str) -> Choice:
    """A map with its axes and its title."""
    labels = [_label(kind)(part) for kind, part in zip(_KINDS, (name.family, name.problem, name.strategy), strict=True)]
    x, y = _axes(name, source)
    title = f"{' · '.join(labels)} · {_variant(name.variant)}"
    return Choice(name, source, x, y, title)


def complete(chosen: Choice, *, running: frozenset[tuple[float, float]] = frozenset()) -> pd.DataFrame:
    """All cells of the map, planned, stored and running, with their states; shared, never change it."""
    return _complete(chosen, running, Same(results.grid(str(chosen.name), chosen.source)))


def specs(chosen: Choice, cells: Iterable[tuple[float, float]], *, seeds: Sequence[int]) -> list[RunSpec]:
    """The runs of these cells (x, y); empty when nothing says how runs of this variant are set up."""
    template = _stored_template(chosen) or _template(chosen)
    if template is None:
        return []
    return [
        template.but(coefficients={**template.coefficients, chosen.x.name: x}, data=int(y), seed=seed)
        for x, y in cells
        for seed in seeds
    ]


def select(
    label: str,
    key: str,
    options: Sequence[Any],
    words: Callable[[Any], str],
    *,
    widget: Callable[..., Any] = st.selectbox,
    **more: Any,
) -> Any:
    """A select box, or slider, that falls back to its usual option, else to its first, when the address has another."""
    if st.session_state.get(key) not in options:
        usual = address.PARAMETERS[key].default if key in address.PARAMETERS else None
        st.session_state[key] = usual if usual in options else options[0]
    return widget(label, options, key=key, format_func=words, **more)


def _select(label: str, key: str, options: Sequence[str], words: Callable[[str], str], *, help: str) -> str:
    return str(select(label, key, options, words, help=help, width=180))


def _known() -> pd.DataFrame:
    """All maps, the catalogue's first: family, problem, strategy, variant, source ('' where nothing is stored)."""
    columns = ["family", "problem", "strategy", "variant", "source"]
    planned = [
        (m["family"], m["problem"], m["strategy"], variant, "computed")
        for m in services.record()["maps"]
        for variant in m["variants"]
    ]
    return pd.concat([pd.DataFrame(planned, columns=columns), results.maps()[columns]], ignore_index=True)


def _unique(table: pd.DataFrame, column: str) -> list[str]:
    return list(dict.fromkeys(table[column]))


class Same:
    """A data frame that is equal to itself only, so that a cache can tell whether it was replaced."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.frame is other.frame

    def __hash__(self) -> int:
        return id(self.frame)


@lru_cache(maxsize=32)
def _complete(chosen: Choice, running: frozenset[tuple[float, float]], stored: Same) -> pd.DataFrame:
    planned = (chosen.x.values, chosen.y.values) if chosen.source == "computed" else ((), ())
    return regimes.complete(stored.frame, *planned, running=running)


_KINDS = ("families", "problems", "strategies")


def _label(kind: str) -> Callable[[str], str]:
    entries: Mapping[str, Any] = services.record()[kind]
    return lambda name: str(entries[name]["label"]) if name in entries else name.replace("_", " ")


def _variant(variant: str) -> str:
    return VARIANTS.get(variant, variant)


def _axes(name: MapName, source: str) -> tuple[Axis, Axis]:
    planned = _planned(name)
    if planned:
        x, y = planned["x"], planned["y"]
        plain = {"x": x["values"], "y": y["values"]}
        values = next((planned["axes"][v] for v in name.variant.split(",") if v in planned["axes"]), plain)
        return Axis(x["name"], _title(x), tuple(values["x"])), Axis("data", y["label"], tuple(values["y"]))
    stored = results.maps()
    row = stored[(stored["name"] == str(name)) & (stored["source"] == source)]
    found = row["x_name"].iloc[0] if len(row) else "x"
    return Axis(found, found), Axis("data", "amount of data")


def _title(axis: Mapping[str, Any]) -> figures.AxisTitle:
    """The title of an axis, with the names of its values where they have any."""
    return figures.AxisTitle(axis["label"], dict(zip(axis["values"], axis["names"], strict=False)))


def _planned(name: MapName) -> Mapping[str, Any] | None:
    """The catalogue's entry of a map, whatever its variant."""
    same = (m for m in services.record()["maps"] if (m["family"], m["problem"], m["strategy"]) == _parts(name))
    return next(same, None)


def _parts(name: MapName) -> tuple[str, str, str]:
    return name.family, name.problem, name.strategy


def _stored_template(chosen: Choice) -> RunSpec | None:
    """A run of this map as it was asked for, by the plugins as they are now."""
    stored = results.runs(str(chosen.name), "computed")
    if stored.empty or _planned(chosen.name) is None:
        return None
    spec = RunSpec.from_json(json.loads(stored["spec"].iloc[0]))
    record = services.record()
    usual = {name: known["default"] for name, known in record["strategies"][spec.strategy]["settings"].items()}
    return spec.but(plugin=plugin_of(record["plugins"], spec.problem, spec.strategy, usual | dict(spec.settings)))


def _template(chosen: Choice) -> RunSpec | None:
    """A run of a variant that the catalogue offers."""
    planned = _planned(chosen.name)
    found = planned["variants"].get(chosen.name.variant) if planned else None
    return RunSpec.from_json(found) if found else None


_FAMILY = "The kind of network and of loss."
_PROBLEM = "The equation that is learned; its coefficient is the horizontal axis."
_STRATEGY = "How the network is trained."
_VARIANT = "What differs from the map's default set-up, above all the precision; variants are never averaged."
_SOURCE = "Values computed by this project, or read off a publication; the two are never mixed."
