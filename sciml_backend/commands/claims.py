"""``claims``: what was published of families and training strategies, judged by the maps computed here."""

from __future__ import annotations

import argparse
from dataclasses import replace
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

from sciml_backend.command import Command, table
from sciml_backend.run import BadRequest, MapName

if TYPE_CHECKING:
    import pandas as pd

    from sciml_backend.regimes.claims import Finding
    from sciml_backend.regimes.family_claims import Stored
    from sciml_backend.store.connection import Store

STRATEGIES = ("lbfgs", "alm", "cl", "ropinn", "nncg")


class Claims(Command):
    """Judge the published claims about families, and about strategies on 1D convection, by the stored maps."""

    help = "judge the published claims about families and training strategies by the maps computed here"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--variant", default="", help="variant of the strategies' maps, such as float64 (default: none)"
        )
        parser.add_argument("--resamples", type=int, default=1000, help="draws behind each confidence interval")

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.regimes.claims import BASE, judged
        from sciml_backend.regimes.family_claims import judged_families
        from sciml_backend.store import queries
        from sciml_backend.store.connection import Store

        if args.resamples < 1:
            raise BadRequest(f"--resamples is at least 1, got {args.resamples}.")
        tail = f"@{args.variant}" if args.variant else ""
        with Store.in_memory() as store:
            families = _of_families(store)
            names = {strategy: f"pinn/convection/{strategy}{tail}" for strategy in STRATEGIES}
            strategies = {strategy: _planned(queries.runs(store, name), name) for strategy, name in names.items()}
        of_families = {label: _map(found.name, found.runs) for label, found in families.items()}
        of_strategies = {strategy: _map(names[strategy], runs) for strategy, runs in strategies.items()}
        return [
            *(
                _row(finding, [of_families[label] for label in finding.claim.needs])
                for finding in judged_families(families, resamples=args.resamples)
            ),
            *(
                _row(finding, [of_strategies[name] for name in dict.fromkeys((BASE, *finding.claim.needs))])
                for finding in judged(strategies, resamples=args.resamples)
            ),
        ]

    def text(self, result: Any) -> str:
        rows = [
            {
                **row,
                "value": _words(row["value"]),
                "95 %": f"{_words(row['low'])} to {_words(row['high'])}",
                "published maps": _words(row["published"]),
                "judgement": ": ".join(filter(None, [row["judgement"], ", ".join(row["missing"])])),
            }
            for row in result
        ]
        maps = {of["map"]: of for row in result for of in row["maps"] if of["cells"]}
        parts = [
            table(rows, ("claim", "statement", "measured", "range", "value", "95 %", "published maps", "judgement")),
            "\n95 %: from drawing each cell's seeds anew; few seeds make it a rough one. Published maps: the same "
            "number of them, on the columns and rows that are planned here.",
            table(maps.values(), ("map", "cells", "seeds")),
        ]
        return "\n".join(parts)


def _planned(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """Those of a map's runs that lie on its axes."""
    from sciml_backend.plan import axes_of

    axes = axes_of(MapName.parse(name))
    return runs[runs["x"].isin(axes.x) & runs["y"].isin(axes.y)]


def _of_families(store: Store) -> dict[str, Stored]:
    """What is stored of each map that a claim about families rests on."""
    from sciml_backend.plan import axes_of
    from sciml_backend.regimes.family_claims import MAPS, Stored
    from sciml_backend.store import queries

    maps = queries.maps(store)
    found = {}
    for label, plain in MAPS.items():
        name = _fullest(plain, maps[maps["source"] == "computed"])
        published = queries.runs(store, str(plain), source="published")
        axes = axes_of(name)
        found[label] = Stored(str(name), queries.runs(store, str(name)), published, axes.x, axes.y)
    return found


def _fullest(plain: MapName, maps: pd.DataFrame) -> MapName:
    """The map or one of its family's variants: the first that is filled, else the one with the largest part filled."""
    from sciml_backend import catalog
    from sciml_backend.plan import axes_of
    from sciml_backend.regimes.footing import FULL

    cells = dict(zip(maps["name"], maps["n_cells"], strict=True))
    best, part = plain, 0.0
    for variant in ("", *catalog.family(plain.family).variants):
        name = replace(plain, variant=variant)
        axes = axes_of(name)
        filled = min(cells.get(str(name), 0) / (len(axes.x) * len(axes.y)), FULL)
        best, part = (name, filled) if filled > part else (best, part)
    return best


def _map(name: str, runs: pd.DataFrame) -> dict[str, Any]:
    """A map by name, with its cells and the least and most seeds that one has."""
    seeds = runs.groupby(["x", "y"]).size()
    span = sorted({int(seeds.min()), int(seeds.max())}) if len(seeds) else []
    return {"map": name, "cells": len(seeds), "seeds": " to ".join(map(str, span))}


def _row(found: Finding, maps: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "claim": found.claim.identifier,
        "statement": found.claim.statement,
        "measured": found.claim.measured,
        "range": f"{found.claim.low:g} to {found.claim.high:g}",
        "value": _number(found.value),
        "low": _number(found.low),
        "high": _number(found.high),
        "published": _number(found.published),
        "judgement": found.judgement.value,
        "missing": list(found.missing),
        "maps": maps,
    }


def _number(value: float) -> float | str | None:
    """A number for JSON, which has neither infinity nor nan."""
    return None if isnan(value) else value if isfinite(value) else str(value)


def _words(number: float | str | None) -> str:
    return "–" if number is None else f"{float(number):.3g}"
