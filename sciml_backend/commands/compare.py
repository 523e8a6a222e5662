"""``compare``: strategies beside a baseline, as the Compare page has them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sciml_backend.arguments import add_thresholds, footing_of, thresholds
from sciml_backend.command import Command, rows, table
from sciml_backend.run import SOURCES, BadRequest, MapName

if TYPE_CHECKING:
    import pandas as pd

    from sciml_backend.regimes import Thresholds
    from sciml_backend.store.connection import Store


class Compare(Command):
    """Set maps of one problem beside the first of them."""

    help = "who wins where, improvements and moved boundaries, at the end or at a budget"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "baseline", help="the map that others are measured against, family/problem/strategy[@variant]"
        )
        parser.add_argument("map", nargs="+", help="maps of the same problem")
        parser.add_argument("--source", choices=SOURCES, default="computed", help="whose values (default: computed)")
        parser.add_argument(
            "--metric", choices=("test_error", "train_loss"), default="test_error", help="what must be low"
        )
        budget = parser.add_mutually_exclusive_group()
        budget.add_argument("--evaluations", type=float, help="read each run at this many evaluations of all data")
        budget.add_argument("--seconds", type=float, help="read each run at this many seconds")
        add_thresholds(parser)

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.regimes import seed_means, winners
        from sciml_backend.store.connection import Store

        names = _names(args.baseline, args.map)
        unit = "evaluations" if args.seconds is None else "seconds"
        with Store.in_memory() as store:
            runs = _runs(store, names, args, unit)
            low = _thresholds(store, names[0], args)
        train, test = low.of(seed_means(runs[runs["map"] == str(names[0])]))
        highest = dict.fromkeys(map(str, names), train if args.metric == "train_loss" else test)
        return {
            "baseline": str(names[0]),
            "source": args.source,
            "metric": args.metric,
            "budget": getattr(args, unit),
            "unit": unit,
            "methods": [_beside(runs, str(names[0]), str(name), low, args) for name in names[1:]],
            "winners": rows(winners(runs, args.metric, thresholds=highest)),
            "regimes": _counts(runs, names, low),
        }

    def text(self, result: Any) -> str:
        when = f"at {result['budget']:g} {result['unit']} of each run" if result["budget"] is not None else "at the end"
        head = f"{result['metric']} {when}; baseline {result['baseline']} ({result['source']})"
        parts = [head, table(result["regimes"], ("map", "I", "II", "III", "IV", "lost", "missing"))]
        for method in result["methods"]:
            moved = table(method["shift"], ("metric", "level", "cells", "units", "n_both", "n_smaller", "n_larger"))
            cells = table(method["cells"], ("x", "y", "base", "method", "improvement", "verdict", "p"))
            parts += [f"\n{method['map']}: boundaries along x", moved, "improvement in percent", cells]
        won = table(result["winners"], ("x", "y", "winner", "state", "lowest", "low", "p", "n_maps"))
        return "\n".join([*parts, "\nwinners", won])


def _names(baseline: str, maps: list[str]) -> list[MapName]:
    """The baseline first, each map once; raises BadRequest when they are not of one problem."""
    names = list(dict.fromkeys(map(MapName.parse, [baseline, *maps])))
    if len({(name.family, name.problem) for name in names}) > 1:
        raise BadRequest(f"Maps of one family and problem are compared; got {', '.join(map(str, names))}.")
    if len(names) < 2:
        raise BadRequest(f"A comparison takes two maps; got {baseline} only.")
    return names


def _runs(store: Store, names: list[MapName], args: argparse.Namespace, unit: str) -> pd.DataFrame:
    from sciml_backend.store import queries

    runs = queries.runs_at(store, names, budget=getattr(args, unit), unit=unit, source=args.source)
    for name in names:
        if not (runs["map"] == str(name)).any():
            raise BadRequest(queries.nothing_stored(store, name, args.source))
    return runs


def _thresholds(store: Store, baseline: MapName, args: argparse.Namespace) -> Thresholds:
    """What is low by the values of the baseline's whole map, or what it rests on: one yardstick for all maps."""
    from sciml_backend.store import queries

    found = footing_of(store, baseline, thresholds(args), source=args.source).thresholds
    whole = queries.regime_grid(store, baseline, source=args.source)
    return found if found.reference is not None else replace(found, reference=whole)


def _beside(
    runs: pd.DataFrame, baseline: str, method: str, low: Thresholds, args: argparse.Namespace
) -> dict[str, Any]:
    """One method's improvement and verdict per cell, and how far its boundaries lie from the baseline's."""
    from sciml_backend import regimes

    pair = runs[runs["map"].isin([baseline, method])]
    base, other = (regimes.seed_means(runs[runs["map"] == name]) for name in (baseline, method))
    shared = regimes.on_shared_axes(base, other)
    verdicts = regimes.against(pair, baseline, args.metric).drop(columns="map")
    cells = regimes.improvement(*shared, args.metric).merge(verdicts, on=["x", "y"], how="left")
    shift = regimes.boundary_shift(*shared, (low, low), levels=regimes.perturbations(args.perturbation))
    return {"map": method, "cells": rows(cells), "shift": rows(regimes.shift_summary(shift))}


def _counts(runs: pd.DataFrame, names: list[MapName], low: Thresholds) -> list[dict[str, Any]]:
    from sciml_backend import regimes

    grids = {str(name): regimes.seed_means(runs[runs["map"] == str(name)]) for name in names}
    return rows(regimes.regime_counts(grids, dict.fromkeys(grids, low)).reset_index(names="map"))
