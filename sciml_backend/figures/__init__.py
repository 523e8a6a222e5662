"""Data frames and arrays in, plotly figures out; readable on a light and on a dark page."""

from sciml_backend.figures.cell_grid import clicked_cell
from sciml_backend.figures.curves import curves
from sciml_backend.figures.landscape import landscape
from sciml_backend.figures.regime_map import regime_map
from sciml_backend.figures.solution import solution
from sciml_backend.figures.spectrum import spectrum
from sciml_backend.figures.training import training

__all__ = ["clicked_cell", "curves", "landscape", "regime_map", "solution", "spectrum", "training"]
