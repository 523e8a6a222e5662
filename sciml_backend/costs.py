"""What runs cost: models of maps that ``bench cost`` measured, in ``costs.json`` beside the shipped results."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sciml_backend import paths
from sciml_backend.run import RunSpec


def file() -> Path:
    """Where the cost models are."""
    return paths.results() / "costs.json"


def recorded(path: Path | None = None) -> dict[str, Any]:
    """By the name of a map ``seconds_fixed``, ``seconds_per_point`` and ``iterations`` of one run on one core."""
    source = path or file()
    found: dict[str, Any] = json.loads(source.read_text()) if source.exists() else {}
    return found


def core_hours(specs: Iterable[RunSpec]) -> float | None:
    """Hours that runs take one after the other on one core; None where one is of a map that was never measured."""
    known, total = recorded(), 0.0
    for spec in specs:
        model = known.get(str(spec.map))
        if model is None:
            return None
        total += model["seconds_fixed"] + model["seconds_per_point"] * spec.data
    return total / 3600
