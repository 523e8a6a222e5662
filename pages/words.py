"""What numbers mean, for people: one explanation per metric, and rows of runs as they are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sciml_backend.figures import named
from sciml_backend.run import ENDED, Status

METRICS = {
    "train_loss": "training loss: the loss on the training data, as the family's publications show it. Low means the "
    "optimiser did its work.",
    "test_error": "test error: distance to the true solution where no data were given, as the family's publications "
    "show it. 0 is exact, 1 is as bad as predicting zero.",
    "heldout_error": "held-out error: the error on data that share nothing with the training set.",
    "test_error_l1": "test error (L1): relative L1 distance on the test grid.",
    "gradient_norm": "gradient norm: the largest absolute component of the loss's gradient at the end; near zero at a "
    "stationary point.",
    "iterations": "iterations: steps of the optimiser.",
    "evaluations": "evaluations: computations of loss and gradient, line searches included; a Hessian product is two, "
    "a step on a batch the part of the data that it saw.",
    "seconds": "seconds: the run's share of its batch's time.",
    "lambda_max": "λmax: the largest eigenvalue of the loss's Hessian at the end (sharpness), where it was computed.",
}


REGIMES = {"I": "well-trained", "II": "under-trained", "III": "over-trained", "IV": "train high, test low"}
"""The four regimes by numeral."""


def metrics(names: Iterable[str], own: Mapping[str, str] | None = None) -> str:
    """The explanations of these metrics as a list in Markdown, each name in bold; a family has its ``own`` of some."""
    told = METRICS | dict(own or {})
    return "\n".join("- **{}**:{}".format(*told[name].split(":", 1)) for name in names)


def number(value: Any, *, digits: int = 3) -> str:
    """A number in a table; a dash when there is none."""
    if value is None or pd.isna(value) or not math.isfinite(value):
        return "–"
    if 100 <= abs(value) < 1e7 or (float(value).is_integer() and abs(value) < 100):
        text = f"{value:,.0f}"
    elif 1e-2 <= abs(value) < 100:
        text = f"{value:.{digits}g}"
    else:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa}·10{str(int(exponent)).translate(_RAISED)}"
    return text.replace("-", "−")


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def seed_table(runs: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """One row per seed and a row of means, as text; a mean is that of all runs that ended, or a dash."""
    ended = runs[runs["status"].isin(ENDED)]
    rows = {
        str(seed): [_outcome(status), *(number(value) for value in values)]
        for seed, status, *values in zip(runs["seed"], runs["status"], *(runs[c] for c in columns), strict=True)
    }
    if len(ended) > 1:
        means = [number(ended[c].mean(skipna=False)) for c in columns]
        rows["mean"] = [f"of {len(ended)} seeds", *means]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["outcome", *map(named, columns)])
    return table.rename_axis("seed")


def percent(share: float) -> str:
    """A share in [0, 1]; a dash when there is none."""
    return "–" if math.isnan(share) else f"{share:.0%}"


def table(rows: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Rows by name, each with its columns."""
    return pd.DataFrame.from_dict({name: dict(row) for name, row in rows.items()}, orient="index")


TITLES = {"train_loss": "Training loss", "test_error": "Test error"}
"""The metrics of a map."""
OF_METRIC = {"train_loss": "train", "test_error": "test"}
"""What thresholds and boundaries call them."""


def _outcome(status: str) -> str:
    return status.replace("_", " ")


def status_sentence(status: str) -> str:
    """What became of a run, in a sentence."""
    return Status[status.upper()].value
