"""Adam, L-BFGS and the switch between them, at equal budgets; minutes on one core.

Kopaničáková and Riccietti (2026), arXiv:2601.10222: Adam until the gradient's norm has settled, then L-BFGS. The
threshold of what counts as settled is varied; 1 switches after two windows of 100 steps.
"""

from __future__ import annotations

import numpy as np
import pytest

from sciml_backend import sweep
from sciml_backend.run import MapName, RunRecord, Setting

BUDGET = 4000
"""Gradients that every run may take."""
SEEDS = range(5)
SMALL: dict[str, Setting] = {"width": 20, "depth": 2}
THRESHOLDS = (0.01, 0.05, 0.2, 1.0)


def strategies() -> dict[str, tuple[str, dict[str, Setting]]]:
    """Name, strategy and settings of what is compared."""
    hybrid: dict[str, Setting] = {"first.steps": BUDGET, "then.max_epochs": BUDGET // 20}
    return {
        "Adam": ("adam", {"steps": BUDGET}),
        "L-BFGS": ("lbfgs", {"max_epochs": BUDGET // 20}),
        **{f"hybrid, {t:g}": ("hybrid", {**hybrid, "threshold": t}) for t in THRESHOLDS if t != 0.05},
        "hybrid, 0.05": ("hybrid", hybrid),
    }


def within_budget(record: RunRecord) -> tuple[float, float]:
    """Training loss and test error at the last logged point of the first BUDGET gradients."""
    curve = record.curve
    last = int(np.searchsorted(curve.evaluations, BUDGET, side="right")) - 1
    return curve.train_loss[last], curve.test_error[last]


@pytest.mark.parametrize(
    ("problem", "coefficient", "value", "data", "model"),
    [
        ("poisson_1d", "omega", 4, 50, SMALL),
        ("biharmonic_1d", "omega", 2, 50, SMALL),
        ("convection", "beta", 30, 1000, {}),
    ],
)
def test_the_hybrid_beats_adam_alone(
    problem: str, coefficient: str, value: float, data: int, model: dict[str, Setting]
) -> None:
    found = {}
    print(f"\n{problem}, {coefficient} = {value}, {data} points, {BUDGET} gradients, {len(SEEDS)} seeds")
    for name, (strategy, settings) in strategies().items():
        specs = sweep.plan(
            MapName("pinn", problem, strategy),
            coefficients={coefficient: [value]},
            data=[data],
            seeds=SEEDS,
            model=model,
            settings=settings,
        )
        ends = np.array([within_budget(record) for records in sweep.train(specs) for record in records])
        found[name] = np.exp(np.log(ends).mean(0))
        spread = ", ".join(f"{low:.1e} to {high:.1e}" for low, high in zip(ends.min(0), ends.max(0), strict=True))
        print(
            f"  {name}: train {found[name][0]:.1e}, test {found[name][1]:.1e} (geometric means; {spread})", flush=True
        )
    best = min(loss for name, (loss, _) in found.items() if name.startswith("hybrid"))
    assert best < found["Adam"][0]
