"""Pages run without a browser, before stores of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages import services
from sciml_backend import catalog_record, paths
from sciml_backend.run import Artifact, Curve, RunRecord, RunSpec, Status
from sciml_backend.store import spool
from sciml_backend.store.connection import Store

WEIGHTS = np.zeros(5, "<f4").tobytes()


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What pages know of the catalogue, where no run's cost was measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLAS_RESULTS", str(tmp_path_factory.mktemp("nothing")))
        return catalog_record.record()


def opened(folder: Path, records: Sequence[RunRecord] = (), found: Sequence[Artifact] = ()) -> Iterator[Store]:
    """A store with these runs, beside the published values; its folders are the environment's only while it opens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLAS_DATA", str(folder / "var"))
        patch.setenv("ATLAS_RESULTS", str(folder / "results"))
        for problem, axis in {r.spec.problem: next(iter(r.spec.coefficients)) for r in records}.items():
            runs = [r for r in records if r.spec.problem == problem]
            spool.write_runs(runs, paths.spool_new(), batch_id=f"small:{problem}", axis=axis)
        if found:
            spool.write_artifacts(found, paths.spool_new(), batch_id="small:1")
        store = Store.open()
    with store:
        yield store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Store]]:
    folder = tmp_path_factory.mktemp("empty")
    for store in opened(folder):
        yield folder, store


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Store]]:
    folder = tmp_path_factory.mktemp("small")
    diverged = run_record(50, 500, 0, status=Status.DIVERGED, train_loss=None, test_error=None)
    failed = run_record(70, 500, 0, status=Status.FAILED, train_loss=None, test_error=None)
    trained = [run_record(5, n, seed) for n in (100, 1000) for seed in range(2)]
    for store in opened(folder, [*trained, diverged, failed], _diagnostics(trained[0].spec.cell_id)):
        yield folder, store


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, catalogue: Mapping[str, Any]) -> Callable[[Path, Store], Store]:
    """Give a store to the pages, with an empty queue."""

    def give(folder: Path, store: Store) -> Store:
        monkeypatch.setenv("ATLAS_DATA", str(folder / "var"))
        monkeypatch.setenv("ATLAS_RESULTS", str(folder / "results"))
        for part in paths.var().glob("control.sqlite*"):
            part.unlink()
        services.provide(store, catalogue)
        return store

    return give


@pytest.fixture
def store(empty_store: tuple[Path, Store], given: Callable[[Path, Store], Store]) -> Store:
    """Published values only."""
    return given(*empty_store)


@pytest.fixture
def small(small_store: tuple[Path, Store], given: Callable[[Path, Store], Store]) -> Store:
    """Four cells: two well, one diverged, one failed; and every diagnostic of one run."""
    return given(*small_store)


@pytest.fixture
def own_store(tmp_path: Path, given: Callable[[Path, Store], Store]) -> Iterator[Store]:
    """A store for one test, which may write into it."""
    for store in opened(tmp_path):
        yield given(tmp_path, store)


def run_record(beta: float, data: int, seed: int, **changes: Any) -> RunRecord:
    """A finished run."""
    spec = RunSpec(
        family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": beta}, data=data, seed=seed
    )
    outcome = {"status": Status.CONVERGED, "reason": "It met its tolerance.", "train_loss": 1e-5, "test_error": 0.01}
    curve = Curve([0, 20], [1, 25], [0.0, 0.5], [1.0, 1e-5], [1.0, 0.01])
    kept = {"spec": spec, "curve": curve, "theta_initial": WEIGHTS, "theta_final": WEIGHTS}
    kept |= {"seconds": 4.0, "iterations": 2900}
    return RunRecord(**kept | outcome | changes)


def _diagnostics(cell_id: str) -> list[Artifact]:
    """One of each kind, with the settings and names that ``sciml_backend.diagnostics`` gives them."""
    settings = {name: _defaults(name) for name in KINDS}
    axis, field = np.linspace(0, 1, 5), np.ones((5, 5))
    fields = {"x": axis, "t": axis, "solution": field, "reference": field}
    plane = {"first": axis, "second": axis, "log10_loss": field}
    ends = ("initial", "final")
    names = ("lambda_max", "lambda_min", "noise_floor", "negative_share", "negative_share_error")
    spectrum = {f"{name}_{end}": 0.1 for name in names for end in ends}
    curvature = {"lambda_max": 2900.0, "lambda_min": -0.1, "trace": 5000.0, "trace_error": 1.0}
    way = {"lambda_max_initial": 1.0, "lambda_max_final": 2.0, "lambda_max_highest": 3.0, "reproduced": 0.0}
    names = ("lambda_max", "lambda_least", "floor", "condition", "rank", "effective_rank", "trace")
    kernel = {f"{name}_{end}": 2.0 for name in names for end in ends} | {"drift": 0.3, "residuals": 5.0}
    point = {"positive": 3.0, "vanishing": 0.0, "negative": 3.0, "floor": 1e-8, "gradient_norm": 1e-9}
    point |= {"output": 1e-3, "reachable": 1e-6}
    residuals = {"lambda_max_residual": 1e-9, "lambda_min_residual": 1e-9}
    return [
        Artifact(cell_id=cell_id, kind=kind, settings=settings[kind], numbers=numbers, arrays=arrays, seconds=1.0)
        for kind, numbers, arrays in (
            ("solution", {"test_error": 0.01, "largest_error": 0.1}, fields),
            ("spectrum", spectrum, {"eigenvalue": axis, "density_initial": axis, "density_final": axis}),
            ("landscape", {"loss": 1e-5, "lowest": 1e-5, "highest": 9.0}, plane),
            ("hessian_extremes", curvature | residuals, {"eigenvalues": axis}),
            ("sharpening", way, {name: axis for name in ("iteration", "lambda_max", "residual", "train_loss")}),
            ("stationary_point", point, {"eigenvalues": np.linspace(-1, 1, 6)}),
            ("ntk", kernel, {f"eigenvalues_{end}": axis for end in ends}),
            ("basin_jumps", {"alpha": 2.0, "median_length": 0.1, "longest": 3.0}, {"length": axis, "loss": axis}),
            ("pyhessian_opinion", {"lambda_max": 2899.0, "trace": 4600.0, "trace_samples": 32.0}, {"nodes": axis}),
        )
    ]  # fmt: skip


KINDS = (
    *("solution", "spectrum", "landscape", "hessian_extremes", "stationary_point"),
    *("sharpening", "ntk", "basin_jumps", "pyhessian_opinion"),
)


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
