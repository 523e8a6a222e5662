"""Families: named pairs of a model and an objective, and what they are set to where a publication or we chose so.

This module needs only the standard library, so that pages and jobs can import it without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sciml_backend.run import Setting

Settings = Mapping[str, Setting]

CPU_ROWS = 8
"""Rows of a batch on a CPU core: enough to share Python's overhead, few enough for curvature pairs to stay in cache."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """``pinn`` is ``mlp`` x ``physics``: identifiers of the model and of the objective, and the pair's own name.

    ``model_settings``, ``loss_settings`` and ``strategy_settings`` (by strategy) replace the defaults that model, loss
    and strategies have. ``strategies`` are those that the family can be trained with, all of them when empty. Runs of a
    ``ragged`` family train together whatever their amount of data; ``rows`` of them share a batch on a CPU core.
    """

    identifier: str
    model: str
    objective: str
    label: str
    doc: str
    model_settings: Settings = field(default_factory=dict)
    loss_settings: Settings = field(default_factory=dict)
    strategy_settings: Mapping[str, Settings] = field(default_factory=dict)
    strategies: tuple[str, ...] = ()
    ragged: bool = False
    rows: int = CPU_ROWS

    def settings(self, strategy: str) -> dict[str, Setting]:
        """What this family sets a strategy and its loss to."""
        return {**self.loss_settings, **self.strategy_settings.get(strategy, {})}


FAMILIES = {
    family.identifier: family
    for family in (
        Family(
            identifier="pinn",
            model="mlp",
            objective="physics",
            label="PINN",
            doc="Physics-informed neural network: a perceptron trained on the residuals of a differential equation "
            "and of its initial and boundary conditions (Raissi, Perdikaris and Karniadakis, 2019).",
        ),
        Family(
            identifier="mlp",
            model="mlp",
            objective="physics",
            label="MLP",
            doc="Regression: a perceptron fitted to samples of a function by their mean square error alone.",
        ),
    )
}
