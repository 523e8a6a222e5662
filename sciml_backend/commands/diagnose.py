"""``diagnose``: measure a trained run."""

from __future__ import annotations

import argparse
import uuid
from typing import Any

from sciml_backend import paths
from sciml_backend.arguments import add_runs, add_work, out_folder, plan, setting
from sciml_backend.command import Command, say
from sciml_backend.commands._training import train
from sciml_backend.run import BadRequest


class Diagnose(Command):
    """Compute one diagnostic of one run from its stored weights; a run that is not stored is trained first."""

    help = "compute a diagnostic of one run (trained first when it is not stored)"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        add_runs(parser, many=False)
        parser.add_argument("--what", required=True, help="hessian_extremes, spectrum, landscape, solution …")
        parser.add_argument(
            "--with", dest="settings", action="append", default=[], metavar="NAME=VALUE", help="a diagnostic's setting"
        )
        add_work(parser)

    def execute(self, args: argparse.Namespace) -> Any:
        from sciml_backend import catalog, sweep
        from sciml_backend.store import spool

        diagnostic = catalog.entry("diagnostics", args.what).cls
        settings = {}
        for pair in args.settings:
            key, sign, text = pair.partition("=")
            if not sign:
                raise BadRequest(f"--with takes NAME=VALUE, got {pair!r}.")
            settings[key] = setting(text)
        diagnostic.of(settings)  # refused before anything is trained
        specs = plan(args)
        if len(specs) != 1:
            raise BadRequest(
                f"`diagnose` measures one run and this names {len(specs):,}: give --data, --seed and each coefficient "
                "one value."
            )
        spec, folder = specs[0], out_folder(args.out or paths.spool_new())
        try:
            initial, final, _ = spool.read_weights(spec.cell_id, *((folder, *spool.everywhere()) if args.out else ()))
        except BadRequest:
            say("The weights of this run are not stored; training it first.")
            (record,) = train(specs, args, folder)
            initial, final = record.theta_initial, record.theta_final
        if final is None:
            raise BadRequest(f"The run failed ({record.reason}), so there is nothing to measure.")
        artifact = sweep.diagnose(
            spec,
            args.what,
            theta_initial=initial,
            theta_final=final,
            settings=settings,
            device=args.device,
            threads=args.threads,
        )
        spool.write_artifacts([artifact], folder, batch_id=f"diagnose-{uuid.uuid4().hex}")
        return {
            "map": str(spec.map),
            "cell_id": spec.cell_id,
            "what": artifact.kind,
            "settings": dict(artifact.settings),
            "numbers": _plain(dict(artifact.numbers)),
            "arrays": _plain(dict(artifact.arrays)),
            "seconds": artifact.seconds,
        }

    def text(self, result: Any) -> str:
        width = max(len(name) for name in result["numbers"])
        found = {name: "–" if n is None else f"{n:.6g}" for name, n in result["numbers"].items()}
        lines = [f"{name:{width}}  {number}" for name, number in found.items()]
        return "\n".join([f"{result['what']} of {result['map']} ({result['seconds']:.1f} s)", *lines])


def _plain(values: Any) -> Any:
    """Nested lists with None for what is not finite; text and flags as they are."""
    if isinstance(values, dict):
        return {name: _plain(v) for name, v in values.items()}
    if isinstance(values, list):
        return [_plain(v) for v in values]
    if hasattr(values, "tolist"):
        return _plain(values.tolist())
    if isinstance(values, float) and (values != values or values in (float("inf"), float("-inf"))):
        return None
    return values
