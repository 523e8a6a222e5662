"""What commands ask for, as arguments of theirs, and what these mean."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml_backend.run import BadRequest, MapName, Setting, defaults

if TYPE_CHECKING:
    from sciml_backend.problem import Coefficient
    from sciml_backend.regimes import Footing, Thresholds
    from sciml_backend.store.connection import Store


def require_text(words: Sequence[str]) -> None:
    """Raise BadRequest when a word of a command line is not text: it could be neither stored nor printed."""
    if strange := [word for word in words if not word.isascii() and word.encode(errors="ignore").decode() != word]:
        raise BadRequest(f"The command line holds bytes that are not UTF-8, in {ascii(strange[0])}; write it in UTF-8.")


def add_map(parser: argparse.ArgumentParser) -> None:
    """The positional name of a map."""
    parser.add_argument("map", help="family/problem/strategy[@variant], e.g. pinn/convection/lbfgs")


def add_runs(parser: argparse.ArgumentParser, *, many: bool) -> None:
    """A map and which of its runs: coefficients, settings, data, seeds and precision; lists where ``many``."""
    add_map(parser)
    values = "V[,V…]" if many else "V"
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar=f"NAME={values}",
        help="a coefficient of the problem, or a setting of the model or the strategy",
    )
    parser.add_argument("--data", metavar="N[,N…]" if many else "N", help="amount of data (N_f for PINNs)")
    parser.add_argument("--seed", type=int, default=None, help="seed of the initial weights (default 0)")
    parser.add_argument("--seeds", metavar="S,S…", help="several seeds, trained as one batch")
    parser.add_argument("--data-seed", type=int, default=0, help="seed of the collocation points (default 0)")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="precision (default: the map's)")


def numbers(text: str | None, *, what: str, whole: bool = False) -> list[Any] | None:
    """``"5,10"`` as numbers, None as None; raises BadRequest when they are none."""
    if text is None:
        return None
    try:
        return [int(part) if whole else float(part) for part in text.split(",")]
    except ValueError:
        kind = "whole numbers" if whole else "numbers"
        raise BadRequest(f"{what} takes {kind} separated by commas, got {text!r}.") from None


def seeds(args: argparse.Namespace) -> list[int]:
    """--seeds, else --seed, else 0; raises BadRequest when both are given."""
    if args.seeds is not None and args.seed is not None:
        raise BadRequest("Give --seed for one run or --seeds for several, not both.")
    if args.seeds is not None:
        return numbers(args.seeds, what="--seeds", whole=True) or [0]
    return [args.seed if args.seed is not None else 0]


def plan(args: argparse.Namespace) -> list[Any]:
    """The runs that the arguments of ``add_runs`` ask for."""
    from sciml_backend import catalog, sweep

    name = MapName.parse(args.map)
    axes = {c.name: c for c in catalog.problem(name.problem).coefficients}
    of_models = defaults(catalog.model(catalog.family(name.family)))
    coefficients: dict[str, Sequence[float]] = {}
    of_model: dict[str, Setting] = {}
    of_strategy: dict[str, Setting] = {}
    for pair in args.set:
        key, sign, text = pair.partition("=")
        if not sign:
            raise BadRequest(f"--set takes NAME=VALUE, got {pair!r}.")
        if key in axes:
            coefficients[key] = _values(axes[key], text)
        elif key in of_models:
            of_model[key] = setting(text)
        else:
            of_strategy[key] = setting(text)
    return sweep.plan(
        name,
        coefficients=coefficients,
        data=numbers(args.data, what="--data", whole=True),
        seeds=seeds(args),
        data_seed=args.data_seed,
        dtype=args.dtype,
        model=of_model,
        settings=of_strategy,
    )


def _values(coefficient: Coefficient, text: str) -> list[float]:
    """Values of a coefficient, by number or by name; raises BadRequest when they are none."""
    called = dict(zip(coefficient.names, coefficient.axis, strict=False))
    try:
        return [called[part] if part in called else float(part) for part in text.split(",")]
    except ValueError:
        names = f", or {', '.join(called)}" if called else ""
        raise BadRequest(f"--set {coefficient.name} takes numbers separated by commas{names}, got {text!r}.") from None


def setting(text: str) -> Setting:
    """A setting's value: true, false, a whole number, a number, else the text itself."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def add_thresholds(parser: argparse.ArgumentParser) -> None:
    """Where low ends on a map, and the perturbation of that."""
    parser.add_argument(
        "--rule",
        choices=("range", "percentile", "absolute"),
        help="how thresholds follow from the values (default: range; of the published map until ours is full)",
    )
    parser.add_argument("--train", type=float, help="the rule's value for the training loss (range: 0.30)")
    parser.add_argument("--test", type=float, help="the rule's value for the test error (range: 0.30)")
    parser.add_argument("--perturbation", type=float, default=0.2, help="relative size of the outer levels (0.2)")


def thresholds(args: argparse.Namespace) -> Thresholds:
    """The rules that the arguments of ``add_thresholds`` ask for, else those a page starts with."""
    from sciml_backend.regimes import Threshold, Thresholds

    given = {"train": args.train, "test": args.test}
    rule = args.rule or "range"
    if rule == "absolute" and None in given.values():
        raise BadRequest("The rule absolute needs both thresholds: give --train and --test.")
    default = {"range": 0.30, "percentile": 50.0}.get(rule, 0.0)
    train, test = (Threshold(rule=rule, value=default if v is None else v) for v in given.values())
    return Thresholds(train=train, test=test)


def footing_of(store: Store, name: MapName, asked: Thresholds, *, source: str) -> Footing:
    """What the thresholds of a map rest on, with its plan where the catalogue has one; published maps are full."""
    from sciml_backend import catalog
    from sciml_backend.plan import axes_of
    from sciml_backend.regimes import Footing, footing
    from sciml_backend.store import queries

    if source != "computed":
        return Footing(asked)
    grid = queries.regime_grid(store, name)
    published = queries.regime_grid(store, name.plain, source="published")
    if name.problem not in catalog.entries("problems"):
        return footing(grid, asked, published=published)
    axes = axes_of(name)
    return footing(grid, asked, xs=axes.x, ys=axes.y, published=published)


def add_work(parser: argparse.ArgumentParser) -> None:
    """Where to compute, and where the Parquet batches go."""
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default 1)")
    parser.add_argument("--out", type=Path, help="folder for the Parquet batches (default: the spool of the dashboard)")


def out_folder(folder: Path) -> Path:
    """The folder, made if need be; raises BadRequest, before anything is computed, when results cannot go there."""
    from sciml_backend.store.spool import require_space

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(f"Results cannot go to {folder}: {error.strerror}; name another folder with --out.") from None
    if not os.access(folder, os.W_OK):
        raise BadRequest(f"Results cannot go to {folder}: it is not writable; name another folder with --out.")
    require_space(folder)
    return folder
