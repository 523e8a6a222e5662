"""Strategies that pose other objectives: what they pose, where they end, and that rows do not feel each other."""

import numpy as np
import pytest
import torch

from sciml_backend.plan import plan
from sciml_backend.run import BadRequest, MapName, Status
from sciml_backend.strategies.adam import Adam
from sciml_backend.strategies.alm import ALM
from sciml_backend.strategies.cl import CL
from sciml_backend.strategies.hybrid import Hybrid
from sciml_backend.strategies.lbfgs import LBFGS
from sciml_backend.strategies.ropinn import RoPINN
from sciml_backend.sweep import initial_weights, objective_of, schedule_of
from tests.strategies.terms import Terms, least_squares

# Steps end where the slope is below 1e-15, hence at gradients of some 1e-8.
EXACT = {"max_epochs": 1, "epoch_iterations": 300, "epoch_evaluations": 500, "tolerance_grad": 1e-12,
         "tolerance_change": 1e-15}  # fmt: skip


def run(strategy, objective, theta):
    """Every step until all rows ended; a row is left alone once it has."""
    state, steps = strategy.init(objective, theta), []
    while True:
        step = strategy.step(objective, theta, state)
        theta, state = step.theta, step.state
        steps.append(step)
        if all(status.finished for status in step.status):
            return steps


def test_alm_ends_where_the_gradient_of_the_lagrangian_vanishes_and_the_constraints_hold():
    objective = Terms(least_squares(), np.array([1.0, 5.0]))
    start = torch.zeros(2, 5, dtype=torch.float64)
    strategy = ALM(inner=LBFGS(**EXACT), iterations=30, penalty=50.0, growth=1.0, constrained="boundary")
    last = run(strategy, objective, start)[-1]
    theta, multipliers = last.theta, last.state.context.multiplier
    constraints = objective.residuals(theta)["boundary"]
    assert float(constraints.abs().max()) < 1e-8
    for row in range(2):
        leaf = theta[row].clone().requires_grad_()
        found = objective.one(leaf, row)
        lagrangian = found["residual"].square().mean() + (multipliers["boundary"][row] * found["boundary"]).mean()
        (slope,) = torch.autograd.grad(lagrangian, leaf)
        assert float(slope.abs().max()) < 1e-6
    # The same minimum from the linear system of the Karush-Kuhn-Tucker conditions.
    for row, hard in enumerate((1.0, 5.0)):
        zero, unit = torch.zeros(5, dtype=torch.float64), torch.eye(5, dtype=torch.float64)
        terms = objective.residual
        offset = {name: f(zero, hard, torch.zeros(1, 1)) for name, f in terms.items()}
        matrix = {
            name: torch.stack([f(e, hard, torch.zeros(1, 1)) - offset[name] for e in unit], 1)
            for name, f in terms.items()
        }
        a, c = matrix["residual"], matrix["boundary"]
        n = len(a)
        system = torch.cat([torch.cat([2 / n * a.T @ a, c.T], 1), torch.cat([c, torch.zeros(2, 2)], 1)])
        right = torch.cat([-2 / n * a.T @ offset["residual"], -offset["boundary"]])
        assert torch.allclose(torch.linalg.solve(system, right)[:5], theta[row], atol=1e-7)


def test_alm_raises_its_multipliers_by_the_old_penalty_and_then_the_penalty():
    objective = Terms(least_squares(), np.array([1.0]))
    theta = torch.ones(1, 5, dtype=torch.float64)
    strategy = ALM(inner=LBFGS(), penalty=3.0, growth=2.0, constrained="boundary")
    first = strategy.context(objective, theta)
    g = objective.residuals(theta)["boundary"]
    assert torch.equal(first.multiplier["boundary"], 3.0 * g) and first.penalty.tolist() == [6.0]
    second = strategy.next(objective, theta, first)
    assert torch.equal(second.multiplier["boundary"], 9.0 * g) and second.penalty.tolist() == [12.0]
    posed = strategy.pose(objective, second)
    r = objective.residuals(theta)["residual"]
    expected = r.square().mean() + (9.0 * g * g).mean() + 6.0 * g.square().mean()
    assert float(posed.value_and_gradient(theta)[0]) == pytest.approx(float(expected), rel=1e-12)


