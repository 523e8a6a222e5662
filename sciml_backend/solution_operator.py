"""Solution operator: the map from the fields and numbers of an equation to the field that solves it, given by examples.

What is learned is the whole map, so the data are solved equations: a training set and one held out, on a square grid.
"""

from __future__ import annotations

import hashlib
import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sciml_backend import disk_cache
from sciml_backend.problem import Coefficient, Problem
from sciml_backend.run import BadRequest
from sciml_backend.solvers import periodic_square

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]
Rows = slice | NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """n solved equations in float32: what is given, as it stands in the equation, and the solutions.

    A network sees ``inputs``: ``sizes`` and ``units`` are what they are divided by, from the training pool alone.
    """

    fields: Array32
    """What is given at each node, (n, f, h, w)."""
    numbers: Array32
    """What is given once for the whole field, (n, k)."""
    targets: Array32
    """The solutions, (n, 1, h, w)."""
    sizes: Array32
    """A sample's size over the typical one, (n,)."""
    units: Array32
    """The typical value in each channel, (f + k,)."""

    def __len__(self) -> int:
        return len(self.targets)

    def inputs(self, rows: Rows = slice(None)) -> Array32:
        """The channels as a network sees them, (rows, f + k, h, w): numbers become constant fields."""
        fields, numbers = self.fields[rows], self.numbers[rows]
        over = 1 / (self.sizes[rows, None] * self.units)
        found = np.empty((len(fields), len(self.units), *fields.shape[2:]), dtype=np.float32)
        split = fields.shape[1]
        np.multiply(fields, over[:, :split, None, None], out=found[:, :split])
        found[:, split:] = (numbers * over[:, split:])[..., None, None]
        return found


class SolutionOperator(Problem):
    """A problem whose data are ``samples``, and whose network maps ``channels`` fields to one."""

    channels: ClassVar[int]
    """Inputs at each node."""
    grids: ClassVar[Mapping[int, int]]
    """Nodes along a side, the usual one first, to how many samples are held out there."""
    heldout: ClassVar[str]
    """The split that errors are measured on."""
    splits: ClassVar[Mapping[str, int]]
    """How many samples there are to take, by split; ``train`` is one."""
    generator: ClassVar[int] = 1
    """Rises with every change that changes samples."""

    data_name = "N"
    data_label = "training samples N"
    data_source = "the pool that training sets are taken from"
    variants = ("", "coarse")

    @abstractmethod
    def nodes(self, grid: int) -> Array:
        """The nodes along a side, (grid,)."""

    @property
    def residuals(self) -> Mapping[str, Callable[[Tensor, Tensor], Tensor]]:
        """Ways to write the equation on a grid by name, of u and what ``known`` gives; none where it has no equation.

        Relative to the source.
        """
        return {}

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
        """What a residual reads beside u, for the n samples of the same arguments, (n, …)."""
        raise BadRequest(f"{self.label} has no residual {residual!r}.")

    def solution(self, outputs: Tensor) -> Tensor:
        """Solutions (…, h, w) of what a network gives there; a problem may build its border into it."""
        return outputs

    @property
    def grid(self) -> int:
        """Nodes along a side."""
        return next(iter(self.grids))

    @property
    def data_limit(self) -> int:
        """How many training samples there are."""
        return self.splits["train"]

    def samples(
        self, n: int, c: Mapping[str, float], *, split: str = "train", grid: int | None = None, data_seed: int = 0
    ) -> Samples:
        """n samples for coefficients c, on ``grid`` nodes along a side; computed once, then read from the disk.

        The same for the same arguments, whoever asks. Along the axis of data training sets are nested. Raises
        BadRequest when there are not so many samples, no such split or no such grid.
        """
        c, grid = self.complete(c), grid or self.grid
        self._check(n, split, grid)
        return Samples(
            **self.kept(
                lambda: self.generate(n, c, split=split, grid=grid, data_seed=data_seed),
                **{"n": n, "c": c, "split": split, "grid": grid, "data_seed": data_seed},
            )
        )

    @abstractmethod
    def generate(
        self, n: int, c: Mapping[str, float], *, split: str, grid: int, data_seed: int
    ) -> dict[str, NDArray[Any]]:
        """The arrays of ``Samples`` by name, computed."""

    def kept(self, make: Callable[[], dict[str, NDArray[Any]]], **of: Any) -> dict[str, NDArray[Any]]:
        """What ``make`` gives, from the cache when it is there; ``of`` is what it depends on beside this class."""
        cls = type(self)
        source = hashlib.sha256(Path(inspect.getfile(cls)).read_bytes()).hexdigest()
        of |= {"problem": cls.__qualname__, "source": source, "generator": self.generator}
        return disk_cache.kept(of, make)

    def _check(self, n: int, split: str, grid: int) -> None:
        if split not in self.splits:
            raise BadRequest(f"{self.label} has no split {split!r}; it has {', '.join(self.splits)}.")
        if grid not in self.grids:
            known = " or ".join(map(str, self.grids))
            raise BadRequest(f"{self.label} is sampled with {known} nodes a side, got {grid}.")
        if split == "train":
            self.check_data(n)
        elif not 1 <= n <= self.splits[split]:
            raise BadRequest(f"The {split} split has 1 to {self.splits[split]:,} samples to take, got {n:,}.")


