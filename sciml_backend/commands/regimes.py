"""``regimes``: thresholds, labels and boundaries of a map."""

from __future__ import annotations

import argparse
from typing import Any

from sciml_backend.arguments import add_map, add_thresholds, footing_of, thresholds
from sciml_backend.command import Command, table
from sciml_backend.run import SOURCES, BadRequest, MapName


class Regimes(Command):
    """Label the cells of a map as a page does."""

    help = "thresholds, regime labels and boundaries of a map"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_map(parser)
        parser.add_argument("--source", choices=SOURCES, default="computed", help="whose values (default: computed)")
        add_thresholds(parser)

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.regimes import perturbations, summary
        from sciml_backend.store import queries
        from sciml_backend.store.connection import Store

        name = MapName.parse(args.map)
        levels = perturbations(args.perturbation)
        asked = thresholds(args)
        with Store.in_memory(name) as store:
            grid = queries.regime_grid(store, name, source=args.source)
            if grid.empty:
                raise BadRequest(queries.nothing_stored(store, name, args.source))
            footing = footing_of(store, name, asked, source=args.source)
        found = summary(grid, footing.thresholds, levels=levels)
        head = {"map": str(name), "source": args.source, "filled": footing.filled, "thresholds_note": footing.note}
        return head | found

    def text(self, result: Any) -> str:
        given = {metric: value for metric, value in result["thresholds"].items() if value is not None}
        limits = ", ".join(f"{metric} {value:.4g}" for metric, value in given.items())
        shares = ", ".join(f"{label} {share:.0%}" for label, share in result["shares"].items() if share is not None)
        cells = table(result["cells"], ("x", "y", "train", "test", "seeds", "label"))
        head = f"{result['map']} ({result['source']})\nthresholds: {limits}. {result['thresholds_note']}".rstrip()
        return f"{head}\nshares: {shares}\n{cells}"
