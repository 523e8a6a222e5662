"""The neural tangent kernel against the network's width, before and after training; some minutes on one core.

The full condition number of a new network is beyond float64 at every width: its kernel has eigenvalues under the floor.
What can be compared is the ratio of the first eigenvalue to the tenth, the effective rank and the drift.
"""

from __future__ import annotations

import numpy as np
import pytest

from sciml_backend import sweep
from sciml_backend.run import MapName

WIDTHS = (10, 20, 50, 100, 200)
SEEDS = range(5)


def measured(name: str, width: int) -> list[dict[str, float]]:
    """The kernel of each seed's run at ω = 4 with 50 points."""
    specs = sweep.plan(
        MapName.parse(name),
        coefficients={"omega": [4]},
        data=[50],
        seeds=SEEDS,
        dtype="float64",
        model={"width": width, "depth": 2},
        settings={"max_epochs": 50},
    )
    rows = []
    for record in (record for records in sweep.train(specs) for record in records):
        assert record.theta_initial is not None and record.theta_final is not None
        found = sweep.diagnose(record.spec, "ntk", theta_initial=record.theta_initial, theta_final=record.theta_final)
        tenth = {f"tenth_{end}": float(found.arrays[f"eigenvalues_{end}"][9]) for end in ("initial", "final")}
        error = {"test_error": record.test_error or np.nan, "train_loss": record.train_loss or np.nan}
        rows.append({**found.numbers, **tenth, **error})
    return rows


@pytest.mark.parametrize("name", ["mlp/regression/lbfgs", "pinn/poisson_1d/lbfgs"])
def test_the_kernel_of_a_new_network_is_worse_conditioned_the_wider_it_is(name: str) -> None:
    ratio = {}
    print(f"\n{name}: medians of {len(SEEDS)} seeds, before / after training")
    for width in WIDTHS:
        rows = measured(name, width)
        m = {key: float(np.median([row[key] for row in rows])) for key in rows[0]}
        ends = "; ".join(
            f"λ₁ {m[f'lambda_max_{end}']:.2g}, λ₁/λ₁₀ {m[f'lambda_max_{end}'] / m[f'tenth_{end}']:.1e}, effective rank "
            f"{m[f'effective_rank_{end}']:.2f}, above the floor {m[f'rank_{end}']:.0f} of {m['residuals']:.0f}"
            for end in ("initial", "final")
        )
        between = [row["drift"] for row in rows]
        ratio[width] = m["lambda_max_initial"] / m["tenth_initial"]
        print(f"  width {width}: {ends}; drift {m['drift']:.3g} ({min(between):.2g} to {max(between):.2g}), ", end="")
        print(f"train {m['train_loss']:.1e}, test {m['test_error']:.1e}")
        assert all(row["rank_initial"] < row["residuals"] for row in rows), "else its condition number is known"
        assert all(row["drift"] > 1 for row in rows), "else the kernel would hardly move"
    assert ratio[10] < ratio[50] < ratio[200]
