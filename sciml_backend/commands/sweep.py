"""``sweep``: train the cells of a map that do not exist yet."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from sciml_backend import paths
from sciml_backend.arguments import add_runs, add_work, out_folder, plan
from sciml_backend.command import Command, say
from sciml_backend.commands._training import progress_bar
from sciml_backend.costs import core_hours
from sciml_backend.run import BadRequest, RunRecord, RunSpec

Work = tuple[list[RunSpec], str, int, bool]
"""A batch, the device, its threads, and whether weights are kept."""


class Sweep(Command):
    """Train what is missing of a map, batch by batch; each batch is stored as it ends, so a stopped sweep resumes."""

    help = "train the missing cells of a map; resumable"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_runs(parser, many=True)
        add_work(parser)
        parser.add_argument("--workers", type=int, default=1, help="processes that train side by side (default 1)")
        parser.add_argument("--dry-run", action="store_true", help="say what is missing and its cost; train nothing")
        parser.add_argument(
            "--no-weights", action="store_true", help="do not keep weights; a diagnostic then trains its run anew"
        )

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend import catalog
        from sciml_backend.engine.batches import batches
        from sciml_backend.store import spool

        if args.workers < 1:
            raise BadRequest(f"--workers is at least 1, got {args.workers}.")
        specs = plan(args)
        folder = args.out / Path(str(specs[0].map)) if args.out else paths.spool_new()
        known = spool.existing_cells(*([folder] if args.out else []))
        missing = [s for s in specs if s.cell_id not in known]
        result: dict[str, Any] = {
            "map": str(specs[0].map),
            "runs": len(specs),
            "existed": len(specs) - len(missing),
            "core_hours": core_hours(missing),
        }
        if args.dry_run:
            return result
        out_folder(folder)
        say(self._plan(result))
        axis = catalog.problem(specs[0].problem).axis.name
        cut = batches(missing, device=args.device)
        work = [(batch, args.device, args.threads, not args.no_weights) for batch in cut]
        counts: Counter[str] = Counter()
        with progress_bar(len(specs), result["map"], initial=result["existed"]) as bar:
            for records in _trained(work, workers=args.workers):
                spool.write_runs(records, folder, batch_id=f"sweep-{uuid.uuid4().hex}", axis=axis)
                counts.update(r.status.name.lower() for r in records)
                bar(counts.total(), "")
        return result | {"trained": counts.total(), "statuses": dict(counts), "folder": str(folder)}

    def text(self, result: Any) -> str:
        if "trained" not in result:
            return self._plan(result)
        statuses = ", ".join(f"{n} {s}" for s, n in result["statuses"].items()) or "none"
        return (
            f"{result['map']}: {result['runs']} runs, {result['existed']} existed, {result['trained']} trained "
            f"({statuses}) into {result['folder']}"
        )

    @staticmethod
    def _plan(result: dict[str, Any]) -> str:
        """What will be trained and what it costs, as far as that was measured."""
        missing, hours = result["runs"] - result["existed"], result["core_hours"]
        cost = ", not in costs.json (bench cost times it)"
        if hours is not None:
            cost = f", some {hours:.2g} core-hours by costs.json" if hours < 100 else f", some {hours:,.0f} core-hours"
        return f"{result['map']}: {result['runs']} runs, {missing} to train{cost if missing else ''}."


def _trained(work: list[Work], *, workers: int) -> Iterator[list[RunRecord]]:
    """The records of each batch as it ends; when something ends them all, also those of runs that had ended by then."""
    if workers == 1 or len(work) <= 1:
        for batch in work:
            yield from _train(batch)
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(work)), mp_context=spawn, initializer=_as_worker)
    left = {pool.submit(_all, batch) for batch in work}
    try:
        for future in as_completed(tuple(left)):
            left.discard(future)
            yield future.result()
    except (KeyboardInterrupt, Exception) as end:
        _stop_workers()
        pool.shutdown(cancel_futures=True)
        yield from (f.result() for f in left if not f.cancelled() and f.exception() is None)
        if isinstance(end, BrokenProcessPool):
            raise BadRequest(
                "A worker was killed (out of memory, perhaps); the batches that had ended are kept: go on with fewer "
                "--workers."
            ) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


STOP = signal.SIGUSR1
"""What interrupts a worker's training: Ctrl-C reaches idle ones too, which would die of it and break the pool."""


def _as_worker() -> None:
    for number in (signal.SIGINT, STOP):
        signal.signal(number, signal.SIG_IGN)


def _stop_workers() -> None:
    for child in multiprocessing.active_children():
        if child.pid is not None and child.is_alive():
            os.kill(child.pid, STOP)


def _train(work: Work) -> Iterator[list[RunRecord]]:
    from sciml_backend import sweep

    batch, device, threads, keep = work
    return sweep.train(batch, device=device, threads=threads, keep_weights=keep)


def _all(work: Work) -> list[RunRecord]:
    """All records of a batch, or those of the runs that had ended when it was stopped."""
    found: list[RunRecord] = []
    signal.signal(STOP, signal.default_int_handler)
    try:
        for records in _train(work):
            found += records
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(STOP, signal.SIG_IGN)
    return found
