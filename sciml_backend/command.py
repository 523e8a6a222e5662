"""Command: a verb of the command line. The same verbs as the pages', headless."""

from __future__ import annotations

import argparse
import json
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sciml_backend.run import BadRequest

if TYPE_CHECKING:
    import pandas as pd


class Command(ABC):
    """``execute`` does the work and gives back what ``--json`` prints; ``text`` says the same for a person."""

    help: ClassVar[str]

    @abstractmethod
    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    @abstractmethod
    def execute(self, args: argparse.Namespace) -> Any:
        """Do it; raises BadRequest with one sentence for the person who asked."""

    @abstractmethod
    def text(self, result: Any) -> str:
        """The result as lines for a terminal."""


def complain(problem: BadRequest) -> None:
    """Print the sentence on standard error, on one line whatever was typed: what cannot be printed is escaped."""
    print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(problem)), file=sys.stderr)


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as plain JSON, None where there is no finite number."""
    found = frame.astype(object).to_dict("records")
    return [{str(key): plain(value) for key, value in row.items()} for row in found]


def plain(value: Any) -> Any:
    """A number or text as JSON has it, None where it is no finite number."""
    if isinstance(value, str | bool):
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if isinstance(value, int) else number


def table(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> str:
    """Rows as aligned columns."""
    lines = [list(columns), *[[_cell(row.get(c)) for c in columns] for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return " ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in value.items())
    return str(value)


def show(command: Command, result: Any, *, as_json: bool) -> None:
    """Print a result, as JSON without NaN or as text."""
    print(json.dumps(result, allow_nan=False, ensure_ascii=False) if as_json else command.text(result))


def say(sentence: str) -> None:
    """A remark that is not the result: to standard error."""
    print(sentence, file=sys.stderr)
