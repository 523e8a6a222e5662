"""Data of a trajectory: one step of a learned vector field against the next point, or a rollout against all of them."""

from __future__ import annotations

from sciml_backend.objectives._one_step import OneStep


class Trajectory(OneStep):
    """Mean square of the one-step errors, over samples and components; neural ODEs."""

    label = "Trajectory data"
