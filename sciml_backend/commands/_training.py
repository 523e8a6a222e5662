"""Training, with its progress on standard error."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sciml_backend.command import say


@contextmanager
def progress_bar(total: int, name: str, *, initial: int = 0) -> Iterator[Callable[[int, str], None]]:
    """A function of the runs that ended and a remark: a bar on a terminal, else a line whenever runs ended."""
    try:
        from tqdm import tqdm
    except ImportError:  # computing needs torch, numpy, scipy, pandas and pyarrow alone
        tqdm = None
    if tqdm is None or not sys.stderr.isatty():
        yield _lines(total, name, initial)
        return
    with tqdm(total=total, initial=initial, unit="run", desc=name) as bar:

        def show(done: int, remark: str) -> None:
            bar.set_postfix_str(remark, refresh=False)
            bar.update(initial + done - bar.n)

        yield show


def _lines(total: int, name: str, initial: int) -> Callable[[int, str], None]:
    said = 0

    def show(done: int, remark: str) -> None:
        nonlocal said
        if done > said:
            say(f"{name}: {initial + done} of {total} runs")
            said = done

    return show


def train(specs: Sequence[Any], args: argparse.Namespace, folder: Path) -> list[Any]:
    """Train runs as one batch with a bar, into the folder, by the arguments of ``add_work``; gives back the records."""
    from sciml_backend import catalog, sweep
    from sciml_backend.store import spool

    axis = catalog.problem(specs[0].problem).axis.name
    records: list[Any] = []
    with progress_bar(len(specs), str(specs[0].map)) as bar:
        for done in sweep.train(
            specs,
            device=args.device,
            threads=args.threads,
            batch_rows=len(specs),
            on_progress=lambda p: bar(p.done, _in_training(p.training)),
        ):
            spool.write_runs(done, folder, batch_id=f"run-{uuid.uuid4().hex}", axis=axis)
            records += done
    return records


def _in_training(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    return f"iteration {rows[0]['iteration']}, loss {min(row['train_loss'] for row in rows):.2e}"
