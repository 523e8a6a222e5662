"""Data frames and arrays in, plotly figures out; readable on a light and on a dark page."""

from sciml_backend.figures.carry_matrix import carry_matrix
from sciml_backend.figures.cell_grid import clicked_cell
from sciml_backend.figures.cost_scatter import cost_scatter
from sciml_backend.figures.curves import curves
from sciml_backend.figures.eigenvalues import eigenvalues
from sciml_backend.figures.improvement_map import improvement_map
from sciml_backend.figures.label_map import REGIME_COLOURS, label_map
from sciml_backend.figures.landscape import landscape
from sciml_backend.figures.profile import profile
from sciml_backend.figures.regime_map import regime_map
from sciml_backend.figures.sharpness_dots import sharpness_dots
from sciml_backend.figures.solution import solution
from sciml_backend.figures.spectrum import spectrum
from sciml_backend.figures.style import AxisTitle, named, tick
from sciml_backend.figures.training import training
from sciml_backend.figures.winner_map import SURE, colour, winner_map

__all__ = [
    "REGIME_COLOURS",
    "SURE",
    "AxisTitle",
    "carry_matrix",
    "clicked_cell",
    "colour",
    "cost_scatter",
    "curves",
    "eigenvalues",
    "improvement_map",
    "label_map",
    "landscape",
    "named",
    "profile",
    "regime_map",
    "sharpness_dots",
    "solution",
    "spectrum",
    "tick",
    "training",
    "winner_map",
]
