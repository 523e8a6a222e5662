"""Regime maps in numbers: thresholds, labels, boundaries and comparisons; numpy, scipy, pandas, contourpy only."""

from sciml_backend.regimes.boundaries import LEVELS, Boundary, boundaries, perturbations
from sciml_backend.regimes.cells import axes, complete, matrix
from sciml_backend.regimes.footing import Footing, footing
from sciml_backend.regimes.improvement import improvement, paired_improvement
from sciml_backend.regimes.labels import REGIMES, Regime, label, labelled, shares
from sciml_backend.regimes.presets import figure_1_thresholds, paper_boundaries, paper_thresholds
from sciml_backend.regimes.shift import Place, boundary_shift, on_axes, shared_axes, shift_summary
from sciml_backend.regimes.summary import summary
from sciml_backend.regimes.thresholds import RULES, Threshold, Thresholds

__all__ = [
    "LEVELS",
    "REGIMES",
    "RULES",
    "Boundary",
    "Footing",
    "Place",
    "Regime",
    "Threshold",
    "Thresholds",
    "axes",
    "boundaries",
    "boundary_shift",
    "complete",
    "figure_1_thresholds",
    "footing",
    "improvement",
    "label",
    "labelled",
    "matrix",
    "on_axes",
    "paired_improvement",
    "paper_boundaries",
    "paper_thresholds",
    "perturbations",
    "shared_axes",
    "shares",
    "shift_summary",
    "summary",
]
