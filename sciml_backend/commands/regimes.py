"""``regimes``: thresholds, labels and boundaries of a map."""

from __future__ import annotations

import argparse
from typing import Any

from sciml_backend.command import Command, add_map, parsed_map, table
from sciml_backend.run import SOURCES, BadRequest


class Regimes(Command):
    """Label the cells of a map as a page does."""

    help = "thresholds, regime labels and boundaries of a map"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_map(parser)
        parser.add_argument("--source", choices=SOURCES, default="computed", help="whose values (default: computed)")
        parser.add_argument("--rule", choices=("range", "percentile", "absolute"), default="range")
        parser.add_argument("--train", type=float, help="the rule's value for the training loss (range: 0.30)")
        parser.add_argument("--test", type=float, help="the rule's value for the test error (range: 0.30)")
        parser.add_argument("--perturbation", type=float, default=0.2, help="relative size of the outer levels (0.2)")

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend import regimes
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
        value = {"train": args.train, "test": args.test}
        if args.rule == "absolute" and None in value.values():
            raise BadRequest("The rule absolute needs both thresholds: give --train and --test.")
        default = {"range": 0.30, "percentile": 50.0}.get(args.rule, 0.0)
        chosen = {
            metric: regimes.Threshold(rule=args.rule, value=default if given is None else given)
            for metric, given in value.items()
        }
        half = args.perturbation / 2
        levels = (-args.perturbation, -half, 0.0, half, args.perturbation)
        found = summary(grid, regimes.Thresholds(**chosen), levels=levels)
        return {"map": str(name), "source": args.source, **found}

    def text(self, result: Any) -> str:
        limits = ", ".join(f"{metric} {value:.4g}" for metric, value in result["thresholds"].items() if value)
        shares = ", ".join(f"{label} {share:.0%}" for label, share in result["shares"].items() if share is not None)
        cells = table(result["cells"], ("x", "y", "train", "test", "seeds", "label"))
        return f"{result['map']} ({result['source']})\nthresholds: {limits}\nshares: {shares}\n{cells}"
