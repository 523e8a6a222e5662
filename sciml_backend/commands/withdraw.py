"""``withdraw``: take a run out of the maps, with a reason, and keep it on record."""

from __future__ import annotations

import argparse
import getpass
import json
from dataclasses import asdict
from typing import Any

from sciml_backend.command import Command, table
from sciml_backend.run import BadRequest

COLUMNS = ("cell_id", "withdrawn_at", "withdrawn_by", "reason", "map", "x", "y", "seed", "train_loss", "test_error")


class Withdraw(Command):
    """Withdraw the run of a cell, or list what was withdrawn."""

    help = "withdraw a run, with a reason: it stays on record, counts nowhere and can be trained again"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("cell_id", nargs="?", help="the run's cell_id, as `run --json` and `export` give it")
        parser.add_argument("--reason", default="", help="why, in a sentence")
        parser.add_argument("--by", metavar="NAME", help="who says so (default: the name of this user)")
        parser.add_argument("--list", action="store_true", help="list what was withdrawn")

    def execute(self, args: argparse.Namespace) -> Any:
        if args.list == (args.cell_id is not None):
            raise BadRequest("Name the cell_id of one run, or give --list.")
        if args.list:
            from sciml_backend.store import queries
            from sciml_backend.store.connection import Store

            with Store.in_memory() as store:
                return {"withdrawals": json.loads(queries.withdrawals(store).to_json(orient="records"))}
        from sciml_backend.store.withdrawal import withdraw

        by = _user() if args.by is None else args.by
        return asdict(withdraw(args.cell_id, reason=args.reason, by=by))

    def text(self, result: Any) -> str:
        if "withdrawals" in result:
            return table(result["withdrawals"], COLUMNS) if result["withdrawals"] else "Nothing was withdrawn."
        return (
            f"The run of cell {result['cell_id']} is withdrawn by {result['withdrawn_by']}: {result['reason']}\n"
            "It stays on record; the cell counts as missing."
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
