"""The command line: ``python -m sciml_backend VERB …``; each verb prints text, or JSON with ``--json``."""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import pkgutil
import sys

from sciml_backend import __version__, commands
from sciml_backend.arguments import require_text
from sciml_backend.command import Command, complain, show
from sciml_backend.run import BadRequest


def verbs() -> dict[str, Command]:
    """Every command by its verb."""
    found: dict[str, Command] = {}
    for info in pkgutil.iter_modules(commands.__path__):
        module = importlib.import_module(f"{commands.__name__}.{info.name}")
        for cls in vars(module).values():
            if inspect.isclass(cls) and issubclass(cls, Command) and cls.__module__ == module.__name__:
                found[info.name.rstrip("_")] = cls()
    return found


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="python -m sciml_backend", description="Regime maps, computed and read headless."
    )
    top.add_argument("--version", action="version", version=__version__)
    subparsers = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, command in verbs().items():
        sub = subparsers.add_parser(verb, help=command.help, description=command.help)
        command.configure(sub)
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.set_defaults(command=command)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 after a sentence on what was wrong, 130 when interrupted."""
    args = parser().parse_args(argv)
    try:
        require_text(sys.argv[1:] if argv is None else argv)
        show(args.command, args.command.execute(args), as_json=args.json)
    except BadRequest as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        print("Stopped; what was finished is kept.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
