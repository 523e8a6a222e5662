"""Rounding at the end of a float32 training: the fused kernel's against plain torch's, both held to float64.

L-BFGS stalls where rounding drowns its descent, so a kernel that rounds worse than torch would move regime II.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sciml_backend import catalog, sweep
from sciml_backend.objectives.physics import Physics
from sciml_backend.run import MapName
from sciml_backend.store import spool

CELLS = [
    ("convection", {"beta": 50.0}, 500),
    ("convection", {"beta": 30.0}, 1000),
    ("reaction", {"rho": 5.0}, 500),
    ("reaction_diffusion", {"rho": 5.0}, 500),
    ("wave", {"c": 2.0}, 500),
]


@pytest.mark.parametrize(("problem", "at", "data"), CELLS)
def test_the_kernel_rounds_no_worse_than_torch(problem: str, at: dict[str, float], data: int) -> None:
    name = MapName("pinn", problem, "lbfgs")
    (spec,) = sweep.plan(name, coefficients={k: [v] for k, v in at.items()}, data=[data])
    trained = sweep.from_bytes(spool.read_weights(spec.cell_id).final or b"", "float32")
    physics = catalog.problem(problem)
    options = {
        "coefficients": {k: [v] for k, v in spec.coefficients.items()},
        "points": physics.points(data, data_seed=0),
    }
    model = sweep.model_of(spec)
    exact = Physics(physics, model, dtype=torch.float64, **options)
    generator = torch.Generator().manual_seed(0)
    near = [(trained + 1e-6 * torch.randn(trained.shape, generator=generator))[None] for _ in range(50)]

    def noise(fused: bool) -> tuple[float, float]:
        """Root mean squares of the relative error of the loss and of the error of the gradient."""
        rounded = Physics(physics, model, dtype=torch.float32, fused=fused, **options)
        losses, gradients = [], []
        for theta in near:
            (value, gradient), (loss, slope) = (
                rounded.value_and_gradient(theta),
                exact.value_and_gradient(theta.double()),
            )
            losses.append(float(value[0]) / float(loss[0]) - 1)
            gradients.append(float((gradient - slope).norm()))
        return float(np.sqrt(np.mean(np.square(losses)))), float(np.sqrt(np.mean(np.square(gradients))))

    (kernel_loss, kernel_gradient), (torch_loss, torch_gradient) = noise(True), noise(False)
    print(f"\n{problem} {at} N_f={data}: loss {kernel_loss:.1e} / {torch_loss:.1e}, "
          f"gradient {kernel_gradient:.1e} / {torch_gradient:.1e} (kernel / torch)")  # fmt: skip
    assert kernel_loss <= 1.3 * torch_loss
    assert kernel_gradient <= 1.3 * torch_gradient
