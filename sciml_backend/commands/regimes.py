"""``regimes``: thresholds, labels and boundaries of a map."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sciml_backend.command import Command, add_map, table
from sciml_backend.run import SOURCES, BadRequest, MapName

if TYPE_CHECKING:
    import pandas as pd

    from sciml_backend.regimes import Footing, Thresholds


class Regimes(Command):
    """Label the cells of a map as a page does."""

    help = "thresholds, regime labels and boundaries of a map"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_map(parser)
        parser.add_argument("--source", choices=SOURCES, default="computed", help="whose values (default: computed)")
        parser.add_argument(
            "--rule",
            choices=("range", "percentile", "absolute"),
            help="how thresholds follow from the values (default: range; of the published map until ours is full)",
        )
        parser.add_argument("--train", type=float, help="the rule's value for the training loss (range: 0.30)")
        parser.add_argument("--test", type=float, help="the rule's value for the test error (range: 0.30)")
        parser.add_argument("--perturbation", type=float, default=0.2, help="relative size of the outer levels (0.2)")

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.regimes import Footing, perturbations, summary
        from sciml_backend.store import queries
        from sciml_backend.store.connection import Store

        name = MapName.parse(args.map)
        levels = perturbations(args.perturbation)
        asked = _asked(args)
        with Store.in_memory(name) as store:
            grid = queries.regime_grid(store, name, source=args.source)
            published = queries.regime_grid(store, _plain(name), source="published")
            if grid.empty:
                raise BadRequest(queries.nothing_stored(store, name, args.source))
        footing = _footing(name, grid, asked, published) if args.source == "computed" else Footing(asked)
        found = summary(grid, footing.thresholds, levels=levels)
        head = {"map": str(name), "source": args.source, "filled": footing.filled, "thresholds_note": footing.note}
        return head | found

    def text(self, result: Any) -> str:
        limits = ", ".join(f"{metric} {value:.4g}" for metric, value in result["thresholds"].items() if value)
        shares = ", ".join(f"{label} {share:.0%}" for label, share in result["shares"].items() if share is not None)
        cells = table(result["cells"], ("x", "y", "train", "test", "seeds", "label"))
        head = f"{result['map']} ({result['source']})\nthresholds: {limits}. {result['thresholds_note']}".rstrip()
        return f"{head}\nshares: {shares}\n{cells}"


def _asked(args: argparse.Namespace) -> Thresholds:
    """The rules as asked for, else those a page starts with."""
    from sciml_backend.regimes import Threshold, Thresholds

    given = {"train": args.train, "test": args.test}
    rule = args.rule or "range"
    if rule == "absolute" and None in given.values():
        raise BadRequest("The rule absolute needs both thresholds: give --train and --test.")
    default = {"range": 0.30, "percentile": 50.0}.get(rule, 0.0)
    train, test = (Threshold(rule=rule, value=default if v is None else v) for v in given.values())
    return Thresholds(train=train, test=test)


def _footing(name: MapName, grid: pd.DataFrame, asked: Thresholds, published: pd.DataFrame) -> Footing:
    """What the thresholds rest on, with the map's plan where the catalogue has one."""
    from sciml_backend import catalog
    from sciml_backend.regimes import footing

    if name.problem not in catalog.entries("problems"):
        return footing(grid, asked, published=published)
    problem = catalog.problem(name.problem)
    return footing(grid, asked, xs=problem.axis.axis, ys=problem.data_axis, published=published)


def _plain(name: MapName) -> MapName:
    """Without the variant: publications do not tell precisions apart."""
    return MapName(name.family, name.problem, name.strategy)
