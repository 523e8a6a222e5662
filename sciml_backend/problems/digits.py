"""Handwritten digits of 8 x 8 pixels: the 1,797 images that come with scikit-learn.

Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
doi:10.24432/C50P49.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from sciml_backend import paths
from sciml_backend.classification import Classification, Labelled

TRAIN = 1400
"""Images to train on; the other 397 are the test."""


class Digits(Classification):
    """Which digit was written, from 8 x 8 grey values; 1,400 images to train on and 397 to test with, drawn once."""

    label = "Handwritten digits"
    equation = "image (8 × 8) ↦ digit;  a share of the labels is random"
    channels = 1
    side = 8
    names = tuple("0123456789")
    data_axis = (50, 100, 200, 400, 800, 1400)
    data_limit = TRAIN

    def known(self, split: str) -> Labelled:
        images, classes = _all()
        order = np.random.default_rng(1998).permutation(len(classes))
        return Labelled(images, classes)[order[:TRAIN] if split == "train" else order[TRAIN:]]


@cache
def _all() -> tuple[np.ndarray, np.ndarray]:
    table = np.loadtxt(paths.images() / "digits.csv.gz", delimiter=",", dtype=np.int64)
    return table[:, :-1].reshape(-1, 1, 8, 8).astype(np.float32), table[:, -1]