def test_alm_refuses_to_have_points_moved_that_have_multipliers():
    with pytest.raises(BadRequest, match="a multiplier for each point that RoPINN within it would move"):
        ALM(inner=RoPINN(inner=LBFGS()), constrained="all")
    ALM(inner=RoPINN(inner=LBFGS()), constrained="conditions")
    with pytest.raises(BadRequest, match="a multiplier for each point that RoPINN within it would move"):
        ALM(inner=Hybrid(first=Adam(), then=RoPINN(inner=LBFGS())), constrained="all")
    with pytest.raises(BadRequest, match="ALM within it weighs them too"):
        ALM(inner=Hybrid(first=Adam(), then=ALM(inner=LBFGS())))


def test_ropinn_refuses_to_move_points_that_are_moved_already():
    with pytest.raises(BadRequest, match="RoPINN within it moves them too"):
        RoPINN(inner=Hybrid(first=Adam(), then=RoPINN(inner=LBFGS())))


def test_alm_refuses_a_term_that_is_not_there():
    objective = Terms(least_squares(), np.array([1.0]))
    theta = torch.zeros(1, 5, dtype=torch.float64)
    with pytest.raises(BadRequest, match="no term 'initial' to constrain; this loss has residual, boundary"):
        ALM(inner=LBFGS(), constrained="boundary+initial").init(objective, theta)
    for asked, terms in (("all", {"residual", "boundary"}), ("conditions", {"boundary"}), ("residual", {"residual"})):
        assert set(ALM(inner=LBFGS(), constrained=asked).context(objective, theta).multiplier) == terms
    beside_data = Terms(dict(zip(("physics", "data"), least_squares().values(), strict=True)), np.array([1.0]))
    assert set(ALM(inner=LBFGS()).context(beside_data, theta).multiplier) == {"data"}


@pytest.mark.parametrize(
    ("target", "visited"), [(1.2, [0.0, 0.5, 1.0, 1.2]), (1.0, [0.0, 0.5, 1.0]), (0.3, [0.0, 0.3])]
)
def test_cl_visits_every_lesson_and_ends_at_the_target(target, visited):
    objective = Terms(least_squares(), np.array([target]))
    strategy = CL(inner=LBFGS(**EXACT), lessons=14)
    steps = run(strategy, objective, torch.zeros(1, 5, dtype=torch.float64))
    last = steps[-1]
    assert last.status == [Status.BUDGET_SPENT] and int(last.state.stage[0]) == len(visited)
    assert last.state.objective.coefficient.tolist() == [target]
    assert float(objective.value_and_gradient(last.theta)[1].abs().max()) < 1e-6
    context, seen = strategy.context(objective, last.theta), []
    for _ in visited:
        seen.append(float(context.value[0]))
        context = strategy.next(objective, last.theta, context)
    assert seen == pytest.approx(visited, abs=1e-12)


def test_all_but_the_last_lesson_may_be_short():
    objective = Terms(least_squares(), np.array([1.0]))
    strategy = CL(inner=Adam(steps=40), lessons=14, stage_iterations=5)
    theta, stages, status = torch.zeros(1, 5, dtype=torch.float64), [], Status.RUNNING
    state = strategy.init(objective, theta)
    while not status.finished:
        step = strategy.step(objective, theta, state)
        theta, state, status = step.theta, step.state, step.status[0]
        stages.append(int(state.stage[0]))
    assert stages == [1] * 4 + [2] * 5 + [3] * 41 and status is Status.BUDGET_SPENT
    assert strategy.expected_iterations == 13 * 5 // 2 + 40
    with pytest.raises(ValueError, match="stage_iterations"):
        CL(inner=Adam(), stage_iterations=-1)


def test_ropinn_adapts_its_region_to_the_gradients_of_batches_too():
    settings = {"inner": "adam", "inner.steps": 4, "inner.batch": 20, "inner.growth": 1.0, "epochs": 4, "window": 2}
    (spec,) = plan(MapName("pinn", "convection", "ropinn"), coefficients={"beta": [5.0]}, data=[60], settings=settings)
    (strategy,) = schedule_of(spec)
    objective, theta = objective_of([spec]), initial_weights([spec])
    state = strategy.init(objective, theta)
    for _ in range(10):
        step = strategy.step(objective, theta, state)
        theta, state = step.theta, step.state
    assert float(state.context.size[0]) != strategy.region


