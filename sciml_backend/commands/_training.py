"""Training with a bar on standard error."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def progress_bar(total: int, name: str, *, initial: int = 0) -> Iterator[Callable[[int, str], None]]:
    """A bar on standard error where that is a terminal: a function of the runs that ended and a remark."""
    try:
        from tqdm import tqdm
    except ImportError:  # computing needs torch, numpy, scipy, pandas and pyarrow alone
        yield lambda done, remark: None
        return
    with tqdm(total=total, initial=initial, unit="run", desc=name, disable=None) as bar:

        def show(done: int, remark: str) -> None:
            bar.set_postfix_str(remark, refresh=False)
            bar.update(initial + done - bar.n)

        yield show


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
