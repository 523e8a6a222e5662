"""Families: named pairs of a model and an objective."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """``pinn`` is ``mlp`` x ``physics``: identifiers of the model and of the objective, and the pair's own name."""

    identifier: str
    model: str
    objective: str
    label: str
    doc: str


FAMILIES = {
    family.identifier: family
    for family in (
        Family(
            "pinn",
            "mlp",
            "physics",
            "PINN",
            "Physics-informed neural network: a perceptron trained on the residuals of a differential equation "
            "and of its initial and boundary conditions (Raissi, Perdikaris and Karniadakis, 2019).",
        ),
        Family(
            "mlp",
            "mlp",
            "physics",
            "MLP",
            "Regression: a perceptron fitted to samples of a function by their mean square error alone.",
        ),
    )
}
