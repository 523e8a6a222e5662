"""Records to store, and folders of one's own to store them in."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sciml_backend.run import Curve, RunRecord, RunSpec, Status
from sciml_backend.store.connection import Store

PARAMETERS = 5301


def make_record(beta: float = 5.0, data: int = 100, seed: int = 0, **changes: object) -> RunRecord:
    """A finished PINN run with weights of the real size."""
    start = np.random.default_rng(seed).standard_normal(PARAMETERS).astype("<f4").tobytes()
    end = np.random.default_rng([seed, int(beta), data]).standard_normal(PARAMETERS).astype("<f4").tobytes()
    given = {name: changes.pop(name) for name in ("settings", "dtype", "variant") if name in changes}
    spec = RunSpec(
        family="pinn",
        problem="convection",
        strategy="lbfgs",
        coefficients={"beta": beta},
        data=data,
        seed=seed,
        **given,
    )
    outcome = {"status": Status.CONVERGED, "reason": "It met its tolerance.", "train_loss": 0.01, "test_error": 0.1}
    curve = Curve([0, 20], [1, 25], [0.0, 0.5], [1.0, 0.01], [1.0, 0.1])
    return RunRecord(**{"spec": spec, "curve": curve, "theta_initial": start, "theta_final": end} | outcome | changes)


@pytest.fixture
def record() -> Callable[..., RunRecord]:
    """Make a finished run."""
    return make_record


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data folders that are empty."""
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path / "var"))
    monkeypatch.setenv("ATLAS_RESULTS", str(tmp_path / "results"))
    return tmp_path


@pytest.fixture
def store(folders: Path) -> Iterator[Store]:
    """A store of one's own that holds published values only."""
    with Store.open() as opened:
        yield opened
