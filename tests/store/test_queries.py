"""Answers mix neither sources, nor set-ups, nor versions, nor failures with values."""

import concurrent.futures
import subprocess
import sys

import numpy as np
import pytest

import sciml_backend
from sciml_backend import paths, run
from sciml_backend.run import BadRequest, MapName, Status
from sciml_backend.store import check, published, queries, spool, transfer

MAP = MapName.parse("pinn/convection/lbfgs")
FLOAT64 = MapName.parse("pinn/convection/lbfgs@float64")


@pytest.fixture
def deliver(store):
    def put(records, batch_id):
        spool.write_runs(records, paths.spool_new(), batch_id=batch_id, axis="beta")
        store.ingest()

    return put


def test_cells_average_the_finite_seeds_that_ended(store, record, deliver):
    diverged = record(5, seed=2, status=Status.DIVERGED, train_loss=1e9, test_error=None)
    failed = record(5, seed=3, status=Status.FAILED, train_loss=None, test_error=None)
    spent = record(5, seed=1, status=Status.BUDGET_SPENT, train_loss=0.03, test_error=0.3)
    deliver([record(5), spent, diverged, failed, record(6)], "job:0")
    grid = queries.regime_grid(store, MAP)
    assert grid["x"].tolist() == [5.0, 6.0]
    assert grid["train_loss"].tolist() == pytest.approx([0.02, 0.01])
    assert grid["test_error"].tolist() == pytest.approx([0.2, 0.1])
    assert grid[["n_seeds", "n_diverged", "n_failed"]].values.tolist() == [[2, 1, 1], [1, 0, 0]]


def test_computed_and_published_values_stand_apart(store, record, deliver):
    deliver([record(5)], "job:0")
    assert len(queries.regime_grid(store, MAP)) == 1
    grid = queries.regime_grid(store, MAP, source="published")
    assert len(grid) == 144 and grid["n_seeds"].isna().all()
    assert set(queries.maps(store).query("problem == 'convection'")["source"]) == {"computed", "published"}


def test_published_cells_equal_the_table(store):
    table = published.readings()
    table = table[(table["name"] == str(MAP)) & (table["metric"] == "test_error")].sort_values(["x", "y"])
    np.testing.assert_array_equal(queries.regime_grid(store, MAP, source="published")["test_error"], table["value"])
    values = queries.published_values(store, MAP)
    assert len(values) == 288 and set(values["censored"]) == {"", "below_vmin", "above_vmax"}
    runs = queries.runs(store, MAP, source="published")
    assert runs["seed"].isna().all() and set(runs["status"]) == {"reported"}


def test_published_cells_of_the_neural_operator_are_those_of_its_notebooks(store):
    """Published test errors range from 0.009 (K 1-2.5, 16,384 samples) to 1.09 (K 100-200, 128 samples)."""
    grid = queries.regime_grid(store, "fno/poisson_2d/adam", source="published").set_index(["x", "y"])
    assert len(grid) == 64 and grid.notna().all()[["train_loss", "test_error"]].all()
    assert grid["test_error"].idxmin() == (1.0, 16384.0) and grid["test_error"].min() == pytest.approx(0.009, rel=0.2)
    assert grid["test_error"].idxmax() == (100.0, 128.0) and grid["test_error"].max() == pytest.approx(1.09, rel=0.02)
    assert 0.0068 - 0.001 < grid["train_loss"].min() < grid["train_loss"].max() < 0.21
    runs = queries.runs(store, "fno/poisson_2d/adam", source="published")
    assert set(runs["status"]) == {"reported"}


def test_variants_are_maps_of_their_own(store, record, deliver):
    deliver([record(5), record(5, dtype="float64", variant="float64", train_loss=0.5)], "job:0")
    assert queries.regime_grid(store, MAP)["train_loss"].tolist() == [0.01]
    assert queries.regime_grid(store, FLOAT64)["train_loss"].tolist() == [0.5]


def test_runs_with_other_settings_are_never_averaged(store, record, deliver):
    deliver([record(5, seed=seed, train_loss=0.5, settings={"history": 7}) for seed in range(2)], "job:0")
    deliver([record(5, seed=seed) for seed in range(3)], "job:1")
    assert queries.regime_grid(store, MAP)[["train_loss", "n_seeds"]].values.tolist() == [[0.01, 3]]
    assert len(queries.runs(store, MAP)) == 3
    assert queries.maps(store).query("source == 'computed'")[["n_runs", "n_apart"]].values.tolist() == [[3, 2]]


def test_runs_of_an_older_protocol_version_are_left_out(store, record, deliver, monkeypatch):
    deliver([record(5, train_loss=0.5)], "job:0")
    newer = run.PROTOCOL_VERSION + 1
    for module in (run, check, queries):
        monkeypatch.setattr(module, "PROTOCOL_VERSION", newer)
    deliver([record(6)], "job:1")
    assert queries.regime_grid(store, MAP)["x"].tolist() == [6.0]
    assert queries.runs(store, MAP)["x"].tolist() == [6.0]


