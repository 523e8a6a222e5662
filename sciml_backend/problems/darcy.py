"""2D Darcy flow through two materials; Li et al. (2021), arXiv:2111.03794, with the contrast of arXiv:2605.29153.

The permeability is one of two constants, as the sign of a Gaussian random field has it. Solutions are computed on a
grid of seven cells for one of the network's, and sampled. So sampled, they satisfy some equations and not others:

``published``   -[(a u_x)_x + (a u_y)_y], each derivative a central difference over two cells, a as sampled. It knows a
                only at the nodes and is 0.7 (r = 2), 1.5 (r = 4) and 3 (r = 10) off at the solution itself on 61 nodes,
                0.4, 0.9 and 2 on 31, where u = 0 is 1 off: of these two it prefers zero from r = 3 on, or from 6.
``corrected``   nine-point stencils fitted to the fine permeability around each node, at most 0.01 off at the solution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml_backend.problem import Coefficient
from sciml_backend.run import BadRequest
from sciml_backend.solution_operator import Array, SolutionOperator
from sciml_backend.solvers import finite_difference
from sciml_backend.solvers.fitted_stencil import fitted_stencils
from sciml_backend.solvers.gaussian_field import gaussian_field

FINE = 7
"""Cells of the grid that is solved on for one of the network's."""
LOW = 3.0
"""The lower permeability; r times it is the higher."""
TOGETHER = 8
"""Fields drawn at a time. The generator makes numbers by sixteens, and eight fields are a whole number of them."""


class Darcy(SolutionOperator):
    """-div(a grad u) = 1 on the unit square, u = 0 on its border; a is 3 or 3 r.

    From a and the coordinates to u. At r = 1 all samples are one and the same.
    """

    label = "2D Darcy flow"
    equation = "−∇·(a ∇u) = 1 on (0, 1)²,  u = 0 on the border,  a ∈ {3, 3r}"
    channels = 3
    grids: ClassVar[Mapping[int, int]] = {61: 200, 31: 50}
    heldout = "test"
    splits: ClassVar[Mapping[str, int]] = {"train": 2000, "test": 2000}
    coefficients = (Coefficient(name="r", label="r", low=1.0, high=100.0, axis=(1, 2, 3, 4, 5, 6, 8, 10), easiest=1.0),)
    data_axis = (5, 10, 20, 50, 100, 200, 500)

    families = ("pino",)

    @property
    def residuals(self) -> Mapping[str, Callable[[Tensor, Tensor], Tensor]]:
        """Ways to write the equation on a grid, of u and what ``known`` gives."""
        return RESIDUALS

    def nodes(self, grid: int) -> Array:
        return np.linspace(0, 1, grid)

    def solution(self, outputs: Tensor) -> Tensor:
        """Zero on the border: 0.001 sin πx sin πy times the network's output, as published."""
        along = torch.linspace(0, 1, outputs.shape[-1], dtype=torch.float64, device=outputs.device)
        wave = torch.sin(torch.pi * along)
        return outputs * (1e-3 * wave[:, None] * wave).to(outputs.dtype)

    def generate(
        self, n: int, c: Mapping[str, float], *, split: str, grid: int, data_seed: int
    ) -> dict[str, NDArray[Any]]:
        along = np.linspace(0, 1, grid)
        fields = np.empty((n, 3, grid, grid), np.float32)
        targets = np.empty((n, 1, grid, grid), np.float32)
        fields[:, 1], fields[:, 2] = along, along[:, None]
        fewer = max((m for m in self.data_axis if m < n), default=0) if split == "train" else 0
        if fewer:  # solving is what takes long, and the map's smaller sets begin this one
            solved = self.samples(fewer, c, split=split, grid=grid, data_seed=data_seed)
            targets[:fewer] = solved.targets
        for i, a in enumerate(permeabilities(n, c["r"], grid=grid, seed=_seed(split, data_seed))):
            fields[i, 0] = a[::FINE, ::FINE]
            if i >= fewer:
                targets[i, 0] = finite_difference.solve(a)[::FINE, ::FINE]
        return {
            "fields": fields,
            "numbers": np.empty((n, 0), np.float32),
            "targets": targets,
            "sizes": np.ones(n, np.float32),
            "units": np.ones(3, np.float32),
        }

    def known(
        self,
        residual: str,
        n: int,
        c: Mapping[str, float],
        *,
        split: str = "train",
        grid: int | None = None,
        data_seed: int = 0,
    ) -> NDArray[np.float32]:
        """What a residual of ``RESIDUALS`` reads beside u, for the n samples of the same arguments, (n, …).

        Raises BadRequest when there is no such residual, and as ``samples`` does.
        """
        if residual not in RESIDUALS:
            raise BadRequest(f"{self.label} has no residual {residual!r}; it has {', '.join(RESIDUALS)}.")
        if residual == "published":
            return self.samples(n, c, split=split, grid=grid, data_seed=data_seed).fields[:, 0]
        c, grid = self.complete(c), grid or self.grid
        self._check(n, split, grid)

        def make() -> dict[str, NDArray[Any]]:
            fields = permeabilities(n, c["r"], grid=grid, seed=_seed(split, data_seed))
            return {"stencils": np.stack([fitted_stencils(a, step=FINE).astype(np.float32) for a in fields])}

        of = {"stencils": n, "c": c, "split": split, "grid": grid, "data_seed": data_seed}
        return self.kept(make, **of)["stencils"]


def permeabilities(n: int, r: float, *, grid: int, seed: int) -> Iterator[Array]:
    """n fields of 3 and 3 r on the fine grid; the first ones are the same whatever n."""
    side = FINE * (grid - 1) + 1
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, n, TOGETHER):
        noise = torch.randn(TOGETHER, side, side // 2 + 1, 2, generator=generator)
        fields = gaussian_field(torch.view_as_complex(noise).numpy(), tau=3, alpha=2)
        for z in fields[: n - start]:
            yield np.where(z >= 0, LOW * r, LOW)


def _seed(split: str, data_seed: int) -> int:
    """The published ones with ``data_seed`` 0: 0 for the training set, 1 for the test set."""
    return 2 * data_seed + (split == "test")


def central_differences(u: Tensor, a: Tensor) -> Tensor:
    """The published residual, (…, h - 4, w - 4), of u (…, h, w) and the sampled a, with spacing 1 / (h - 1)."""
    twice = 2 / (u.shape[-1] - 1)
    inside = a[..., 1:-1, 1:-1]
    across = inside * (u[..., 1:-1, 2:] - u[..., 1:-1, :-2]) / twice
    along = inside * (u[..., 2:, 1:-1] - u[..., :-2, 1:-1]) / twice
    divergence = across[..., 1:-1, 2:] - across[..., 1:-1, :-2] + along[..., 2:, 1:-1] - along[..., :-2, 1:-1]
    return -divergence / twice - 1


def nine_points(u: Tensor, stencils: Tensor) -> Tensor:
    """The corrected residual, (…, h - 2, w - 2), of u (…, h, w) and stencils (…, 9, h - 2, w - 2)."""
    height, width = u.shape[-2] - 2, u.shape[-1] - 2
    around = [u[..., i : i + height, j : j + width] for i in range(3) for j in range(3)]
    total = stencils[..., 0, :, :] * around[0]
    for k in range(1, 9):
        total = total + stencils[..., k, :, :] * around[k]
    return total - 1


RESIDUALS = {"published": central_differences, "corrected": nine_points}
"""-div(a grad u) - 1 inside the square, of u and what ``Darcy.known`` gives; relative to the source 1."""