def test_ropinn_widens_its_region_where_the_gradient_varies_little():
    objective = Terms(least_squares(), np.array([1.0, 1.0]))
    strategy, theta = RoPINN(inner=LBFGS(), region=1e-4, window=3), torch.zeros(2, 5, dtype=torch.float64)
    context = strategy.context(objective, theta)
    generator = torch.Generator().manual_seed(0)
    past = []
    for _ in range(4):
        gradients = torch.stack([torch.ones(5), 1 + 5 * torch.randn(5, generator=generator)]).double()
        past.append(gradients)
        context.total += 7 * gradients
        context.calls += 7
        context = strategy.next(objective, theta, context)
        kept = torch.stack(past[-3:]).numpy()
        varied = (kept.std(0) / (np.abs(kept).mean(0) + 1e-6)).mean(1)
        for row in range(2):
            expected = min(1e-4 / varied[row], 0.01) if varied[row] > 0 else 1e-4
            assert float(context.size[row]) == pytest.approx(expected, rel=1e-9)
        assert not context.total.any() and not context.calls.any()


def test_ropinn_takes_the_residual_within_its_region_of_the_points():
    specs = plan(MapName.parse("pinn/convection/ropinn"), coefficients={"beta": [5]}, data=[20], seeds=[0, 1])
    (strategy,), objective = schedule_of(specs[0]), objective_of(specs)
    context = strategy.context(objective, initial_weights(specs))
    context.size[:] = torch.tensor([1e-5, 5e-3])
    draws = []
    for epoch in range(2):
        context.epochs[:] = epoch
        posed = strategy.pose(objective, context)
        moved = (posed.points["interior"] - objective.points["interior"]) / context.size.numpy()[:, None, None]
        assert moved.shape == (2, 20, 2) and moved.min() > -1e-6 and moved.max() < 1 + 1e-6
        assert np.array_equal(posed.points["initial"], objective.points["initial"])
        draws.append(moved)
    assert np.abs(draws[0] - draws[1]).max() > 0.5


@pytest.mark.parametrize("name", ["alm", "cl", "ropinn"])
def test_a_rows_bits_and_steps_do_not_depend_on_its_batch(name):
    budget = {"alm": {"iterations": 3}, "cl": {"lessons": 28}, "ropinn": {"epochs": 4}}[name]
    short = {} if name == "ropinn" else {"inner.epoch_iterations": 40, "inner.epoch_evaluations": 43}
    specs = plan(
        MapName.parse(f"pinn/convection/{name}"),
        coefficients={"beta": [5, 8]}, data=[40], seeds=[0, 1], model={"width": 11, "depth": 2},
        settings={**budget, **short},
    )  # fmt: skip

    def train(chosen):
        from sciml_backend.engine.train import train as train_rows

        outcomes = train_rows(objective_of(chosen), schedule_of(chosen[0]), initial_weights(chosen))
        return sorted(outcomes, key=lambda o: o.row)

    together = train(specs)
    assert len({o.iterations for o in together}) > 1, "rows that all end together would not show what is asked here"
    for row in (0, 3):
        (alone,) = train([specs[row]])
        assert torch.equal(alone.theta, together[row].theta)
        assert (alone.iterations, alone.evaluations) == (together[row].iterations, together[row].evaluations)
        assert alone.curve.train_loss == together[row].curve.train_loss


@pytest.mark.parametrize("problem", ["reaction", "reaction_diffusion", "wave"])
@pytest.mark.parametrize("name", ["alm", "cl", "ropinn", "nncg", "sgd"])
def test_it_runs_on_every_problem(problem, name):
    specs = plan(MapName.parse(f"pinn/{problem}/{name}"), data=[40], seeds=[0], model={"width": 8, "depth": 2})[:2]
    objective, theta = objective_of(specs), initial_weights(specs)
    assert objective.kernel != "torch"
    for strategy in schedule_of(specs[0]):
        state = strategy.init(objective, theta)
        for _ in range(3):
            step = strategy.step(objective, theta, state)
            theta, state = step.theta, step.state
        assert step.status == [Status.RUNNING] * 2 and np.isfinite(step.loss).all()


@pytest.mark.parametrize("name", ["alm", "cl", "ropinn"])
def test_a_row_that_is_lost_ends_and_leaves_the_others_alone(name):
    specs = plan(
        MapName.parse(f"pinn/convection/{name}"),
        coefficients={"beta": [5]}, data=[40], seeds=[0, 1, 2], model={"width": 11, "depth": 2},
    )  # fmt: skip
    (strategy,), objective, theta = schedule_of(specs[0]), objective_of(specs), initial_weights(specs)
    broken = theta.clone()
    broken[1, 3] = torch.nan
    sound = strategy.step(objective, theta, strategy.init(objective, theta.clone()))
    step = strategy.step(objective, broken, strategy.init(objective, broken.clone()))
    assert step.status == [Status.RUNNING, Status.DIVERGED, Status.RUNNING]
    assert torch.equal(step.theta[[0, 2]], sound.theta[[0, 2]])
