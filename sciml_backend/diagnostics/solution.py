"""What the network learned, beside what it should have learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from sciml_backend.diagnostic import Diagnostic, Finding, require_finite

if TYPE_CHECKING:
    from sciml_backend.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Solution(Diagnostic):
    """The network's solution, the reference solution and their difference on the test grid.

    Arrays, in the problem's units: the grid's nodes by coordinate, and ``solution`` and ``reference`` on it, the last
    coordinate first; ``x`` (129,), ``t`` (101,) and fields (101, 129) in one dimension and time. Numbers ``test_error``
    (relative L2) and ``largest_error`` (absolute). Of functions of several components their names, ``components`` (m,),
    and fields (m, …). Where even the true solution has a loss, that ``floor`` beside the run's ``train_loss``.
    """

    label: ClassVar[str] = "Solution"

    def compute(self, objective: Objective, *, theta_initial: Tensor, theta_final: Tensor) -> Finding:
        """Evaluate the trained network and the reference on the test grid; raises BadRequest for a diverged run."""
        require_finite(theta_final)
        theta = theta_final[None]
        found = objective.solution(theta)
        arrays = found | {name: found[name][0] for name in ("solution", "reference")}
        numbers = {
            "test_error": float(objective.errors(theta)["test_error"][0]),
            "largest_error": float(abs(arrays["solution"] - arrays["reference"]).max()),
        }
        floor = objective.floor()
        if floor is not None and bool(floor.isfinite().all()):
            numbers["floor"] = float(floor[0])
            numbers["train_loss"] = float(objective.training_error(theta)[0])
        return Finding(numbers, arrays)
