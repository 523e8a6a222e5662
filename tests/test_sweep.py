"""The front door: plans are checked before anything trains, and records say everything."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import numpy as np
import pytest
import torch

from sciml_backend import catalog, sweep
from sciml_backend.run import BadRequest, MapName, RunSpec, Status
from sciml_backend.schedule import settings_of

NAME = MapName("pinn", "convection", "lbfgs")
TINY: dict[str, Any] = {"model": {"width": 8, "depth": 1}, "settings": {"max_epochs": 2}}


def plan(**options: Any) -> list[RunSpec]:
    return sweep.plan(NAME, **({"coefficients": {"beta": [5.0]}, "data": [60]} | options))


def test_a_plan_without_axes_is_the_whole_map() -> None:
    assert len(sweep.plan(NAME, seeds=[0, 1, 2])) == 12 * 12 * 3


def test_a_run_asked_for_twice_is_planned_once() -> None:
    runs = sweep.plan(NAME, coefficients={"beta": [5, 6, 5.0]}, data=[100, 100], seeds=[0, 1, 0])
    assert [(run.coefficients["beta"], run.seed) for run in runs] == [(5.0, 0), (5.0, 1), (6.0, 0), (6.0, 1)]


def test_a_cells_identity_is_its_settings_and_nothing_else() -> None:
    (a,), (b,) = plan(), plan(dtype="float64")
    assert a.cell_id == plan()[0].cell_id != b.cell_id
    assert a.cell_id == RunSpec.from_json(a.to_json()).cell_id
    assert a.cell_id == a.but(variant="any name").cell_id
    assert len({s.cell_id for s in plan(seeds=[0, 1], data=[60, 61])}) == 4


def changed(default: Any) -> list[Any]:
    """Other values of a setting, awkward ones among them."""
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, int):
        return [default + 1, 1_234_567]
    if isinstance(default, str):
        return []
    odd = 4 * default / 3 if default > 1 else default / 3 or 1 / 3  # factors above 1 have to stay so
    return [odd, default * 0.95 or 0.1]


NEEDS = {"objective": {"constrained": "conditions"}}
"""What else has to be set for a setting to change anything."""


def differing() -> list[tuple[MapName, dict[str, Any]]]:
    """Every setting of every strategy and of the model, changed; and what else a variant can name."""
    cases: list[tuple[MapName, dict[str, Any]]] = [
        (NAME, {"dtype": "float64"}),
        (NAME, {"settings": {"history": 20}, "dtype": "float64"}),
        (MapName("pinn", "convection", "adam"), {"settings": {"schedule": "constant", "rate": 1e-5}}),
        (MapName("pinn", "reaction_diffusion", "lbfgs"), {"coefficients": {"rho": [5.0], "nu": [1 / 3]}}),
        (NAME, {"model": {"width": 100}}),
    ]
    for strategy, entry in catalog.entries("strategies").items():
        name = MapName("pinn", "convection", strategy, *entry.cls.variants[:1])
        for setting, known in settings_of(strategy).items():
            cases += [(name, {"settings": {setting: v} | NEEDS.get(setting, {})}) for v in changed(known.default)]
    return cases


@pytest.mark.parametrize(("name", "options"), differing())
def test_a_variant_names_what_differs_and_reads_back(name: MapName, options: Any) -> None:
    first = sweep.plan(name, data=[100], **options)[0]
    assert first.variant
    usual = {c.name for c in catalog.problem(name.problem).coefficients if c.default is None}
    at = {k: [v] for k, v in first.coefficients.items() if k in usual}
    again = sweep.plan(MapName.parse(str(first.map)), data=[100], coefficients=at)[0]
    assert again == first


def test_a_name_and_a_precision_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(BadRequest, match="is in float64 and float32 was asked for"):
        sweep.plan(MapName.parse("pinn/convection/lbfgs@float64"), dtype="float32")


def test_an_entrys_own_error_is_a_failed_run_and_not_the_end_of_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsettled(*_: Any) -> None:
        raise ArithmeticError("The splitting did not settle.")

    monkeypatch.setattr(type(catalog.problem("convection")), "exact", unsettled)
    (records,) = sweep.train(plan(seeds=[0, 1], **TINY))
    assert [r.status for r in records] == [Status.FAILED] * 2
    assert records[0].reason == "ArithmeticError: The splitting did not settle." and records[0].train_loss is None


def test_runs_that_ended_before_ctrl_c_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    record, ended = sweep._record, []

    def interrupted(*asked: Any) -> Any:
        if ended:
            raise KeyboardInterrupt
        ended.append(asked[0].seed)
        return record(*asked)

    monkeypatch.setattr(sweep, "_record", interrupted)
    found = sweep.train(plan(seeds=[0, 1, 2], **TINY))
    (kept,) = next(found)
    assert [kept.spec.seed] == ended
    with pytest.raises(KeyboardInterrupt):
        next(found)


def test_runs_are_done_when_they_ended_and_not_when_a_phase_did(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))  # every report is due
    told: list[sweep.Progress] = []
    specs = sweep.plan(
        MapName.parse("pinn/convection/adam"),
        coefficients={"beta": [5, 30]},
        data=[100],
        seeds=[0, 1],
        model={"width": 8, "depth": 1},
        settings={"steps": 30, "before": "lbfgs", "before.max_epochs": 3},
    )
    (records,) = sweep.train(specs, on_progress=told.append)
    assert len(records) == 4
    done = [progress.done for progress in told]
    assert done == sorted(done) and done[-1] == 4 and len(done) > 5
    assert all(progress.done + len(progress.training) <= 4 for progress in told)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("pino/darcy/alm@coarse", {"settings": {"constrained": "physic"}}, "there is no term 'physic' to constrain"),
        ("pinn/convection/alm", {"settings": {"objective": 10.0}}, "all terms are constraints"),
        ("node/pendulum/cl", {"settings": {"inner": "ropinn"}}, "RoPINN moves collocation points"),
        ("mlp/regression/ropinn", {"settings": {"noise": 0.1}}, "RoPINN moves collocation points"),
        ("pinn/convection/lbfgs", {"settings": {"rounds": 3}}, "there are no rounds"),
        ("node/pendulum/lbfgs", {"data_seed": 3}, "are not drawn"),
        ("pinn/wave/lbfgs", {"coefficients": {"c": [2.0], "beta": [2.5]}}, "must be a whole number, got 2.5"),
        ("pinn/poisson_1d/lbfgs", {"coefficients": {"omega": [0.0]}}, "omega must lie between 0.1"),
    ],
)
def test_what_cannot_be_trained_or_changes_nothing_is_refused_before_training(
    name: str, options: Any, words: str
) -> None:
    with pytest.raises(BadRequest, match=words):
        sweep.plan(MapName.parse(name), **options)


def test_a_run_says_whether_its_numbers_are_those_of_the_published_protocol() -> None:
    said = {
        variant: sweep.plan(MapName("pino", "darcy", "adam", variant), coefficients={"r": [2.0]}, data=[5])[0].protocol
        for variant in ("", "coarse", "coarse,residual=corrected", "float64,coarse")
    }
    assert said == {
        "": "published",
        "coarse": "published",
        "coarse,residual=corrected": "corrected",
        "float64,coarse": "corrected",
    }


def test_a_run_is_not_computed_by_another_version_of_its_plugin() -> None:
    (spec,) = plan(**TINY)
    with pytest.raises(BadRequest, match="version 0123 of its plugin and none is loaded"):
        next(iter(sweep.train([spec.but(plugin="0123")])))


@pytest.mark.parametrize(("device", "threads", "said"), [("cpu", 0, "at least 1"), ("tpu", 1, "cpu, cuda or cuda:N")])
def test_a_senseless_device_is_one_sentence(device: str, threads: int, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        list(sweep.train(plan(**TINY), device=device, threads=threads))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data": [25_501]}, "between 1 and 25,500"),
        ({"coefficients": {"beta": [101.0]}}, "between 0 and 100, got 101"),
        ({"coefficients": {"bta": [1.0]}}, "no coefficient 'bta'"),
        ({"seeds": [-1]}, "A seed lies between"),
        ({"data_seed": -1}, "A seed lies between"),
        ({"dtype": "float16"}, "float32 or float64"),
        ({"settings": {"histroy": 5}}, "no setting 'histroy'"),
        ({"settings": {"history": 2.5}}, "of type int, got 2.5"),
        ({"model": {"width": 0}}, "1 to 2048 units"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_sentence(options: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        plan(**options)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_an_unreadable_variant_is_refused() -> None:
    with pytest.raises(BadRequest, match="cannot be read at 'what'"):
        sweep.plan(MapName.parse("pinn/convection/lbfgs@what"))


def test_a_trained_run_is_a_full_record() -> None:
    specs = plan(seeds=[0, 1], **TINY)
    shots: list[sweep.Progress] = []
    (records,) = sweep.train(specs, on_progress=shots.append)
    assert shots[-1].done == 2
    for spec, record in zip(specs, records, strict=True):
        assert record.spec == spec and record.status is Status.BUDGET_SPENT
        assert 20 < record.iterations <= 40 < record.evaluations <= 51
        assert record.train_loss == record.curve.train_loss[-1]
        assert record.test_error == record.curve.test_error[-1]
        assert record.heldout_error and record.test_error_l1
        assert record.curve.iteration == sorted({0, 20, record.iterations})
        assert {"threads": 1, "batch_rows": 2}.items() <= record.to_json().items()
        weights = sweep.from_bytes(record.theta_final or b"", spec.dtype)
        objective = sweep.objective_of([spec])
        assert float(objective.value(weights[None])[0]) == record.train_loss
        start = sweep.from_bytes(record.theta_initial or b"", spec.dtype)
        assert torch.equal(start, sweep.initial_weights([spec])[0])


def test_a_record_reproduces_bit_by_bit() -> None:
    (spec,) = plan(**TINY)
    first, second = (next(iter(sweep.train([spec])))[0] for _ in range(2))
    assert first.theta_final == second.theta_final and first.train_loss == second.train_loss


def test_both_precisions_start_from_the_same_weights() -> None:
    (single,), (double,) = plan(), plan(dtype="float64")
    assert torch.equal(sweep.initial_weights([single]).double(), sweep.initial_weights([double]))


def test_no_gpu_where_one_was_asked_for_is_one_sentence() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(BadRequest, match="no GPU"):
        list(sweep.train(plan(**TINY), device="cuda"))


@pytest.mark.parametrize("kind", ["solution", "hessian_extremes"])
def test_diagnostics_start_from_stored_weights(kind: str) -> None:
    (record,) = next(iter(sweep.train(plan(**TINY))))
    assert record.theta_initial and record.theta_final
    artifact = sweep.diagnose(record.spec, kind, theta_initial=record.theta_initial, theta_final=record.theta_final)
    assert artifact.cell_id == record.spec.cell_id and artifact.kind == kind and artifact.numbers
    if kind == "solution":
        error = artifact.arrays["solution"] - artifact.arrays["reference"]
        assert error.shape == (101, 129)
        assert np.abs(error).max() == pytest.approx(artifact.numbers["largest_error"])
        assert artifact.numbers["test_error"] == pytest.approx(record.test_error, rel=1e-4)


def test_a_cell_keeps_its_identity() -> None:
    """Stored results are found by it."""
    (spec,) = sweep.plan(MapName("pinn", "wave", "lbfgs"), coefficients={"c": [2]}, data=[100], model={"width": 20})
    assert spec.cell_id == "5e0e4e05-b956-8113-9451-89f4a2120dd8" and spec.map == MapName(
        "pinn", "wave", "lbfgs", "width=20"
    )


SHORT = {
    "sgd": {"steps": 5},
    "adam": {"steps": 5, "batch": 8},
    "lbfgs": {"max_epochs": 1},
    "alm": {"iterations": 2, "inner.epoch_iterations": 5},
    "cl": {"inner.epoch_iterations": 2},
    "ropinn": {"epochs": 3},
    "nncg": {"adam.steps": 3, "lbfgs.max_epochs": 1, "steps": 2, "rank": 4, "products": 6},
    "hybrid": {"first.steps": 4, "then.max_epochs": 1},
}


@pytest.mark.parametrize("strategy", sorted(catalog.entries("strategies")))
def test_a_run_of_any_strategy_is_the_same_bits_alone_and_in_a_batch(strategy: str) -> None:
    settings = SHORT.get(strategy, {"steps": 3})
    asked: dict[str, Any] = {"coefficients": {"beta": [5, 20]}, "data": [30], "seeds": [0, 1]}
    specs = sweep.plan(
        MapName("pinn", "convection", strategy), model={"width": 6, "depth": 2}, settings=settings, **asked
    )
    together = [record for done in sweep.train(specs) for record in done]
    assert [record.spec for record in together] == specs and len({r.theta_final for r in together}) == 4
    own = RunSpec.from_json(json.loads(json.dumps(together[3].spec.to_json())))  # as it is stored
    ((alone,),) = sweep.train([own])
    assert alone.theta_final == together[3].theta_final and alone.train_loss == together[3].train_loss
