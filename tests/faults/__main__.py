"""``python -m tests.faults [--times N] [ROW …]``: run the fault programme and print a table of what held."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.inputs import INPUTS
from tests.faults.rows import ROWS
from tests.faults.world import Impossible, World

TIMES = 60
"""Faults in each row of the long version."""

INPUTS_OF_A_KIND = 1000
"""Generated inputs of each kind."""


def main() -> int:
    """Run the rows; the exit code is 1 when something was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--times", type=int, default=TIMES, help=f"faults in each row (default: {TIMES})")
    parser.add_argument("--inputs", type=int, default=INPUTS_OF_A_KIND, help="generated inputs of each kind")
    parser.add_argument("row", nargs="*", help="words of the titles of the rows to run (default: all)")
    asked = parser.parse_args()
    print(f"{'fault':<66} {'times':>5} {'cells':>6} {'lost':>5} {'twice':>5} {'jobs lost':>9} {'orphans':>7} "
          f"{'tracebacks':>10} {'seconds':>7}")  # fmt: skip
    sound = True
    for title, act in ROWS.items():
        if asked.row and not any(word in title for word in asked.row):
            continue
        with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
            start = time.monotonic()
            try:
                times = act(world, asked.times)
            except Impossible as reason:
                print(f"{title:<66} skipped: {reason}", flush=True)
                continue
            audit = world.audit()
            seconds = time.monotonic() - start
            print(f"{title:<66} {times:>5} {audit.wanted:>6} {audit.lost:>5} {audit.twice:>5} {audit.jobs_lost:>9} "
                  f"{audit.orphans:>7} {audit.tracebacks:>10} {seconds:>7.0f}", flush=True)  # fmt: skip
            sound &= audit.ok
    for kind, generate in INPUTS.items():
        title = f"generated {kind}: answered wrongly"
        if asked.row and not any(word in title for word in asked.row):
            continue
        with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
            start = time.monotonic()
            tried, problems = generate(world, asked.inputs)
            seconds = time.monotonic() - start
            print(
                f"{title:<66} {tried:>5} {len(problems):>6} {'':>34} {seconds:>7.0f}",
                *(f"  {problem[:120]} … {problem[-240:]}" for problem in problems),
                sep="\n",
                flush=True,
            )
            sound &= not problems
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
