"""Classification: images with one label each, some of the training labels replaced by random ones.

The share of replaced labels makes any images hard to the same scale: at 0 they can be learned, at 1 only be memorised.
Zhang, Bengio, Hardt, Recht and Vinyals (2017), Understanding deep learning requires rethinking generalization,
arXiv:1611.03530.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sciml_backend.problem import Coefficient, Problem

Images = NDArray[np.float32]
Classes = NDArray[np.int64]

REPLACED = Coefficient(
    name="replaced", label="share of random labels", low=0.0, high=1.0, axis=(0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images (n, channels, h, w) and their classes (n,), from 0."""

    images: Images
    classes: Classes

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: NDArray[np.int64]) -> Labelled:
        return Labelled(self.images[rows], self.classes[rows])


class Classification(Problem):
    """A problem whose data are images to be told apart; ``names`` are those of its classes."""

    channels: ClassVar[int]
    names: ClassVar[tuple[str, ...]]
    side: ClassVar[int]
    """Pixels along a side."""
    mirrored: ClassVar[bool] = False
    """Whether an image's mirror image is one of the same class, so that training may show either."""

    coefficients = (REPLACED,)
    data_name = "N"
    data_label = "training images N"
    data_source = "the images to train on"
    families = ("resnet",)
    variants = ("", "narrow")

    @abstractmethod
    def known(self, split: str) -> Labelled:
        """All images of a split, ``train`` or ``test``, in pixels of any unit, with their true classes.

        Raises BadRequest when they are not there.
        """

    def labelled(self, n: int, c: Mapping[str, float], *, data_seed: int = 0) -> Labelled:
        """n training images with the labels that they are trained on; each label is replaced with the chance given.

        The same for the same arguments. Along both axes sets are nested: more data holds the less, and a label replaced
        at one share is replaced by the same at all larger ones. A replacement may be the true class.
        """
        self.check_data(n)
        pool = self.known("train")
        random = np.random.default_rng(data_seed)
        chosen = random.permutation(len(pool))[:n]
        chance, other = random.random(len(pool))[:n], random.integers(len(self.names), size=len(pool))[:n]
        found = self._scaled(pool[chosen])
        classes = np.where(chance < self.complete(c)[REPLACED.name], other, found.classes)
        return Labelled(found.images, classes)

    def heldout(self) -> Labelled:
        """The test images with their true classes."""
        return self._scaled(self.known("test"))

    def _scaled(self, some: Labelled) -> Labelled:
        """Each channel less its mean over the training pool, over its standard deviation there."""
        pool = self.known("train").images
        mean, square = (part.mean(axis=(0, 2, 3), dtype=np.float64)[:, None, None] for part in (pool, np.square(pool)))
        return Labelled(((some.images - mean) / np.sqrt(square - mean**2)).astype(np.float32), some.classes)
