"""``catalog``: what there is to run."""

from __future__ import annotations

import argparse
import itertools
from typing import Any

from sciml_backend.command import Command


class Catalog(Command):
    """Print the record of the catalogue."""

    help = "list families, problems, strategies, diagnostics and maps"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        pass

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.catalog_record import record

        return record()

    def text(self, result: Any) -> str:
        lines = []
        for kind in ("families", "problems", "models", "strategies", "diagnostics"):
            lines.append(kind)
            lines += [f"  {name:24}{entry['label']}" for name, entry in result[kind].items()]
        lines.append("maps (family/problem/strategy[@variant])")
        for (family, problem), maps in itertools.groupby(result["maps"], lambda m: (m["family"], m["problem"])):
            lines.append(f"  {family}/{problem}")
            lines += _of_problem(list(maps))
        lines.append("What --set and --with take is on the Methods page, and here with --json.")
        return "\n".join(lines)


def _of_problem(maps: list[dict[str, Any]]) -> list[str]:
    """The axes of a problem's maps, and its strategies by the variants that they have."""
    lines = [f"      {axis['name']}: {_values(axis)}" for axis in (maps[0]["x"], maps[0]["y"])]
    by_variants: dict[tuple[str, ...], list[str]] = {}
    for m in maps:
        by_variants.setdefault(tuple(m["variants"]), []).append(m["strategy"])
    for variants, strategies in by_variants.items():
        names = ", ".join(f"@{variant}" for variant in variants if variant)
        which = "also" if "" in variants else "only"
        lines.append(f"      {', '.join(strategies)}{f' ({which} {names})' if names else ''}")
    return lines


def _values(axis: dict[str, Any]) -> str:
    return ", ".join(axis.get("names") or [f"{value:g}" for value in axis["values"]])
