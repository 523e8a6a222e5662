"""``export``: a map's runs as one Parquet or CSV file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sciml_backend.arguments import add_map
from sciml_backend.command import Command
from sciml_backend.run import SOURCES, MapName


class Export(Command):
    """Write a map's runs to one file."""

    help = "write a map's runs to a .parquet or .csv file"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_map(parser)
        parser.add_argument("file", type=Path, help="where to, ending in .parquet or .csv")
        parser.add_argument("--source", choices=SOURCES, default="computed", help="whose values (default: computed)")

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.store.transfer import export

        rows = export(MapName.parse(args.map), args.file, source=args.source)
        return {"map": args.map, "file": str(args.file), "rows": rows}

    def text(self, result: Any) -> str:
        return f"{result['rows']} runs of {result['map']} written to {result['file']}"