@pytest.fixture
def deliver_version(deliver, monkeypatch):
    """Deliver runs of another protocol version."""

    def put(version, records, batch_id):
        with monkeypatch.context() as patch:
            for module in (run, check):
                patch.setattr(module, "PROTOCOL_VERSION", version)
            deliver(records, batch_id)

    return put


@pytest.mark.parametrize("version", [0])
def test_stale_runs_are_counted_and_never_averaged(store, record, deliver, deliver_version, version):
    deliver_version(version, [record(5, seed=seed, train_loss=0.5) for seed in range(3)], "old:0")
    columns = ["n_cells", "n_runs", "n_apart", "n_stale"]
    assert queries.maps(store).query("source == 'computed'")[columns].values.tolist() == [[0, 0, 0, 3]]
    assert queries.regime_grid(store, MAP).empty and queries.runs(store, MAP).empty
    with pytest.raises(BadRequest, match="but 3 of another protocol version, which are left out"):
        transfer.export(MAP, paths.var() / "out.csv")
    deliver([record(5), record(6, settings={"history": 7}), record(6)], "job:0")
    assert queries.regime_grid(store, MAP)[["train_loss", "n_seeds"]].values.tolist() == [[0.01, 1], [0.01, 1]]
    assert queries.runs(store, MAP)["protocol_version"].unique().tolist() == [run.PROTOCOL_VERSION]
    assert queries.maps(store).query("source == 'computed'")[columns].values.tolist() == [[2, 2, 1, 3]]
    assert queries.maps(store).query("source == 'published'")["n_stale"].eq(0).all()
    assert sorted(transfer.read(MAP)["train_loss"]) == [0.01, 0.01]


def test_an_unknown_map_is_empty(store):
    unknown = MapName.parse("pinn/nowhere/lbfgs")
    assert queries.regime_grid(store, unknown).empty and queries.runs(store, unknown).empty


def test_runs_of_a_cell_lead_to_curves_and_weights(store, record, deliver):
    records = [record(5, 100, seed) for seed in range(3)]
    deliver([*records, record(6)], "job:0")
    cell = queries.runs(store, MAP, x=5.0, y=100.0)
    assert cell["seed"].tolist() == [0, 1, 2]
    curves = queries.curves(store, cell["cell_id"])
    assert len(curves) == 6 and curves["train_loss"].tolist() == [1.0, 0.01] * 3
    assert queries.weights(store, records[1].spec.cell_id).final == records[1].theta_final
    with pytest.raises(BadRequest, match="train it first"):
        queries.weights(store, record(70).spec.cell_id)
    missing = record(70).spec.cell_id
    assert queries.known_cells(store, [records[0].spec.cell_id, missing]) == {records[0].spec.cell_id}


def test_a_cell_that_failed_is_not_known_until_it_worked(store, record, deliver):
    failed = record(5, status=Status.FAILED, train_loss=None, test_error=None)
    deliver([failed, record(6, status=Status.DIVERGED, train_loss=None)], "job:0")
    both = [failed.spec.cell_id, record(6).spec.cell_id]
    assert queries.known_cells(store, both) == {both[1]}
    deliver([record(5)], "job:1")
    assert queries.known_cells(store, both) == set(both)


def test_many_threads_read_while_one_writes(store, record, deliver):
    deliver([record(5)], "job:0")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(queries.regime_grid, store, MAP) for _ in range(60)]
        for part in range(5):
            deliver([record(6 + part)], f"more:{part}")
        sizes = [read.result().shape[0] for read in reads]
    assert min(sizes) >= 1 and len(queries.regime_grid(store, MAP)) == 6


def test_the_package_reads_a_map_by_name(store, record, deliver):
    deliver([record(5)], "job:0")
    assert sciml_backend.read("pinn/convection/lbfgs")["train_loss"].tolist() == [0.01]
    with pytest.raises(BadRequest, match="family/problem/strategy"):
        sciml_backend.read("convection")


def test_the_package_reads_histories_too(store, record, deliver):
    failed = record(6, status=Status.FAILED, train_loss=None, test_error=None, curve=run.Curve())
    deliver([record(5, seed=1), failed, record(5)], "job:0")
    runs = sciml_backend.read("pinn/convection/lbfgs", curves=True)
    assert runs["seed"].tolist() == [0, 1, 0]
    assert runs["curve_train_loss"].tolist() == [[1.0, 0.01], [1.0, 0.01], []]
    assert all(len(curve) == 2 for curve in runs["curve_iteration"][:2])
    assert not any(name.startswith("curve_") for name in sciml_backend.read("pinn/convection/lbfgs"))
    published = sciml_backend.read("pinn/convection/lbfgs", source="published", curves=True)
    assert published["curve_seconds"].tolist() == [[]] * 144


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("sciml_backend", {"duckdb", "torch", "pandas", "pyarrow"}),
        ("sciml_backend.store.spool", {"duckdb", "torch", "pandas"}),
        ("sciml_backend.store.queries", {"duckdb", "torch"}),
    ],
)
def test_imports_stay_light(module, absent):
    command = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", command], cwd=paths.ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
