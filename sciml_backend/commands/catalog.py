"""``catalog``: what there is to run."""

from __future__ import annotations

import argparse
from typing import Any

from sciml_backend.command import Command


class Catalog(Command):
    """Print the record of the catalogue."""

    help = "list families, problems, strategies, diagnostics and maps"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        pass

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.record import record

        return record()

    def text(self, result: Any) -> str:
        lines = []
        for kind in ("families", "problems", "models", "strategies", "diagnostics"):
            lines.append(kind)
            lines += [f"  {name:24}{entry['label']}" for name, entry in result[kind].items()]
        lines.append("maps (family/problem/strategy[@variant])")
        for m in result["maps"]:
            x = ", ".join(f"{v:g}" for v in m["x"]["values"])
            y = ", ".join(f"{v:g}" for v in m["y"]["values"])
            lines.append(f"  {m['family']}/{m['problem']}/{m['strategy']}")
            lines.append(f"      {m['x']['name']}: {x}")
            lines.append(f"      {m['y']['name']}: {y}")
        return "\n".join(lines)
