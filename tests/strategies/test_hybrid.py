"""The switch from Adam to L-BFGS: when it comes, that rows do not feel each other, and the way back."""

import numpy as np
import pytest
import torch

from sciml_backend.engine.train import train
from sciml_backend.plan import plan
from sciml_backend.run import MapName, Status
from sciml_backend.strategies.adam import Adam
from sciml_backend.strategies.hybrid import FALLEN_BACK, THEN, Hybrid
from sciml_backend.strategies.lbfgs import LBFGS
from sciml_backend.strategies.sgd import SGD
from sciml_backend.sweep import initial_weights, objective_of, schedule_of
from tests.strategies.following import steps


def follow(strategy, objective, theta, most):
    """Phases (steps, B), losses (steps, B), and the last step; ends where a row does."""
    phases, losses = [], []
    for step in steps(strategy, objective, theta, most):
        phases.append(step.state.phase.copy())
        losses.append(step.loss.copy())
        if any(s.finished for s in step.status):
            break
    return np.array(phases), np.array(losses), step


def test_rows_switch_by_themselves_when_the_gradients_average_settles(make_networks):
    objective = make_networks(4, torch.float64)
    strategy = Hybrid(
        first=Adam(rate=1e-2, schedule="constant"), then=LBFGS(tolerance_change=1e-16), window=20, threshold=0.2
    )
    phases, losses, _ = follow(strategy, objective, objective.start(), 400)
    switched = [int(np.flatnonzero(phases[:, row] == THEN)[0]) for row in range(4)]
    assert len(set(switched)) > 1 and all((at + 1) % 20 == 0 and at >= 39 for at in switched)
    for row, at in enumerate(switched):
        assert (phases[at:, row] == THEN).all() and losses[-1, row] < losses[at, row]
    # The rule, written once more: averages of the norm over 20 steps, looked at every 20.
    adam, theta = Adam(rate=1e-2, schedule="constant"), objective.start()
    state, average, earlier = adam.init(objective, theta), None, None
    for k in range(max(switched) + 1):
        step = adam.step(objective, theta, state)
        theta, state = step.theta, step.state
        average = step.gradient_norm if average is None else average + (step.gradient_norm - average) / 20
        if (k + 1) % 20 == 0:
            if earlier is not None:
                settled = np.abs(average - earlier) / earlier < 0.2
                for row in range(4):
                    assert settled[row] == (k == switched[row]) or k > switched[row]
            earlier = average.copy()


def test_an_explosion_sends_a_row_back_to_where_it_switched(make_networks):
    objective = make_networks(3, torch.float64)
    strategy = Hybrid(
        first=Adam(rate=1e-2, schedule="constant", steps=600), then=SGD(rate=1e6, schedule="constant"),
        window=20, threshold=0.2,
    )  # fmt: skip
    phases, losses, step = follow(strategy, objective, objective.start(), 1000)
    for row in range(3):
        assert FALLEN_BACK in phases[:, row]
        back = int(np.flatnonzero(phases[:, row] == FALLEN_BACK)[0])
        assert (phases[back:, row] == FALLEN_BACK).all()
        switch = int(np.flatnonzero(phases[:, row] == THEN)[0])
        assert losses[back, row] == pytest.approx(losses[switch, row], rel=1e-12)
        assert np.isfinite(losses[back:, row]).all() and losses[-1, row] <= losses[back, row]


def test_every_evaluation_is_counted_on_the_way_there_and_back(make_networks, monkeypatch):
    objective, made = make_networks(1, torch.float64), []
    evaluate = type(objective).value_and_gradient
    monkeypatch.setattr(type(objective), "value_and_gradient", lambda *of: made.append(1) or evaluate(*of))
    strategy = Hybrid(
        first=Adam(rate=1e-2, schedule="constant", steps=600), then=SGD(rate=1e6, schedule="constant"),
        window=20, threshold=0.2,
    )  # fmt: skip
    counted, phases = 0.0, set()
    for step in steps(strategy, objective, objective.start(), 400):
        counted += float(step.evaluations[0])
        phases.add(int(step.state.phase[0]))
    assert FALLEN_BACK in phases and counted == len(made)


def test_a_rows_bits_do_not_depend_on_its_batch():
    settings = {"window": 10, "threshold": 0.3, "then.max_epochs": 3, "first.rate": 0.01}
    specs = plan(
        MapName.parse("pinn/convection/hybrid"), coefficients={"beta": [5, 20]}, data=[40], seeds=[0, 1],
        model={"width": 11, "depth": 2}, settings=settings,
    )  # fmt: skip

    def run(chosen):
        outcomes = train(objective_of(chosen), schedule_of(chosen[0]), initial_weights(chosen))
        return sorted(outcomes, key=lambda o: o.row)

    together = run(specs)
    assert len({o.iterations for o in together}) > 1
    assert all(o.status in (Status.BUDGET_SPENT, Status.STALLED, Status.CONVERGED) for o in together)
    for row in range(4):
        (alone,) = run([specs[row]])
        assert torch.equal(alone.theta, together[row].theta)
        assert (alone.iterations, alone.evaluations) == (together[row].iterations, together[row].evaluations)


def test_a_lost_row_ends_and_leaves_the_others_alone(make_networks):
    objective, strategy = make_networks(3, torch.float64), Hybrid(first=Adam(), then=LBFGS())
    start = objective.start()
    _, losses, _ = follow(strategy, objective, start, 1)
    start[1, 2] = torch.nan
    _, spoiled, step = follow(strategy, objective, start, 1)
    assert step.status == [Status.RUNNING, Status.DIVERGED, Status.RUNNING]
    assert np.array_equal(spoiled[:, [0, 2]], losses[:, [0, 2]])
