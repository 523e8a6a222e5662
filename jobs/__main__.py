"""The command line of the queue: ``python -m jobs VERB``; ``--help`` names the verbs."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from jobs import queue
from jobs.job import JobInfo, Usage
from sciml_backend.arguments import add_runs, plan, require_text
from sciml_backend.command import complain
from sciml_backend.run import BadRequest

LARGEST = 10**9
"""Beyond it no number on the command line makes sense, nor would the control store hold much larger ones."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 2 after a request that cannot be carried out."""
    asked = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = asked.command
    try:
        require_text(sys.argv[1:] if arguments is None else arguments)
        command(asked)
    except BadRequest as problem:
        complain(problem)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jobs", description="Background work: train cells, examine them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("--json", action="store_true", help="print JSON")
        made.set_defaults(command=command)
        return made

    add("list", _list, "Show jobs: active ones first, then the newest.").add_argument(
        "--limit", type=_whole, default=50
    )
    _describe_submit(add("submit", _submit, "Queue cells for training, or a diagnostic of trained cells."))
    add("cancel", _cancel, "Stop a job; what it finished stays.").add_argument("job_id")
    add("retry", _retry, "Try a job now that waits for its next try.").add_argument("job_id")
    add("requeue", _requeue, "Queue a dead or cancelled job again.").add_argument("job_id")
    priority = add("priority", _priority, "Serve a job before or after others.")
    priority.add_argument("job_id")
    priority.add_argument("priority", type=_whole, help="higher goes first; jobs start with 0")
    add("usage", _usage, "Show what everyone's jobs took, by kind of device.")
    logs = add("logs", _logs, "Show the end of a job's log.")
    logs.add_argument("job_id")
    logs.add_argument("--lines", type=_whole, default=50)
    add("bench", _bench, "Measure how fast jobs start, stop and are listed here.")
    work = add("work", _work, "Dispatch jobs from here, without a server, until interrupted.")
    work.add_argument("--until-done", action="store_true", help="end when no job is left")
    return parser


def _describe_submit(parser: argparse.ArgumentParser) -> None:
    add_runs(parser, many=True)
    parser.add_argument("--device", help="cpu, cuda or cuda:N")
    parser.add_argument("--what", metavar="DIAGNOSTIC", help="examine the trained cells instead of training")
    parser.add_argument("--priority", type=_whole, default=0, help="higher goes first")
    parser.add_argument("--by", default="", help="who asks")


def _whole(text: str) -> int:
    number = int(text)
    if abs(number) > LARGEST:
        raise argparse.ArgumentTypeError(f"a whole number between -{LARGEST:,} and {LARGEST:,} is wanted, got {text}")
    return number


_whole.__name__ = "whole number"  # as argparse calls it


def _list(asked: argparse.Namespace) -> None:
    jobs = queue.jobs(limit=asked.limit)
    if asked.json:
        print(json.dumps([job.to_json() for job in jobs], indent=2))
        return
    print("\n".join(map(_line, jobs)) if jobs else "No jobs yet; `python -m jobs submit MAP` queues one.")
    if paused := queue.paused():
        print(paused)


def _submit(asked: argparse.Namespace) -> None:
    from sciml_backend import catalog
    from sciml_backend.store import spool

    cells = plan(asked)
    common = {"device": asked.device, "requested_by": asked.by, "priority": asked.priority}
    if asked.what:
        catalog.entry("diagnostics", asked.what)
        jobs = [queue.submit_diagnostic(cell, asked.what, **common) for cell in cells]
    else:
        stored = spool.existing_cells()
        missing = [cell for cell in cells if cell.cell_id not in stored]
        if len(missing) < len(cells):
            print(f"{len(cells) - len(missing):,} of {len(cells):,} runs are stored already.", file=sys.stderr)
        jobs = [queue.submit_training(missing, **common)] if missing else []
    _print(jobs, asked)
    if jobs and queue.dispatcher_pid() is None:
        print("Nobody dispatches jobs now; start the server or `python -m jobs work`.", file=sys.stderr)


def _cancel(asked: argparse.Namespace) -> None:
    _print([queue.cancel(asked.job_id)], asked)


def _retry(asked: argparse.Namespace) -> None:
    _print([queue.retry(asked.job_id)], asked)


def _requeue(asked: argparse.Namespace) -> None:
    _print([queue.requeue(asked.job_id)], asked)


def _priority(asked: argparse.Namespace) -> None:
    _print([queue.prioritise(asked.job_id, asked.priority)], asked)


def _usage(asked: argparse.Namespace) -> None:
    rows = queue.usage()
    if asked.json:
        print(json.dumps([row.to_json() for row in rows], indent=2))
        return
    for row in rows:
        print(f"{_time(row.seconds):>10}  {row.device:<5}  {row.jobs:>5} jobs  {row.runs:>6} runs  {_who(row)}")
    if not rows:
        print("No jobs yet.")


def _logs(asked: argparse.Namespace) -> None:
    text = queue.log_tail(asked.job_id, asked.lines)
    print(json.dumps({"job_id": asked.job_id, "log": text}) if asked.json else text)


def _work(asked: argparse.Namespace) -> None:
    from jobs.dispatcher import start_dispatcher

    stop = threading.Event()

    def stop_on(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    dispatcher = start_dispatcher()
    signal.signal(signal.SIGTERM, stop_on)
    signal.signal(signal.SIGINT, stop_on)
    try:
        _watch(asked, stop, idle=dispatcher.idle)
    finally:
        dispatcher.stop()


def _bench(asked: argparse.Namespace) -> None:
    from jobs.bench import bench_jobs

    figures = bench_jobs()
    text = "\n".join(f"{name:<32} {value:9.3g}" for name, value in figures.items())
    print(json.dumps(figures, indent=2) if asked.json else text)


def _watch(asked: argparse.Namespace, stop: threading.Event, *, idle: Callable[[], bool]) -> None:
    """Print every change until stopped or, where asked for, until no job is left."""
    shown = {job.job_id: (job.state, job.n_done) for job in queue.jobs() if not job.state.active}
    while True:
        last = asked.until_done and idle()
        for job in queue.jobs():
            if shown.get(job.job_id) != (job.state, job.n_done):
                shown[job.job_id] = (job.state, job.n_done)
                _print([job], asked)
        if last or stop.wait(0.5):
            return


def _print(jobs: Sequence[JobInfo], asked: argparse.Namespace) -> None:
    for job in jobs:
        print(json.dumps(job.to_json()) if asked.json else _line(job), flush=True)


def _line(job: JobInfo) -> str:
    what = " ".join([job.spec.get("diagnostic", job.kind), *job.spec.get("maps", [])])
    device = job.device or job.spec.get("device", "")
    how_far = f"{job.n_done:>4}/{job.n_cells:<4}"
    line = f"{job.job_id}  {job.state:<10}  {how_far}  {device:<8}  {_time(job.spent):>8}  {_who(job)}  {what}"
    return f"{line}  {job.error_text}" if job.error_text else line


def _who(asked: JobInfo | Usage) -> str:
    return asked.requested_by or "-"


def _time(seconds: float) -> str:
    """Hours, minutes, seconds on devices."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


if __name__ == "__main__":
    sys.exit(main())