def ranges(name: str, label: str, bounds: Mapping[float, float]) -> Coefficient:
    """A coefficient drawn for each sample from one of the ranges ``bounds``, which goes by its lower end."""
    names = tuple(f"{low:g}-{high:g}" for low, high in bounds.items())
    return Coefficient(name=name, label=label, low=min(bounds), high=max(bounds), axis=tuple(bounds), names=names)


class PeriodicOperator(SolutionOperator):
    """A source and constant coefficients to the field they drive on the periodic unit square, by Fourier series.

    Subramanian et al. (2023), Towards foundation models for scientific machine learning, arXiv:2306.00258. A source is
    a sum of 144 Gaussians, each there or not and with a height of its own, over its largest value, its mean removed.
    A pool has four quarters, in which a Gaussian is left out with a chance of 0.2, 0.4, 0.6 and 0.8; a set of n is
    taken from it at equal distances, so it has four such quarters too and, along the axis of data, holds all smaller
    sets. A pool is its random numbers: only the rows of a set are solved. They are the same for all ranges.
    """

    grids: ClassVar[Mapping[int, int]] = {128: 1024, 32: 256}
    heldout = "validation"
    families = ("fno",)
    splits: ClassVar[Mapping[str, int]] = {"train": 32_768, "validation": 4096, "test": 4096}
    data_axis = (128, 256, 512, 1024, 2048, 4096, 8192, 16_384)

    SIDE = 12
    OMITTED = (0.2, 0.4, 0.6, 0.8)
    LEAST = 1e-3
    """The smallest height of a Gaussian; the largest is 1."""
    OTHERS = 4
    """Random numbers of a sample beside its source's."""
    TYPICAL = 2048
    """Samples of the training pool that the typical sizes are medians of, whatever the size of the training set."""
    TOGETHER = 256

    def nodes(self, grid: int) -> Array:
        return np.arange(grid) / grid

    @abstractmethod
    def drawn(self, others: Array, c: Mapping[str, float]) -> tuple[Array, Array | None]:
        """Diffusion (n, 3) and velocity (n, 2) from uniform random numbers (n, OTHERS)."""

    def generate(
        self, n: int, c: Mapping[str, float], *, split: str, grid: int, data_seed: int
    ) -> dict[str, NDArray[Any]]:
        size, units = self._typical(c, grid, data_seed)
        found: dict[str, NDArray[Any]] = {
            "fields": np.empty((n, 1, grid, grid), np.float32),
            "numbers": np.empty((n, self.channels - 1), np.float32),
            "targets": np.empty((n, 1, grid, grid), np.float32),
            "sizes": np.empty(n, np.float32),
            "units": np.array([1.0, *units], np.float32),
        }
        random = self._random(n, split=split, data_seed=data_seed)
        for start in range(0, n, self.TOGETHER):
            rows = slice(start, start + self.TOGETHER)
            source, diffusion, velocity = self._posed(random[rows], n, start, c, grid)
            found["fields"][rows, 0] = source
            found["numbers"][rows] = _columns(diffusion, velocity)
            found["targets"][rows, 0] = periodic_square.solve(source, diffusion=diffusion, velocity=velocity)
            found["sizes"][rows] = _norm(source) / size
        return found

    def _random(self, n: int, *, split: str, data_seed: int) -> Array:
        """The rows of a pool that make a set of n: uniform numbers, (n, 2 SIDE² + OTHERS)."""
        size = self.splits[split]
        seed = [data_seed, list(self.splits).index(split)]
        pool = np.random.RandomState(seed).random_sample((size, 2 * self.SIDE**2 + self.OTHERS))
        return np.asarray(pool[np.arange(n) * size // n])

    def _posed(
        self, random: Array, n: int, start: int, c: Mapping[str, float], grid: int
    ) -> tuple[Array, Array, Array | None]:
        """Source, diffusion and velocity of the samples from ``start`` on in a set of n."""
        quarter = (start + np.arange(len(random))) * len(self.OMITTED) // n
        bumps = self.SIDE**2
        chance, height = random[:, :bumps], random[:, bumps : 2 * bumps]
        there = chance > np.take(self.OMITTED, quarter)[:, None]
        there |= chance == chance.max(axis=1, keepdims=True)  # never none at all
        heights = np.where(there, self.LEAST + (1 - self.LEAST) * height, 0).reshape(-1, self.SIDE, self.SIDE)
        source = periodic_square.bumps(heights, side=grid, width=1 / 32, spacing=1 / 16)
        source /= source.max(axis=(1, 2), keepdims=True)
        source -= source.mean(axis=(1, 2), keepdims=True)
        return source, *self.drawn(random[:, 2 * bumps :], c)

    def _typical(self, c: Mapping[str, float], grid: int, data_seed: int) -> tuple[float, Array]:
        """Medians over the training pool: of the source's norm, and of each number's modulus (1 where that is 0)."""
        n, norms, numbers = self.TYPICAL, [], []
        random = self._random(n, split="train", data_seed=data_seed)
        for start in range(0, n, self.TOGETHER):
            source, diffusion, velocity = self._posed(random[start : start + self.TOGETHER], n, start, c, grid)
            norms.append(_norm(source))
            numbers.append(_columns(diffusion, velocity))
        units = np.median(abs(np.concatenate(numbers)), axis=0)
        return float(np.median(np.concatenate(norms))), np.where(units == 0, 1.0, units)


def _norm(fields: Array) -> Array:
    return np.asarray(np.linalg.norm(fields, axis=(1, 2)))


def _columns(diffusion: Array, velocity: Array | None) -> Array:
    return diffusion if velocity is None else np.concatenate([diffusion, velocity], axis=1)
