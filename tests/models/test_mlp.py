"""Where every training starts."""

from __future__ import annotations

import hashlib

import pytest
import torch

from sciml_backend.models.mlp import MLP


def test_initial_weights_are_xavier_normal_and_biases_zero():
    model = MLP()
    thetas = torch.stack([model.init(seed) for seed in range(40)])
    assert thetas.shape == (40, 5301) and thetas.dtype == torch.float32
    for block in model.layout:
        values = thetas[:, block.slice]
        if len(block.shape) == 1:
            assert not values.any()
        else:
            wanted = (2 / sum(block.shape)) ** 0.5
            assert float(values.std()) == pytest.approx(wanted, rel=0.05)
            assert abs(float(values.mean())) < 0.1 * wanted


def test_a_seed_gives_the_same_weights_on_every_machine():
    """Stored results rest on them: other weights are another protocol."""
    found = hashlib.sha256(MLP().init(0).numpy().tobytes()).hexdigest()
    assert found == "9f08bdb516a794ed113e4df447612552304c7fbf43c4647bdf635d55cc01ccc4"
