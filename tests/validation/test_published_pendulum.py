"""Published cells of the pendulum, trained anew: seconds each, and seeds agree within a factor of two."""

from __future__ import annotations

import numpy as np
import pytest

from sciml_backend import sweep
from sciml_backend.run import MapName

CELLS = {
    # map: 1/b, points, training loss of the released code (seed 0), its rollout error
    "node/pendulum/adam": (2.0, 400, 3.68e-5, 0.836),
    "pinode/pendulum/adam": (8.0, 400, 1.07e-6, 0.542),
    "pinode/pendulum/lbfgs": (8.0, 400, 3.02e-7, 0.684),
}


@pytest.mark.parametrize("name", CELLS)
def test_losses_and_rollouts_of_the_released_code_come_back(name: str) -> None:
    inv_b, points, loss, error = CELLS[name]
    specs = sweep.plan(MapName.parse(name), coefficients={"inv_b": [inv_b]}, data=[points], seeds=range(5))
    records = [record for done in sweep.train(specs) for record in done]
    losses, errors = ([getattr(r, what) for r in records] for what in ("train_loss", "test_error"))
    print(name, losses, errors)
    assert 0.5 < np.exp(np.mean(np.log(losses))) / loss < 2
    assert 0.5 < np.mean(errors) / error < 2
