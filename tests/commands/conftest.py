"""Stored runs for the commands that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sciml_backend.run import MapName, RunRecord, RunSpec, Status


def ended(name: str, coefficients: dict[str, float], data: int, seed: int, value: float, **outcome: Any) -> RunRecord:
    """A run that ended with this value as both metrics."""
    of = MapName.parse(name)
    spec = RunSpec(
        family=of.family,
        problem=of.problem,
        strategy=of.strategy,
        coefficients=coefficients,
        data=data,
        seed=seed,
    )
    outcome = {"train_loss": value, "test_error": value, "evaluations": 25, "seconds": 1.0, **outcome}
    kept = {"theta_initial": bytes(4), "theta_final": bytes(4)}
    return RunRecord(spec=spec, status=Status.CONVERGED, reason="It met its tolerance.", **outcome, **kept)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the commands take for all results there are."""
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path / "var"))
    monkeypatch.setenv("ATLAS_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"
