"""``regimes``: thresholds, labels and boundaries of a map."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sciml_backend.command import Command, add_map, parsed_map, table
from sciml_backend.run import SOURCES, BadRequest, MapName

if TYPE_CHECKING:
    import pandas as pd

    from sciml_backend.regimes import Thresholds


class Regimes(Command):
    """Label the cells of a map as a page does."""

    help = "thresholds, regime labels and boundaries of a map"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_map(parser)
        parser.add_argument("--source", choices=SOURCES, default="computed", help="whose values (default: computed)")
        parser.add_argument(
            "--rule",
            choices=("range", "percentile", "absolute"),
            help="how thresholds follow from the values (default: range; the published ones until a map is full)",
        )
        parser.add_argument("--train", type=float, help="the rule's value for the training loss (range: 0.30)")
        parser.add_argument("--test", type=float, help="the rule's value for the test error (range: 0.30)")
        parser.add_argument("--perturbation", type=float, default=0.2, help="relative size of the outer levels (0.2)")

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.regimes.summary import summary
        from sciml_backend.store import queries
        from sciml_backend.store.connection import Store

        name = parsed_map(args.map)
        if not 0 < args.perturbation < 1:
            raise BadRequest(f"--perturbation lies between 0 and 1, got {args.perturbation:g}.")
        with Store.in_memory(name) as store:
            grid = queries.regime_grid(store, name, source=args.source)
        if grid.empty:
            raise BadRequest(
                f"No {args.source} run of {name} is stored; `python -m sciml_backend sweep {name}` trains some."
            )
        thresholds, why = _thresholds(args, name, grid)
        half = args.perturbation / 2
        levels = (-args.perturbation, -half, 0.0, half, args.perturbation)
        found = summary(grid, thresholds, levels=levels)
        return {"map": str(name), "source": args.source, "thresholds_note": why, **found}

    def text(self, result: Any) -> str:
        limits = ", ".join(f"{metric} {value:.4g}" for metric, value in result["thresholds"].items() if value)
        shares = ", ".join(f"{label} {share:.0%}" for label, share in result["shares"].items() if share is not None)
        cells = table(result["cells"], ("x", "y", "train", "test", "seeds", "label"))
        head = f"{result['map']} ({result['source']})\nthresholds: {limits}. {result['thresholds_note']}"
        return f"{head}\nshares: {shares}\n{cells}"


def _thresholds(args: argparse.Namespace, name: MapName, grid: pd.DataFrame) -> tuple[Thresholds, str]:
    """As asked for, else as the map's page starts; with the sentence that says where they come from."""
    from sciml_backend.regimes import Threshold, Thresholds, default_thresholds

    given = {"train": args.train, "test": args.test}
    if args.rule is None and given == {"train": None, "test": None}:
        return default_thresholds(name, filled=_filled(name, grid) if args.source == "computed" else 1.0)
    rule = args.rule or "range"
    if rule == "absolute" and None in given.values():
        raise BadRequest("The rule absolute needs both thresholds: give --train and --test.")
    default = {"range": 0.30, "percentile": 50.0}.get(rule, 0.0)
    train, test = (Threshold(rule=rule, value=default if v is None else v) for v in given.values())
    return Thresholds(train=train, test=test), f"Thresholds follow the rule {rule} as asked for."


def _filled(name: MapName, grid: pd.DataFrame) -> float:
    """The share of the map's planned cells that have a value."""
    from sciml_backend import catalog

    problem = catalog.problem(name.problem)
    planned = {(float(x), float(y)) for x in problem.axis.axis for y in problem.data_axis}
    return len(planned & set(zip(grid["x"], grid["y"], strict=True))) / len(planned)
