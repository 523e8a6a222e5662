"""Data of a trajectory and the equation behind it: mean squares of one-step errors and of the equation's residual."""

from __future__ import annotations

from sciml_backend.objectives._one_step import OneStep


class TrajectoryAndPhysics(OneStep):
    """Mean squares of the one-step errors and of Δ (f(x) - x') at the same points; physics-informed neural ODEs.

    The training error is the data's part alone, as published.
    """

    label = "Trajectory data and equation"
    physics = True
