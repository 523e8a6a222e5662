"""Regime maps in numbers: thresholds, labels, boundaries and comparisons; numpy, scipy, pandas, contourpy only."""

from sciml_backend.regimes.boundaries import LEVELS, Boundary, boundaries, perturbations
from sciml_backend.regimes.carry_over import WAYS, carry_over, fractions
from sciml_backend.regimes.cells import axes, complete, matrix
from sciml_backend.regimes.footing import FULL, Footing, footing
from sciml_backend.regimes.improvement import improvement, paired_improvement
from sciml_backend.regimes.labels import REGIMES, Regime, label, labelled, shares
from sciml_backend.regimes.presets import figure_1_thresholds, paper_boundaries, paper_thresholds, representatives
from sciml_backend.regimes.seeds import LEAST_SEEDS, LOST, seed_means, seed_medians
from sciml_backend.regimes.shift import Place, boundary_shift, on_shared_axes, shift_summary
from sciml_backend.regimes.summary import summary
from sciml_backend.regimes.tally import gains, regime_counts, shared_cells
from sciml_backend.regimes.thresholds import RULES, Threshold, Thresholds
from sciml_backend.regimes.transition import Sharpness, sharpness, transitions
from sciml_backend.regimes.winners import SIGNIFICANCE, Verdict, Win, against, winners

__all__ = [
    "FULL",
    "LEAST_SEEDS",
    "LEVELS",
    "LOST",
    "REGIMES",
    "RULES",
    "SIGNIFICANCE",
    "WAYS",
    "Boundary",
    "Footing",
    "Place",
    "Regime",
    "Sharpness",
    "Threshold",
    "Thresholds",
    "Verdict",
    "Win",
    "against",
    "axes",
    "boundaries",
    "boundary_shift",
    "carry_over",
    "complete",
    "figure_1_thresholds",
    "footing",
    "fractions",
    "gains",
    "improvement",
    "label",
    "labelled",
    "matrix",
    "on_shared_axes",
    "paired_improvement",
    "paper_boundaries",
    "paper_thresholds",
    "perturbations",
    "regime_counts",
    "representatives",
    "seed_means",
    "seed_medians",
    "shared_cells",
    "shares",
    "sharpness",
    "shift_summary",
    "summary",
    "transitions",
    "winners",
]
