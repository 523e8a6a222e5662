"""Where the points lie, how noisy the data are, how the terms weigh: settings of a run, with any strategy."""

import numpy as np
import pytest
import torch

from sciml_backend import catalog, sweep
from sciml_backend.adaptive import Adaptive
from sciml_backend.objectives._collocation import Collocation
from sciml_backend.plan import known_of_model
from sciml_backend.run import BadRequest, MapName
from sciml_backend.schedule import settings_of
from sciml_backend.strategies.lbfgs import LBFGS
from tests.strategies.following import steps

TERMS = ("residual", "boundary", "initial")
SMALL = {"model": {"width": 6, "depth": 2}, "dtype": "float64"}


def planned(strategy="lbfgs", problem="convection", data=40, seeds=(0,), **settings):
    axis = catalog.problem(problem).axis
    return sweep.plan(
        MapName("pinn", problem, strategy), coefficients={axis.name: [axis.axis[0]]}, data=[data], seeds=seeds,
        settings={name.replace("__", "."): value for name, value in settings.items()}, **SMALL,
    )  # fmt: skip


def test_sobol_points_fill_the_box_more_evenly_than_chance():
    problem = catalog.problem("convection")
    chosen, _ = Collocation.split(TERMS, {"sampling": "sobol"})
    points = chosen.points(problem, 100, data_seed=0)["interior"]
    assert points.shape == (100, 2) and len(np.unique(points, axis=0)) == 100
    assert (points >= 0).all() and (points <= [2 * np.pi, 1]).all()
    squares = np.histogram2d(*points.T, bins=4, range=[[0, 2 * np.pi], [0, 1]])[0]
    uniform = problem.points(100, data_seed=0)["interior"]
    by_chance = np.histogram2d(*uniform.T, bins=4, range=[[0, 2 * np.pi], [0, 1]])[0]
    assert squares.std() < 0.5 * by_chance.std()
    again = chosen.points(problem, 100, data_seed=0)["interior"]
    other = chosen.points(problem, 100, data_seed=1)["interior"]
    assert np.array_equal(points, again) and not np.array_equal(points, other)


@pytest.mark.parametrize("fused", [True, False])
def test_noise_is_on_the_measured_values_alone_and_the_same_for_every_seed(fused, monkeypatch):
    if not fused:
        monkeypatch.setattr("sciml_backend.models.mlp.available", lambda: False)
    clean, noisy = (sweep.objective_of(planned(noise=n, seeds=[0, 1])) for n in (0.0, 0.1))
    theta = sweep.initial_weights(planned(seeds=[0, 1]))
    before, after = clean.residuals(theta), noisy.residuals(theta)
    assert torch.equal(before["residual"], after["residual"]) and torch.equal(before["boundary"], after["boundary"])
    shift = before["initial"] - after["initial"]
    assert torch.allclose(shift[0], shift[1], atol=1e-12) and float(shift[0].std()) == pytest.approx(0.1, rel=0.15)
    mean_squares = sum(r.square().mean(1) for r in after.values())
    assert torch.allclose(noisy.value_and_gradient(theta)[0], mean_squares, rtol=1e-10)
    drawn = (after["initial"] - before["initial"]).square().mean(1)
    assert torch.allclose(noisy.floor(), drawn, rtol=1e-9) and clean.floor() is None
    assert torch.equal(clean.errors(theta)["test_error"], noisy.errors(theta)["test_error"])


def test_fixed_weights_are_trained_and_the_plain_loss_is_logged():
    (spec,) = planned(weight__initial=100.0)
    assert spec.variant == "float64,depth=2,width=6,weight.initial=100.0"
    (phase,) = sweep.schedule_of(spec)
    objective, theta = sweep.objective_of([spec]), sweep.initial_weights([spec])
    weighted = objective.given(weights={"initial": torch.tensor([100.0])})
    (step,) = steps(phase, objective, theta, 1)
    (by_hand,) = steps(LBFGS(), weighted, theta, 1)
    assert torch.equal(step.theta, by_hand.theta)
    (plain,) = steps(LBFGS(), objective, theta, 1)
    assert not torch.equal(step.theta, plain.theta)
    (record,) = [r for done in sweep.train([spec.but(settings={**spec.settings, "max_epochs": 2})]) for r in done]
    end = sweep.from_bytes(record.theta_final, "float64")[None]
    assert record.train_loss == pytest.approx(float(objective.value(end)), rel=1e-9)
    assert record.objective_value == pytest.approx(float(weighted.value(end)), rel=1e-9)


