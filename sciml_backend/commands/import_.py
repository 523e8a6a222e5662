"""``import``: take in somebody's batch of results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sciml_backend.command import Command


class Import(Command):
    """Check a Parquet batch and put a copy into the spool."""

    help = "check a Parquet batch of results and hand it to the dashboard"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a batch written by this program")

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.store.transfer import import_file

        header = import_file(args.file)
        return {"file": str(args.file), "kind": header.kind, "batch_id": header.batch_id, "rows": len(header.cells)}

    def text(self, result: Any) -> str:
        return f"{result['file']}: {result['rows']} {result['kind']} taken in as batch {result['batch_id']}"
