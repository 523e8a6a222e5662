import numpy as np
import pytest
import torch

from sciml_backend.diagnostics.spectrum import Spectrum
from sciml_backend.run import BadRequest


def test_agrees_with_the_dense_hessian(objective, run):
    found = Spectrum(steps=60, probes=12).compute(objective, **run)
    numbers = found.numbers
    for end in ("initial", "final"):
        exact = torch.linalg.eigvalsh(objective.dense_hessian(run[f"theta_{end}"]))
        assert numbers[f"lambda_max_{end}"] == pytest.approx(float(exact[-1]), rel=1e-9)
        assert numbers[f"lambda_min_{end}"] == pytest.approx(float(exact[0]), abs=1e-9)
        floor = numbers[f"noise_floor_{end}"]
        assert floor < 1e-3 * float(exact[-1])
        for sign, name in ((-1, "negative"), (1, "positive")):
            share = float((sign * exact > floor).double().mean())
            error = numbers[f"{name}_share_error_{end}"]
            assert abs(numbers[f"{name}_share_{end}"] - share) < 3.5 * error + 1e-12


def test_one_grid_holds_both_densities(objective, run):
    found = Spectrum(steps=30, probes=3).compute(objective, **run)
    grid = found.arrays["eigenvalue"]
    decades = np.sign(grid) * np.log10(1 + np.abs(grid) / 1e-4)
    for end in ("initial", "final"):
        assert np.trapezoid(found.arrays[f"density_{end}"], decades) == pytest.approx(1, abs=1e-3)
        assert found.arrays[f"nodes_{end}"].shape == found.arrays[f"weights_{end}"].shape == (3, 30)


def test_a_spectrum_is_reproducible(objective, run):
    first, second = (Spectrum(steps=10, probes=2).compute(objective, **run) for _ in range(2))
    assert first.numbers == second.numbers
    other = Spectrum(steps=10, probes=2, seed=1).compute(objective, **run)
    assert first.numbers["negative_share_final"] != other.numbers["negative_share_final"]


def test_one_probe_shows_no_noise():
    with pytest.raises(BadRequest, match="at least 2"):
        Spectrum(probes=1)