def test_adaptive_points_go_where_the_residual_is_large():
    settings = {"sampling": "adaptive", "rounds": 3, "round_iterations": 4, "steps": 14}
    (spec,) = planned("adam", data=400, **settings)
    (phase,) = sweep.schedule_of(spec)
    assert isinstance(phase, Adaptive)
    objective, theta = sweep.objective_of([spec]), sweep.initial_weights([spec])
    seen = []
    for step in steps(phase, objective, theta, 22):  # 4 + 4, and in the last round all of its own 14
        seen.append((step.state.context.drawn["interior"][0].numpy().copy(), step.theta.clone()))
    assert np.array_equal(seen[2][0], objective.points["interior"])  # the first round is on the base points
    changed = [k for k in range(1, 22) if not np.array_equal(seen[k][0], seen[k - 1][0])]
    assert changed == [3, 7]  # three rounds, and no more
    drawn, there = seen[3]
    pool = {tuple(p) for p in objective.pool["interior"]}
    assert len({tuple(p) for p in drawn}) == 400 and all(tuple(p) in pool for p in drawn)

    def mean_residual(points):
        return float(objective.given(points={"interior": points}).residuals(there)["residual"].abs().mean())

    every = mean_residual(objective.pool["interior"])
    size = objective.given(points={"interior": objective.pool["interior"]}).residuals(there)["residual"].abs()
    expected = float((size * (size / size.mean() + 1)).mean() / 2)  # the mean under the density that is drawn from
    assert mean_residual(drawn) == pytest.approx(expected, rel=0.15) and expected > every
    plain = float(objective.value(step.theta))
    (record,) = [r for done in sweep.train([spec]) for r in done]
    assert record.train_loss == pytest.approx(plain, rel=1e-9)  # the plain loss, on the base points


def test_adaptive_weights_are_the_ratios_of_the_terms_gradients():
    (spec,) = planned("adam", weighting="adaptive", round_iterations=3, rounds=2)
    (phase,) = sweep.schedule_of(spec)
    objective, theta = sweep.objective_of([spec]), sweep.initial_weights([spec])
    *_, before, after = steps(phase, objective, theta, 3)
    leaf = after.theta.clone().requires_grad_()
    columns = objective.points
    assert columns and float(before.state.context.weight["residual"][0]) == 1.0
    gradients = {}
    for term in ("residual", "boundary", "initial"):
        only = objective.given(
            weights={t: torch.tensor([float(t == term)]) for t in ("residual", "boundary", "initial")}
        )
        gradients[term] = torch.autograd.grad(only.differentiable_value(leaf).sum(), leaf)[0]
    weights = after.state.context.weight
    for term in ("boundary", "initial"):
        ratio = float(gradients["residual"].abs().max() / gradients[term].abs().mean())
        assert float(weights[term][0]) == pytest.approx(0.1 + 0.9 * ratio, rel=1e-6)
    assert float(weights["residual"][0]) == 1.0


def test_adaptive_rounds_are_in_the_estimate_of_iterations():
    (phase,) = sweep.schedule_of(planned("adam", sampling="adaptive", rounds=4, round_iterations=50, steps=300)[0])
    assert phase.expected_iterations == 3 * 50 + 300


