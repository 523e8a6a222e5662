"""What a strategy does step by step, for tests that look at more than its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from sciml_backend.strategy import Step


def steps(strategy: Any, objective: Any, theta: Tensor, most: int) -> Iterator[Step[Any]]:
    """At most so many steps from theta (B, P); the next one may change a step's arrays in place."""
    state = strategy.init(objective, theta)
    for _ in range(most):
        step = strategy.step(objective, theta, state)
        yield step
        theta, state = step.theta, step.state


def follow(strategy: Any, objective: Any, theta: Tensor, most: int) -> tuple[np.ndarray, list[Tensor], Step[Any]]:
    """Losses (steps, B), every theta, and the last step."""
    losses, thetas = [], []
    for step in steps(strategy, objective, theta, most):
        losses.append(step.loss.copy())
        thetas.append(step.theta)
    return np.array(losses), thetas, step
