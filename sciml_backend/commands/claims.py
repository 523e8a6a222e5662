"""``claims``: what was published of families and training strategies, judged by the maps computed here."""

from __future__ import annotations

import argparse
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

from sciml_backend.command import Command, table
from sciml_backend.run import BadRequest

if TYPE_CHECKING:
    import pandas as pd

    from sciml_backend.regimes.claims import Finding

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
        from sciml_backend.regimes.claims import judged
        from sciml_backend.regimes.family_claims import judged_families
        from sciml_backend.store import queries
        from sciml_backend.store.connection import Store

        if args.resamples < 1:
            raise BadRequest(f"--resamples is at least 1, got {args.resamples}.")
        tail = f"@{args.variant}" if args.variant else ""
        with Store.in_memory() as store:
            names = _of_families(queries.maps(store))
            families = {family: queries.runs(store, name) for family, name in names.items()}
            strategies = {name: queries.runs(store, f"pinn/convection/{name}{tail}") for name in STRATEGIES}
        found = judged_families(families, resamples=args.resamples)
        maps = [", ".join(names[family] for family in finding.claim.needs if family in names) for finding in found]
        return [
            *(_row(finding) | {"maps": of} for finding, of in zip(found, maps, strict=True)),
            *(_row(finding) for finding in judged(strategies, resamples=args.resamples)),
        ]

    def text(self, result: Any) -> str:
        rows = [
            {
                **row,
                "value": _words(row["value"]),
                "95 %": f"{_words(row['low'])} to {_words(row['high'])}",
                "judgement": ": ".join(filter(None, [row["judgement"], ", ".join(row["missing"])])),
            }
            for row in result
        ]
        return table(rows, ("claim", "statement", "measured", "range", "value", "95 %", "judgement"))


def _of_families(maps: pd.DataFrame) -> dict[str, str]:
    """The computed map that stands for each family on the problem of Fig. 1."""
    from sciml_backend.regimes import representatives
    from sciml_backend.regimes.family_claims import PROBLEMS

    found = representatives(maps[maps["source"] == "computed"])
    rows = zip(found["family"], found["problem"], found["name"], strict=True)
    return {family: name for family, problem, name in rows if PROBLEMS.get(family) == problem}


def _row(found: Finding) -> dict[str, Any]:
    return {
        "claim": found.claim.identifier,
        "statement": found.claim.statement,
        "measured": found.claim.measured,
        "range": f"{found.claim.low:g} to {found.claim.high:g}",
        "value": _number(found.value),
        "low": _number(found.low),
        "high": _number(found.high),
        "judgement": found.judgement.value,
        "missing": list(found.missing),
    }


def _number(value: float) -> float | str | None:
    """A number for JSON, which has neither infinity nor nan."""
    return None if isnan(value) else value if isfinite(value) else str(value)


def _words(number: float | str | None) -> str:
    return "–" if number is None else f"{float(number):.3g}"
