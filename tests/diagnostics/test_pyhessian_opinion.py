import numpy as np
import pytest
import torch

from sciml_backend.diagnostics.hessian_extremes import HessianExtremes
from sciml_backend.diagnostics.pyhessian_opinion import PyHessianOpinion
from sciml_backend.diagnostics.spectrum import Spectrum


def test_two_independent_codes_agree(objective, run):
    theirs = PyHessianOpinion(steps=60, runs=8, tolerance=1e-6, iterations=200).compute(objective, **run)
    ours = HessianExtremes(steps=60).compute(objective, **run).numbers
    assert theirs.numbers["lambda_max"] == pytest.approx(ours["lambda_max"], rel=1e-4)
    error = np.hypot(theirs.numbers["trace_error"], ours["trace_error"])
    assert abs(theirs.numbers["trace"] - ours["trace"]) < 3 * error
    assert theirs.arrays["nodes"].max() == pytest.approx(ours["lambda_max"], rel=1e-5)

    spectrum = Spectrum(steps=60, probes=8).compute(objective, **run).arrays
    for level in (1e-2, 1e-1, 1.0):
        shares = (theirs.arrays["weights"] * (theirs.arrays["nodes"] > level)).sum(axis=1)
        mine = (spectrum["weights_final"] * (spectrum["nodes_final"] > level)).sum(axis=1)
        error = np.hypot(shares.std(), mine.std()) / 8**0.5
        assert abs(shares.mean() - mine.mean()) < 3.5 * error


def test_it_leaves_torch_as_it_was(objective, run):
    before = torch.get_default_dtype(), torch.eig, torch.random.get_rng_state()
    PyHessianOpinion(steps=3, runs=1, iterations=2).compute(objective, **run)
    assert torch.get_default_dtype() == before[0] and torch.eig is before[1]
    assert torch.equal(torch.random.get_rng_state(), before[2])
