"""``backup``: keep, list and restore what was made at run time."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sciml_backend.command import Command


class Backup(Command):
    """Back up job control and the spool now, list the backups, or put one back."""

    help = "back up job control and results now, list the backups, or restore one"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        choice = parser.add_mutually_exclusive_group()
        choice.add_argument("--list", action="store_true", help="list the backups, oldest first")
        choice.add_argument("--restore", type=Path, metavar="FOLDER", help="put this backup back (no server may run)")

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend.store import backup

        if args.list:
            return {"backups": [str(folder) for folder in backup.backups()]}
        if args.restore:
            return {"restored": str(args.restore), **asdict(backup.restore(args.restore))}
        return {"made": str(backup.back_up())}

    def text(self, result: Any) -> str:
        if "backups" in result:
            return "\n".join(result["backups"]) or "There is no backup yet."
        if "made" in result:
            return f"Backed up to {result['made']}"
        control = "put back" if result["control"] else "not in it"
        batches = f"Batches put back: {result['batches']}, already there: {result['present']}"
        damaged = f", damaged in the backup and left out: {result['damaged']}" if result["damaged"] else ""
        return f"{batches}{damaged}. Job control: {control}."
