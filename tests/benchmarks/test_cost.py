"""The cost model of a map."""

from __future__ import annotations

from sciml_backend.benchmarks.cost import costs
from sciml_backend.run import MapName


def test_a_problem_with_few_nodes_has_a_cost_too() -> None:
    ((name, cost),) = costs([MapName("pinn", "poisson_1d", "adam")]).items()
    assert name == "pinn/poisson_1d/adam"
    assert cost["iterations"] == 20_000 and cost["seconds_fixed"] + 1000 * cost["seconds_per_point"] > 0