@pytest.mark.parametrize("strategy", sorted(catalog.entries("strategies")))
@pytest.mark.parametrize(
    "settings",
    [{"sampling": "sobol", "noise": 0.05}, {"weight.boundary": 3.0}, {"sampling": "adaptive", "round_iterations": 1}],
    ids=["sobol and noise", "weights", "adaptive points"],
)
def test_any_strategy_takes_them(strategy, settings):
    if strategy == "ropinn" and settings.get("sampling") == "adaptive":
        with pytest.raises(BadRequest, match="RoPINN moves the points itself"):
            planned(strategy, **settings)
        return
    if strategy == "alm" and settings.get("sampling") == "adaptive":
        with pytest.raises(BadRequest, match="ALM has a multiplier for each point that would be drawn anew"):
            planned(strategy, **settings)
        settings = settings | {"constrained": "conditions"}
    if strategy == "alm" and "weight.boundary" in settings:
        with pytest.raises(BadRequest, match="ALM weighs the terms itself"):
            planned(strategy, **settings)
        return
    spec, *_ = planned(strategy, **settings)
    objective, theta = sweep.objective_of([spec]), sweep.initial_weights([spec])
    for phase in sweep.schedule_of(spec):
        for step in steps(phase, objective, theta, 3):
            assert np.isfinite(step.loss).all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sampling": "grid"}, "sampling is uniform, sobol or adaptive, got 'grid'"),
        ({"noise": -1.0}, "noise is a standard deviation, at least 0"),
        ({"weighting": "often"}, "weighting is fixed or adaptive"),
        ({"weight.initial": -1.0}, "a number from 0 on, got -1.0 for initial"),
        ({"weight.nothing": 1.0}, "no setting 'weight.nothing'"),
        ({"rounds": 0}, "at least 1"),
        ({"rounds": 1, "sampling": "adaptive"}, "In one round nothing is adapted"),
        ({"noise": float("nan")}, "noise must be a finite number, got nan"),
        ({"tolerance_grad": float("inf")}, "tolerance_grad must be a finite number, got inf"),
        ({"strategy": "adam", "steps": 0}, "Nothing says how many steps Adam takes on 1D convection"),
        ({"strategy": "alm", "inner": "adam", "inner__steps": 0}, "Nothing says how many steps Adam takes"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(settings, sentence):
    with pytest.raises(BadRequest, match=sentence):
        planned(**settings)
    with pytest.raises(BadRequest, match="ALM weighs the terms itself"):
        planned("alm", weighting="adaptive")
    with pytest.raises(BadRequest, match="ALM weighs the terms itself"):
        planned("cl", **{"inner": "alm", "weight.initial": 2.0})
    with pytest.raises(BadRequest, match="ALM within it weighs them too"):
        planned("alm", inner="alm")
    with pytest.raises(BadRequest, match="ALM weighs the terms itself"):
        planned("hybrid", **{"then": "alm", "weight.initial": 2.0})
    with pytest.raises(BadRequest, match="RoPINN moves the points itself"):
        planned("hybrid", then="ropinn", sampling="adaptive")
    with pytest.raises(BadRequest, match="Newton is for networks of at most 1,000 parameters"):
        sweep.plan(MapName("pinn", "convection", "hybrid"), settings={"then": "newton"})
    with pytest.raises(BadRequest, match="ALM weighs the terms itself"):
        planned("alm", weight__initial=10.0)
    with pytest.raises(BadRequest, match="no measured values"):
        planned(problem="poisson_1d", noise=0.1)


def test_samples_of_a_regression_can_be_noisy_but_not_moved():
    name = MapName("mlp", "regression", "lbfgs")
    with pytest.raises(BadRequest, match="are samples and cannot be drawn anew"):
        sweep.plan(name, settings={"sampling": "adaptive"})
    (spec,) = sweep.plan(name, coefficients={"omega": [4]}, data=[20], settings={"noise": 0.1}, **SMALL)
    (plain,) = sweep.plan(name, coefficients={"omega": [4]}, data=[20], **SMALL)
    theta = sweep.initial_weights([spec])
    shift = sweep.objective_of([plain]).residuals(theta)["data"] - sweep.objective_of([spec]).residuals(theta)["data"]
    assert 0.05 < float(shift.std()) < 0.2
    with pytest.raises(BadRequest, match="measured values, so they cannot be moved"):
        sweep.objective_of([spec]).given(points={"interior": np.zeros((20, 1))})


def test_no_setting_of_a_loss_has_the_name_of_a_strategys():
    for name, entry in catalog.entries("problems").items():
        for family in map(catalog.family, entry.cls.families):
            objective = catalog.objective(family)
            ours = set(objective.loss.settings(objective.terms_of(entry.cls()))) | set(known_of_model(family))
            for strategy in family.strategies or catalog.entries("strategies"):
                theirs = set(settings_of(strategy))
                assert not ours & theirs, (name, strategy)


NESTED = {
    "adaptive points in ALM": ("alm", {"iterations": 3, "inner.epoch_iterations": 5, "constrained": "conditions",
                                         "sampling": "adaptive"}),
    "batches in ALM": ("alm", {"iterations": 3, "inner": "adam", "inner.steps": 5, "inner.batch": 6}),
    "adaptive weights in CL": ("cl", {"lessons": 14, "inner.epoch_iterations": 5, "weighting": "adaptive"}),
    "adaptive weights in RoPINN": ("ropinn", {"epochs": 3, "weighting": "adaptive"}),
    "adaptive points for the hybrid": ("hybrid", {"first.steps": 12, "window": 2, "threshold": 9.0,
                                                  "then.max_epochs": 1, "sampling": "adaptive"}),
    "CL in ALM": ("alm", {"iterations": 2, "inner": "cl", "inner.lessons": 14, "inner.inner.epoch_iterations": 4}),
    "hybrid in CL": ("cl", {"lessons": 14, "inner": "hybrid", "inner.first.steps": 12, "inner.window": 2,
                            "inner.threshold": 9.0, "inner.then.max_epochs": 1}),
    "batches in RoPINN": ("ropinn", {"epochs": 3, "inner": "adam", "inner.steps": 5, "inner.batch": 6}),
    "CL in RoPINN": ("ropinn", {"epochs": 2, "inner": "cl", "inner.lessons": 14, "inner.inner.epoch_iterations": 4}),
    "Gauss-Newton in RoPINN": ("ropinn", {"epochs": 3, "inner": "gauss_newton", "inner.steps": 3}),
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_rows_go_through_stages_within_stages_each_by_itself(name):
    strategy, settings = NESTED[name]
    if {"adaptive"} & set(settings.values()):
        settings = settings | {"rounds": 3, "round_iterations": 2}
    specs = sweep.plan(
        MapName("pinn", "convection", strategy), coefficients={"beta": [1, 5]}, data=[40], seeds=[0, 1],
        settings=settings, **SMALL,
    )  # fmt: skip
    together = [record for done in sweep.train(specs) for record in done]
    assert all(r.status.finished and np.isfinite(r.train_loss) for r in together), together
    for spec in (specs[0], specs[-1]):
        (alone,) = [r for done in sweep.train([spec]) for r in done]
        (mine,) = [r for r in together if r.spec == spec]
        assert (alone.theta_final, alone.iterations) == (mine.theta_final, mine.iterations)
