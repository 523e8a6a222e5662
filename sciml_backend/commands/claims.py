"""``claims``: what was published of the training strategies, judged by the maps computed here."""

from __future__ import annotations

import argparse
from typing import Any

from sciml_backend.command import Command, table
from sciml_backend.run import BadRequest

STRATEGIES = ("lbfgs", "alm", "cl", "ropinn", "nncg")


class Claims(Command):
    """Judge the published claims about strategies on 1D convection by the stored maps."""

    help = "judge the published claims about training strategies by the maps computed here"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--variant", default="", help="variant of the maps, such as float64 (default: none)")
        parser.add_argument("--resamples", type=int, default=1000, help="draws behind each confidence interval")

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend import read
        from sciml_backend.regimes.claims import judged

        if args.resamples < 1:
            raise BadRequest(f"--resamples is at least 1, got {args.resamples}.")
        tail = f"@{args.variant}" if args.variant else ""
        runs = {name: read(f"pinn/convection/{name}{tail}") for name in STRATEGIES}
        return [
            {
                "claim": found.claim.identifier,
                "statement": found.claim.statement,
                "measured": found.claim.measured,
                "range": f"{found.claim.low:g} to {found.claim.high:g}",
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "judgement": found.judgement.value,
            }
            for found in judged(runs, resamples=args.resamples)
        ]

    def text(self, result: Any) -> str:
        rows = [
            {**row, "value": f"{row['value']:.3g}", "95 %": f"{row['low']:.3g} to {row['high']:.3g}"} for row in result
        ]
        return table(rows, ("claim", "statement", "measured", "range", "value", "95 %", "judgement"))
