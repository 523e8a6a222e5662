"""The loop: rows end one by one and never touch each other. With stub strategies where maths would only distract."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml_backend import sweep
from sciml_backend.engine.train import due, train
from sciml_backend.run import MapName, Status
from sciml_backend.strategies.adam import Adam
from sciml_backend.strategies.lbfgs import LBFGS
from sciml_backend.strategy import State, Step, Strategy


@dataclass
class Count(State):
    """How many steps each row has taken, and how many it is to take."""

    taken: np.ndarray
    target: np.ndarray


@dataclass(frozen=True, kw_only=True)
class CountDown(Strategy):
    """Row b adds one to theta until it has done so theta[b, 0] times."""

    ending: Status = Status.CONVERGED
    cost: int = 1

    def init(self, objective: Any, theta: Tensor) -> Count:
        return Count(np.zeros(len(theta), dtype=np.int64), theta[:, 0].numpy().astype(np.int64))

    def step(self, objective: Any, theta: Tensor, state: Count) -> Step:
        assert objective.runs == len(theta) == len(state.taken)
        taken = state.taken + 1
        over = taken >= state.target
        return Step(
            theta=theta + 1,
            state=Count(taken, state.target),
            loss=theta[:, 1].numpy().astype(float),
            gradient_norm=np.zeros(len(theta)),
            evaluations=np.full(len(theta), self.cost),
            status=[self.ending if o else Status.RUNNING for o in over],
            reason=["counted" if o else "" for o in over],
        )


class Plane:
    """An objective whose loss is the second parameter."""

    def __init__(self, runs: int):
        self.runs = runs

    def rows(self, index: Any) -> Plane:
        return Plane(len(index))

    def training_error(self, theta: Tensor) -> Tensor:
        return theta[:, 1]

    def errors(self, theta: Tensor) -> dict[str, Tensor]:
        return {"test_error": theta[:, 1] * 2}


def test_rows_end_when_they_are_done_and_keep_their_own_count() -> None:
    theta = torch.tensor([[3.0, 0.0], [1.0, 10.0], [25.0, 20.0]])
    outcomes = {o.row: o for o in train(Plane(3), [CountDown()], theta)}  # type: ignore[arg-type]
    assert {row: o.iterations for row, o in outcomes.items()} == {0: 3, 1: 1, 2: 25}
    assert {row: o.evaluations for row, o in outcomes.items()} == {0: 3, 1: 1, 2: 25}
    assert outcomes[2].theta.tolist() == [50.0, 45.0]
    assert outcomes[2].curve.iteration == [0, 20, 25]
    assert outcomes[2].curve.train_loss == [20.0, 40.0, 45.0]
    assert outcomes[2].curve.test_error == [40.0, 80.0, 90.0]
    assert all(o.status is Status.CONVERGED and o.reason == "counted" for o in outcomes.values())


def test_phases_follow_each_other_and_a_diverged_row_stops() -> None:
    theta = torch.tensor([[2.0, 0.0], [3.0, 0.0]])
    two = {o.row: o for o in train(Plane(2), [CountDown(), CountDown()], theta)}  # type: ignore[arg-type]
    assert {row: o.iterations for row, o in two.items()} == {0: 2 + 4, 1: 3 + 6}
    stopped = list(train(Plane(2), [CountDown(ending=Status.DIVERGED), CountDown()], theta))  # type: ignore[arg-type]
    assert [o.iterations for o in stopped] == [2, 3]


def test_a_stop_drops_what_is_still_training() -> None:
    theta = torch.tensor([[2.0, 0.0], [300.0, 0.0]])
    seen: list[int] = []
    outcomes = train(Plane(2), [CountDown()], theta, should_stop=lambda: len(seen) > 0)  # type: ignore[arg-type]
    for outcome in outcomes:
        seen.append(outcome.row)
    assert seen == [0]


def test_the_log_thins_out() -> None:
    logged = [i for i in range(1, 5001) if due(i)]
    assert logged[:10] == list(range(20, 201, 20)) and len(logged) < 50


def test_the_curve_of_costly_steps_has_a_point_for_every_budget() -> None:
    """A step of 300 evaluations is logged every second time, later whenever a fifth was added; its neighbour is not."""
    theta = torch.tensor([[30.0, 0.0], [1.0, 0.0]])
    costly, short = sorted(train(Plane(2), [CountDown(cost=300)], theta), key=lambda o: o.row)  # type: ignore[arg-type]
    spent = costly.curve.evaluations
    assert spent[:6] == [0, 600, 1200, 1800, 2400, 3000] and spent[-1] == 9000
    steps = list(zip(spent, spent[1:], strict=False))
    assert all(b - a < 700 or b < 1.2 * a + 300 for a, b in steps) and len(spent) < 15
    assert short.curve.evaluations == [0, 300]


def specs(betas: list[float], **options: Any) -> list[Any]:
    name = MapName("pinn", "convection", options.pop("strategy", "lbfgs"))
    return sweep.plan(name, coefficients={"beta": betas}, data=[60], model={"width": 16, "depth": 2}, **options)


@pytest.mark.parametrize(
    ("strategy", "dtype"),
    [(LBFGS(max_epochs=12), "float32"), (LBFGS(max_epochs=12), "float64"), (Adam(steps=200), "float32")],
)
def test_a_row_is_bit_identical_in_any_batch_over_200_iterations(strategy: Strategy, dtype: str) -> None:
    """Alone, among neighbours of other coefficients and seeds, and beside one that blows up and is taken out."""
    batch = specs([5.0, 30.0, 70.0], seeds=[0, 1], dtype=dtype)
    start = sweep.initial_weights(batch)
    wild = start.clone()
    wild[3] = 1e30
    together = {o.row: o for o in train(sweep.objective_of(batch), [strategy], start.clone())}
    beside = {o.row: o for o in train(sweep.objective_of(batch), [strategy], wild)}
    assert beside[3].status is not Status.RUNNING and beside[3].iterations < 200
    assert max(o.iterations for o in together.values()) >= 200
    for row in (0, 2, 5):
        alone = next(train(sweep.objective_of([batch[row]]), [strategy], start[row : row + 1].clone()))
        for other in (together[row], beside[row]):
            assert torch.equal(alone.theta, other.theta)
            assert alone.curve.train_loss == other.curve.train_loss
            assert alone.evaluations == other.evaluations


def test_a_diverging_row_is_a_record_with_a_status() -> None:
    batch = specs([5.0], seeds=[0, 1])
    start = sweep.initial_weights(batch)
    start[1, 7] = torch.nan
    outcomes = {o.row: o for o in train(sweep.objective_of(batch), [LBFGS(max_epochs=2)], start)}
    assert outcomes[1].status is Status.DIVERGED
    assert outcomes[0].status is Status.BUDGET_SPENT and np.isfinite(outcomes[0].curve.train_loss[-1])


def test_what_is_done_with_a_row_that_ended_is_not_the_time_of_others():
    seconds = []
    for outcome in train(Plane(2), [CountDown()], torch.tensor([[1.0, 0.0], [3.0, 0.0]])):
        seconds.append(outcome.seconds)
        time.sleep(0.5)
    assert seconds[1] < 0.4
