"""Pages run without a browser, before stores of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages import services
from sciml_backend import paths, record
from sciml_backend.run import Artifact, Curve, RunRecord, RunSpec, Status
from sciml_backend.store import spool
from sciml_backend.store.connection import Store

WEIGHTS = np.zeros(5, "<f4").tobytes()


@pytest.fixture(scope="session")
def catalogue() -> Mapping[str, Any]:
    """What pages know of the catalogue."""
    return record.record()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalogue: Mapping[str, Any]) -> Iterator[Store]:
    """A store with published values only, given to the pages."""
    monkeypatch.setenv("ATLAS_DATA", str(tmp_path / "var"))
    monkeypatch.setenv("ATLAS_RESULTS", str(tmp_path / "results"))
    with Store.open() as opened:
        services.provide(opened, catalogue)
        yield opened


def run_record(beta: float, data: int, seed: int, **changes: Any) -> RunRecord:
    """A finished run."""
    spec = RunSpec(
        family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": beta}, data=data, seed=seed
    )
    outcome = {"status": Status.CONVERGED, "reason": "It met its tolerance.", "train_loss": 1e-5, "test_error": 0.01}
    curve = Curve([0, 20], [1, 25], [0.0, 0.5], [1.0, 1e-5], [1.0, 0.01])
    kept = {"spec": spec, "curve": curve, "theta_initial": WEIGHTS, "theta_final": WEIGHTS, "seconds": 4.0}
    return RunRecord(**kept | outcome | changes)


@pytest.fixture
def small(store: Store) -> Store:
    """Four cells: two well, one diverged, one failed; and every diagnostic of one run."""
    diverged = run_record(50, 500, 0, status=Status.DIVERGED, train_loss=None, test_error=None)
    failed = run_record(70, 500, 0, status=Status.FAILED, train_loss=None, test_error=None)
    trained = [run_record(5, n, seed) for n in (100, 1000) for seed in range(2)]
    spool.write_runs([*trained, diverged, failed], paths.spool_new(), batch_id="small:0", axis="beta")
    spool.write_artifacts(_diagnostics(trained[0].spec.cell_id), paths.spool_new(), batch_id="small:1")
    store.ingest()
    return store


def _diagnostics(cell_id: str) -> list[Artifact]:
    """One of each kind, with the settings and names that ``sciml_backend.diagnostics`` gives them."""
    settings = {name: _defaults(name) for name in KINDS}
    axis, field = np.linspace(0, 1, 5), np.ones((5, 5))
    ends = ("initial", "final")
    names = ("lambda_max", "lambda_min", "noise_floor", "negative_share", "negative_share_error")
    spectrum = {f"{name}_{end}": 0.1 for name in names for end in ends}
    curvature = {"lambda_max": 2900.0, "lambda_min": -0.1, "trace": 5000.0, "trace_error": 1.0}
    residuals = {"lambda_max_residual": 1e-9, "lambda_min_residual": 1e-9}
    return [
        Artifact(cell_id=cell_id, kind=kind, settings=settings[kind], numbers=numbers, arrays=arrays, seconds=1.0)
        for kind, numbers, arrays in (
            ("solution", {"test_error": 0.01, "largest_error": 0.1}, {"x": axis, "t": axis, "solution": field, "reference": field}),
            ("spectrum", spectrum, {"eigenvalue": axis, "density_initial": axis, "density_final": axis}),
            ("landscape", {"loss": 1e-5, "lowest": 1e-5, "highest": 9.0}, {"first": axis, "second": axis, "log10_loss": field}),
            ("hessian_extremes", curvature | residuals, {"eigenvalues": axis}),
            ("pyhessian_opinion", {"lambda_max": 2899.0, "trace": 4600.0, "trace_samples": 32.0}, {"nodes": axis}),
        )
    ]  # fmt: skip


KINDS = ("solution", "spectrum", "landscape", "hessian_extremes", "pyhessian_opinion")


def _defaults(kind: str) -> dict[str, Any]:
    from sciml_backend import catalog

    return dict(catalog.entry("diagnostics", kind).cls.defaults())


@pytest.fixture
def visit() -> Callable[..., AppTest]:
    """Open a page as its address would, without an exception."""

    def open_page(page: str = "", **address: str) -> AppTest:
        app = AppTest.from_file(str(paths.ROOT / "app.py"), default_timeout=30)
        for key, value in address.items():
            app.query_params[key] = value
        app.run()
        if page:
            app.switch_page(f"pages/{page}.py")
            for key, value in address.items():
                app.query_params[key] = value
            app.run()
        assert not app.exception, app.exception
        return app

    return open_page
