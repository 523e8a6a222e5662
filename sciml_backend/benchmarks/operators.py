"""The Fourier neural operator's training step beside the textbook's; alternating, one thread, medians."""

from __future__ import annotations

import time
from statistics import median

import torch
from torch import Tensor

from sciml_backend.benchmarks.engine import alternate
from sciml_backend.benchmarks.textbook import TextbookFNO
from sciml_backend.engine import provenance
from sciml_backend.models.fno import FNO

CASES = ((32, 12, 128), (64, 16, 128), (128, 16, 128))
"""Grid points a side, modes and samples of a batch: the coarse preset's, one between, the published."""


def step(side: int, modes: int, batch: int, *, rounds: int) -> dict[str, float]:
    """Milliseconds of loss and gradient of a batch with 4 channels, and of its outputs alone."""
    model, generator = FNO(modes=modes), torch.Generator().manual_seed(0)
    theta = model.init(0)[None]
    fields, wanted = (torch.randn(batch, c, side, side, generator=generator) for c in (model.inputs, model.outputs))
    textbook = TextbookFNO(model, theta[0])
    fast = model.on_grid(side, side, dtype=torch.float32, device=torch.device("cpu"), most=batch)

    def theirs() -> None:
        textbook.zero_grad()
        (textbook(fields) - wanted).square().mean().backward()

    def share(outputs: Tensor, *, row: int, samples: slice) -> Tensor:
        return (outputs - wanted[samples]).square().sum() / wanted.numel()

    ours_s, theirs_s, ratio = alternate(lambda: fast.value_and_gradient(theta, fields, share), theirs, rounds=rounds)
    forward_s = []
    for _ in range(rounds):
        started = time.perf_counter()
        fast.predict(theta, fields)
        forward_s.append(time.perf_counter() - started)
    return {
        "grid": side,
        "modes": modes,
        "batch": batch,
        "textbook_ms": theirs_s * 1e3,
        "ours_ms": ours_s * 1e3,
        "times_faster": ratio,
        "forward_ms": median(forward_s) * 1e3,
        "megabytes": fast.bytes / 1e6,
    }


def steps(*, rounds: int = 9) -> list[dict[str, float]]:
    """A row for every case; the largest takes a third of the rounds."""
    provenance.prepare("cpu", threads=1)
    return [step(n, m, b, rounds=rounds if n < 128 else max(1, rounds // 3)) for n, m, b in CASES]
