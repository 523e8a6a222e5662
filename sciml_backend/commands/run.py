"""``run``: train one cell, always."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from math import isfinite
from typing import Any

from sciml_backend import paths
from sciml_backend.arguments import add_runs, add_work, out_folder, plan
from sciml_backend.command import Command, table
from sciml_backend.commands._training import train
from sciml_backend.run import BadRequest, Curve

COLUMNS = "coefficients data seed dtype status train_loss test_error heldout_error".split()
COLUMNS += "iterations evaluations seconds".split()


class Run(Command):
    """Train one cell with one or several seeds, store the runs and print their records."""

    help = "train one cell (one or several seeds, as one batch) and print its record"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_runs(parser, many=False)
        add_work(parser)
        parser.add_argument("--curves", action="store_true", help="print the history of each run as well (with --json)")

    def execute(self, args: argparse.Namespace) -> Any:
        specs = plan(args)
        cells = {(tuple(s.coefficients.items()), s.data) for s in specs}
        if args.data is None or len(cells) != 1:
            raise BadRequest(
                f"`run` trains one cell and this names {len(cells):,}: give --data one value and each coefficient "
                "one value with --set, or use `sweep`."
            )
        records = train(specs, args, out_folder(args.out or paths.spool_new()))
        found = [
            record.to_json() | ({"curve": _plain(record.curve)} if args.curves else {})
            for record in sorted(records, key=lambda r: r.spec.seed)
        ]
        return found if args.seeds is not None else found[0]

    def text(self, result: Any) -> str:
        rows = result if isinstance(result, list) else [result]
        reasons = sorted({f"{r['status']}: {r['reason']}" for r in rows})
        return "\n".join([table(rows, COLUMNS), *reasons])


def _plain(curve: Curve) -> dict[str, list[float | None]]:
    """A history as JSON can say it: None where a value is not finite."""
    return {name: [v if isfinite(v) else None for v in values] for name, values in asdict(curve).items()}
