"""Nonlinear damped pendulum, learned as a neural ODE with and without its equation; arXiv 2605.29153, Appendix C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sciml_backend.dynamics import Array, Dynamics, Embedding
from sciml_backend.family import Axes
from sciml_backend.problem import Coefficient

AXES = {
    "node": Axes((1.0, 1.2, 2.0, 2.9, 5.5, 8.0, 12.0, 15.0), (20, 69, 119, 168, 217, 267, 316, 365)),
    "pinode": Axes((1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 15.0), (20, 40, 100, 160, 200, 240, 300, 400)),
}


def _on_sphere(state: Array) -> Array:
    theta, omega = state[..., 0], state[..., 1]
    return np.stack([np.sin(theta) * np.cos(omega), np.sin(theta) * np.sin(omega), -np.cos(theta)], -1)


class Pendulum(Dynamics):
    """θ' = ω, ω' = -b ω - sin θ; the trajectory starts at rest at θ = 1.7, the test's at θ = 2.8."""

    label = "Damped pendulum"
    equation = "θ′ = ω,  ω′ = −b ω − sin θ,  θ(0) = 1.7,  ω(0) = 0"
    coefficients = (Coefficient(name="inv_b", label="1/b", low=0.1, high=100.0, axis=AXES["pinode"].x, easiest=0.25),)
    data_axis = AXES["pinode"].y
    note = (
        "The test follows another trajectory, from θ = 2.8, over 399 steps of 0.05: the error of a rollout, which "
        "grows with the horizon. The trajectories solve the equation, the network takes Euler steps: even the exact "
        "vector field leaves a loss."
    )
    families = ("node", "pinode")
    state = ("θ", "ω")
    start = (1.7, 0.0)
    test_start = (2.8, 0.0)
    embeddings = {
        "angles": Embedding(("θ", "ω"), lambda state: state),
        "sphere": Embedding(("sin θ cos ω", "sin θ sin ω", "−cos θ"), _on_sphere),
    }

    def axes(self, family: str) -> Axes:
        return AXES[family]

    def field(self, state: Any, c: Mapping[str, Any]) -> Any:
        theta, omega = state[..., 0], state[..., 1]
        if isinstance(state, torch.Tensor):
            return torch.stack([omega, -omega / c["inv_b"] - torch.sin(theta)], -1)
        return np.stack([omega, -omega / c["inv_b"] - np.sin(theta)], -1)
