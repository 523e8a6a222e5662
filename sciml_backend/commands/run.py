"""``run``: train one cell, always."""

from __future__ import annotations

import argparse
import uuid
from dataclasses import asdict
from math import isfinite
from typing import Any

from sciml_backend import paths
from sciml_backend.command import (
    Command,
    add_device,
    add_map,
    add_out,
    add_runs,
    in_training,
    out_folder,
    plan,
    progress_bar,
    table,
)
from sciml_backend.run import BadRequest, Curve

COLUMNS = "coefficients data seed dtype status train_loss test_error heldout_error".split()
COLUMNS += "iterations evaluations seconds".split()


class Run(Command):
    """Train one cell with one or several seeds, store the runs and print their records."""

    help = "train one cell (one or several seeds, as one batch) and print its record"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_map(parser)
        add_runs(parser, many=False)
        add_device(parser)
        add_out(parser)
        parser.add_argument("--curves", action="store_true", help="print the history of each run as well (with --json)")

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend import catalog, sweep
        from sciml_backend.store import spool

        specs = plan(args)
        cells = {(tuple(s.coefficients.items()), s.data) for s in specs}
        if args.data is None or len(cells) != 1:
            raise BadRequest(
                f"`run` trains one cell and this names {len(cells):,}: give --data one value and each coefficient "
                "one value with --set, or use `sweep`."
            )
        folder = out_folder(args.out or paths.spool_new())
        axis = catalog.problem(specs[0].problem).axis.name
        records = []
        with progress_bar(len(specs), str(specs[0].map)) as bar:
            for done in sweep.train(
                specs,
                device=args.device,
                threads=args.threads,
                batch_rows=len(specs),
                on_progress=lambda p: bar(p.done, in_training(p)),
            ):
                spool.write_runs(done, folder, batch_id=f"run-{uuid.uuid4().hex}", axis=axis)
                records += done
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
