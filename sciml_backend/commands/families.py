"""``families``: maps of any families side by side, as the Families page has them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sciml_backend.arguments import add_thresholds, footing_of, thresholds
from sciml_backend.command import Command, plain, table
from sciml_backend.run import BadRequest, MapName, SourcedMap

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from sciml_backend.regimes import Footing, Thresholds
    from sciml_backend.store.connection import Store


class Families(Command):
    """Set maps side by side by one threshold rule."""

    help = "maps of any families by one rule: regimes, sharpness of transitions, how thresholds carry over"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "map",
            nargs="*",
            help="family/problem/strategy[@variant], with published: before it for its published values "
            "(default: one map per family and problem)",
        )
        parser.add_argument("--metric", choices=("test", "train"), default="test", help="whose transition is measured")
        parser.add_argument("--along", choices=("x", "y"), default="x", help="the coefficient (x) or the data (y)")
        parser.add_argument("--per", choices=("cells", "doubling"), default="cells", help="what a step is divided by")
        parser.add_argument(
            "--carried", choices=("value", "range"), default="value", help="what of a threshold is carried over"
        )
        parser.add_argument("--paper", action="store_true", help="carry the thresholds of Table 5 where they are known")
        add_thresholds(parser)

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.store.connection import Store

        with Store.in_memory() as store:
            maps = {str(of): _read(store, of, args) for of in _asked(store, args.map)}
        return {
            **{name: getattr(args, name) for name in ("metric", "along", "per", "carried", "paper")},
            "maps": [_row(name, *found, args) for name, found in maps.items()],
            "carry_over": _carried(maps, args),
        }

    def text(self, result: Any) -> str:
        seen = [f"{number} {row['map']}" for number, row in enumerate(result["maps"], start=1)]
        rows = [
            {
                "map": name,
                **{numeral: _percent(share) for numeral, share in row["shares"].items()},
                "of seeds": row["largest"],
                "±": row["largest_error"],
                "seeds": row["n_seeds"],
                "of their means": row["of_means"],
                "lines with one": f"{row['n_crossing']} of {row['n_lines']}",
                "filled": _percent(row["filled"]),
            }
            for name, row in zip(seen, result["maps"], strict=True)
        ]
        numbers = [str(number) for number in range(1, len(rows) + 1)]
        matrix = [
            {"thresholds of": name, **{n: _percent(share) for n, share in zip(numbers, shares.values(), strict=True)}}
            for name, shares in zip(seen, result["carry_over"].values(), strict=True)
        ]
        steps = ("of seeds", "±", "seeds", "of their means", "lines with one")
        per = result["per"].removesuffix("s")
        what = f"largest step of {result['metric']} across its threshold along {result['along']}, in ranges per {per}"
        notes = [
            f"{number} {row['thresholds_note']}"
            for number, row in enumerate(result["maps"], start=1)
            if row["thresholds_note"]
        ]
        kept = f"cells of the map in each column that keep their regime, carried by {result['carried']}"
        parts = [
            f"shares of the regimes, and the {what}: mean of the seeds' maps and its error, and of the map of means",
            table(rows, ("map", "I", "II", "III", "IV", *steps, "filled")),
            *notes,
            f"\n{kept}",
            table(matrix, ("thresholds of", *numbers)),
        ]
        return "\n".join(parts)


Found = tuple["pd.DataFrame", "pd.DataFrame", "Footing"]
"""A map's cells with their labels, its runs, and what its thresholds rest on."""


def _asked(store: Store, maps: list[str]) -> list[SourcedMap]:
    """The maps that are named, each once, else one per family and problem; raises BadRequest without any."""
    from sciml_backend.regimes import representatives
    from sciml_backend.store import queries

    if maps:
        return list(dict.fromkeys(map(SourcedMap.parse, maps)))
    first = representatives(queries.maps(store))
    if first.empty:
        raise BadRequest("No map is stored yet; `python -m sciml_backend sweep MAP` trains one.")
    return [
        SourcedMap(MapName.parse(name), source) for name, source in zip(first["name"], first["source"], strict=True)
    ]


def _read(store: Store, of: SourcedMap, args: argparse.Namespace) -> Found:
    from sciml_backend.regimes import labelled
    from sciml_backend.store import queries

    grid = queries.regime_grid(store, of.name, source=of.source)
    if grid.empty:
        raise BadRequest(queries.nothing_stored(store, of.name, of.source))
    footing = footing_of(store, of.name, thresholds(args), source=of.source)
    return labelled(grid, footing.thresholds), queries.runs_at(store, [of.name], source=of.source), footing


def _row(
    name: str, cells: pd.DataFrame, runs: pd.DataFrame, footing: Footing, args: argparse.Namespace
) -> dict[str, Any]:
    from sciml_backend.regimes import shares, sharpness, transitions

    steps = transitions(runs, footing.thresholds, metric=args.metric, along=args.along)
    train, test = footing.thresholds.of(cells)
    return {
        "map": name,
        "filled": footing.filled,
        "thresholds": {"train": plain(train), "test": plain(test)},
        "thresholds_note": footing.note,
        "shares": {numeral: plain(share) for numeral, share in shares(cells["label"]).items()},
        **{key: plain(value) for key, value in asdict(sharpness(steps, per=args.per)).items()},
    }


def _carried(maps: Mapping[str, Found], args: argparse.Namespace) -> dict[str, dict[str, float | None]]:
    """Shares of cells that keep their regime: by the map whose thresholds are taken, then by that they are put to."""
    from sciml_backend.regimes import carry_over, paper_thresholds

    known: dict[Any, Thresholds] = paper_thresholds() if args.paper else {}
    own = {
        name: known.get(SourcedMap.parse(name).name.plain, footing.thresholds) for name, (*_, footing) in maps.items()
    }
    table = carry_over({name: cells for name, (cells, *_) in maps.items()}, own, way=args.carried)
    return {str(name): {str(to): plain(share) for to, share in row.items()} for name, row in table.iterrows()}


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
