"""``bench``: how fast this is here, beside the textbook way."""

from __future__ import annotations

import argparse
from typing import Any

from sciml_backend.command import Command, table
from sciml_backend.run import BadRequest, MapName


class Bench(Command):
    """Measure the engine beside the textbook PINN, ``fno`` beside its own, the store, or what a run of a map costs."""

    help = (
        "measure the engine beside the textbook PINN, fno beside the textbook's, the store, "
        "or (cost) what a run of each map costs here"
    )

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("what", nargs="?", choices=("engine", "fno", "store", "cost"), default="engine")
        parser.add_argument("maps", nargs="*", help="the maps whose cost is measured (default: all)")
        parser.add_argument("--quick", action="store_true", help="fewer rounds and rows")
        parser.add_argument("--rows", type=int, help="runs in the store that is measured (default: 1,000,000)")

    def execute(self, args: argparse.Namespace) -> Any:
        if args.maps and args.what != "cost":
            raise BadRequest(f"Maps are named for cost alone, got bench {args.what} {' '.join(args.maps)}.")
        if args.what == "store":
            from sciml_backend.store.bench import bench_store

            rows = args.rows if args.rows is not None else 100_000 if args.quick else 1_000_000
            if rows < 1:
                raise BadRequest(f"--rows is at least 1, got {rows}.")
            return {"store": bench_store(rows, seconds=3.0 if args.quick else 20.0)}
        if args.what == "cost":
            from sciml_backend.benchmarks.cost import write

            return {"cost": write([MapName.parse(name) for name in args.maps])}
        if args.what == "fno":
            from sciml_backend.benchmarks.operators import steps

            return {"fno": steps(rounds=3 if args.quick else 9)}
        from sciml_backend.benchmarks.engine import report

        return report(quick=args.quick)

    def text(self, result: Any) -> str:
        if "store" in result:
            return table([{"what": k, "value": v} for k, v in result["store"].items()], ("what", "value"))
        if "cost" in result:
            names = ("map", "seconds_fixed", "seconds_per_point", "iterations")
            return table([{"map": name, **cost} for name, cost in result["cost"].items()], names)
        if "fno" in result:
            return table(result["fno"], tuple(result["fno"][0]))
        columns = ("data", "rows", "textbook_ms", "ours_ms", "times_faster", "gflops")
        step, run = result["iteration"], result["run"]
        return "\n".join(
            [
                f"{result['versions']}, {result['threads']} thread, kernel {result['kernel']}",
                f"matrix product: {result['matrix_product_gflops']:.0f} GFLOP/s",
                "loss and gradient per network, milliseconds:",
                table(result["gradient"], columns),
                f"L-BFGS iteration at N_f = 100: textbook {step['textbook_ms']:.2f} ms, ours {step['ours_ms']:.2f} ms "
                f"({step['times_faster']:.1f} times faster)",
                f"one cell from prompt to result: textbook {run['textbook_s']:.1f} s, ours {run['ours_s']:.1f} s "
                f"({run['times_faster']:.1f} times faster)",
            ]
        )
