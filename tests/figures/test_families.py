"""Figures of several families: small maps, dots and the matrix show the numbers of their tables."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from sciml_backend.figures import REGIME_COLOURS, carry_matrix, clicked_cell, label_map, sharpness_dots
from sciml_backend.regimes import Threshold, Thresholds, boundaries, complete, labelled

CUT = Thresholds(train=Threshold(rule="absolute", value=0.5), test=Threshold(rule="absolute", value=0.5))


@pytest.fixture
def cells():
    """I, III, II in the lower row; IV, a diverged cell and a missing one in the upper."""
    grid = pd.DataFrame(
        {
            "x": [5.0, 10, 30, 5, 10],
            "y": [100.0, 100, 100, 500, 500],
            "train_loss": [0, 0, 1, 1, np.nan],
            "test_error": [0, 1, 1, 0, np.nan],
            "n_seeds": [3, 3, 3, 3, 0],
            "n_diverged": [0, 0, 0, 0, 3],
            "n_failed": 0,
        }
    )
    return labelled(complete(grid), CUT)


def test_a_small_map_has_the_colours_of_its_labels(cells):
    figure = label_map(cells, boundaries=boundaries(cells, CUT, levels=(0.0,)), x_title="β", y_title="N_f")
    heat = figure.data[0]
    np.testing.assert_array_equal(heat.z, [[0, 2, 1], [3, np.nan, np.nan]])
    steps = {(low, tone) for low, tone in heat.colorscale}
    for k, colour in enumerate(REGIME_COLOURS.values()):
        assert (k / 4, colour) in steps and ((k + 1) / 4, colour) in steps
    assert {t.name for t in figure.data} >= {"not computed yet", "diverged: no finite value"}
    go.Figure(figure.to_dict())


def test_a_small_map_says_what_a_cell_is_and_which_one_was_clicked(cells):
    figure = label_map(cells, x_title="β", y_title="N_f", n_clicks=2)
    texts = figure.data[-1].hovertext
    assert texts[1].startswith("<b>β = 10, N_f = 100</b>") and "regime III" in texts[1]
    assert "not computed yet" in texts[5] and figure.layout.meta == {"n_clicks": 2}
    assert clicked_cell(cells, {"points": [{"point_index": 3}]}) == (5.0, 500.0)


def test_both_boundaries_are_drawn_in_unlike_dashes():
    grid = pd.DataFrame({"x": [1.0, 2, 3] * 2, "y": np.repeat([1.0, 2], 3), "train_loss": [0, 0, 1] * 2})
    cells = labelled(complete(grid.assign(test_error=[0, 1, 1] * 2)), CUT)
    figure = label_map(cells, boundaries=boundaries(cells, CUT, levels=(0.0,)))
    train, test = (next(t for t in figure.data if t.name == f"{m} boundary") for m in ("train", "test"))
    assert set(train.x[:-1]) == {1.5} and set(test.x[:-1]) == {0.5} and train.line.dash == "solid" != test.line.dash


def test_long_axes_have_every_other_tick():
    xs = np.arange(1.0, 13)
    grid = pd.DataFrame({"x": np.repeat(xs, 2), "y": [1.0, 2.0] * 12, "train_loss": 1.0, "test_error": 1.0})
    cells = labelled(complete(grid), CUT)
    layout = label_map(cells).layout
    assert layout.xaxis.ticktext == ("1", "3", "5", "7", "9", "11") and layout.yaxis.ticktext == ("1", "2")
    grid = grid[grid["x"] <= 8].assign(x=lambda g: 1000.5 * g["x"])  # eight long ones
    layout = label_map(labelled(complete(grid), CUT)).layout
    assert layout.xaxis.ticktext == ("1000.5", "3001.5", "5002.5", "7003.5")


@pytest.fixture
def sharp():
    return pd.DataFrame(
        {
            "label": ["1 · PINN", "2 · NODE", "3 · PINN"],
            "family": ["PINN", "NODE", "PINN"],
            "value": [0.9, 0.7, np.nan],
            "error": [0.1, np.nan, np.nan],
            "of_means": [0.8, 0.4, 0.2],
            "said": ["a", "b", "c"],
        }
    )


def test_dots_stand_at_the_values_with_their_errors_first_row_on_top(sharp):
    figure = sharpness_dots(sharp, ["NODE", "PINN"], unit="ranges per cell")
    go.Figure(figure.to_dict())
    assert figure.layout.yaxis.ticktext == ("3 · PINN", "2 · NODE", "1 · PINN")
    dots = {t.name: t for t in figure.data if t.error_x.array is not None}
    pinn = dots["PINN"]
    np.testing.assert_array_equal(pinn.x, [np.nan, 0.9])
    assert list(pinn.y) == [0, 2] and list(pinn.error_x.array) == [0, 0.1] and list(pinn.hovertext) == ["c", "a"]
    assert dots["NODE"].marker.color != pinn.marker.color
    rings = [t for t in figure.data if t.name == "PINN" and t.error_x.array is None]
    assert (
        set(rings[0].marker.symbol) == {"circle-open"}
        and list(rings[0].x) == [0.2, 0.8]
        and rings[0].marker.color == pinn.marker.color
    )


def test_a_value_far_from_all_others_does_not_squeeze_them(sharp):
    far = sharp.assign(value=[5e4, 0.7, 0.5])
    (dots,) = (t for t in sharpness_dots(far, ["PINN"], unit="").data if t.error_x.array is not None)
    go.Figure([dots.to_plotly_json()])
    assert list(dots.marker.symbol) == ["circle", "triangle-right"] and list(dots.text) == ["", "5e+04"]
    assert list(dots.x)[1] == pytest.approx(6 * 0.6) and list(dots.error_x.array) == [0, 0]


def test_maps_without_any_transition_leave_the_axis_empty(sharp):
    nothing = sharp.assign(value=np.nan, of_means=np.nan, error=np.nan)
    figure = sharpness_dots(nothing, ["NODE", "PINN"], unit="")
    assert all(np.isnan(list(t.x)).all() for t in figure.data if t.name in ("NODE", "PINN"))


def test_colours_stay_with_their_family_whatever_the_order(sharp):
    def colours(table):
        figure = sharpness_dots(table, ["NODE", "PINN"], unit="")
        return {t.name: t.marker.color for t in figure.data if t.name in ("NODE", "PINN")}

    assert colours(sharp) == colours(sharp.iloc[::-1])


def test_the_matrix_has_its_numbers_in_the_cells_and_its_first_row_on_top():
    shares = pd.DataFrame([[1.0, 0.256], [np.nan, 1.0]], index=["a", "b"], columns=["a", "b"])
    figure = carry_matrix(shares, rows=["1 · A<br>x", "2 · B"], columns=["1", "2"])
    go.Figure(figure.to_dict())
    heat = figure.data[0]
    assert [list(row) for row in heat.text] == [["100", "26"], ["–", "100"]]
    said = "thresholds of <b>1 · A, x</b><br>on <b>2 · B</b><br>26 % of the cells keep their regime"
    assert heat.hovertext[0][1] == said
    assert "no cell can be compared" in heat.hovertext[1][0]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    assert figure.layout.yaxis.ticktext == ("1 · A<br>x", "2 · B") and figure.layout.xaxis.ticktext == ("1", "2")
