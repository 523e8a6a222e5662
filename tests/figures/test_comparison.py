"""Figures that compare strategies: improvement, winners, costs, curves; their numbers are the tables'."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from sciml_backend.figures import SURE, clicked_cell, colour, cost_scatter, curves, improvement_map, winner_map
from sciml_backend.figures.style import CATEGORIES, paler
from sciml_backend.figures.winner_map import NONE_LOW
from sciml_backend.regimes import Threshold, Thresholds, boundaries, complete, improvement

NAMES = ("L-BFGS", "ALM")
CUT = Thresholds(train=Threshold(rule="absolute", value=0.5), test=Threshold(rule="absolute", value=0.5))


def grid(losses, **changes):
    """2 rows of 3 cells."""
    i, j = (a.ravel() for a in np.meshgrid(np.arange(3), np.arange(2)))
    cells = {"x": np.take([5.0, 10, 30], i), "y": np.take([100.0, 500], j), "train_loss": losses, "test_error": losses}
    return complete(pd.DataFrame(cells | {"n_seeds": 3, "n_diverged": 0, "n_failed": 0} | changes))


@pytest.fixture
def both():
    """The last cell diverged with the method, in the first one seed did."""
    method = grid([0.1, 0.2, 2.0, 0.01, 0.9, np.nan], n_diverged=[1, 0, 0, 0, 0, 3], n_seeds=[2, 3, 3, 3, 3, 0])
    return grid([0.2, 0.2, 0.2, 1.0, 1.0, 1.0]), method


@pytest.fixture
def gains(both):
    return improvement(*both, "train_loss")


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def test_colours_are_the_improvement_clipped_to_both_sides(gains):
    heat = improvement_map(gains, names=NAMES).data[0]
    np.testing.assert_allclose(heat.z, [[50, 0, -100], [99, 10, np.nan]])
    assert (heat.zmin, heat.zmax) == (-100, 100)
    assert heat.colorbar.ticktext[0] == "≤ −100 %"
    ends = {at: tone for at, tone in heat.colorscale}
    assert (ends[0.0], ends[0.5], ends[1.0]) == ("#B2182B", "#F7F7F7", "#2166AC"), "blue is better"


def test_factors_have_a_logarithmic_scale_equal_to_both_sides(gains):
    heat = improvement_map(gains, names=NAMES, factors=True).data[0]
    np.testing.assert_allclose(heat.z[:, 0], np.log10([2, 100]))
    assert heat.z[0, 2] == pytest.approx(-1) and (heat.zmin, heat.zmax) == (-2, 2)
    assert heat.colorbar.ticktext == ("≤ 1/100", "1/10", "1", "10 ×", "≥ 100 ×")


def test_hover_has_both_means_with_their_seeds(gains):
    texts = improvement_map(gains, names=NAMES, x_title="β", y_title="N_f").data[-1].hovertext
    assert texts[0].startswith(
        "<b>β = 5, N_f = 100</b><br>L-BFGS: 0.2 (mean of 3 seeds)<br>ALM: 0.1 (mean of 2 seeds, 1"
    )
    assert texts[2].endswith("−900 %"), "the number is not clipped"
    assert "ALM: – (no finite seed, 3 diverged)" in texts[5] and "%" not in texts[5]


def test_a_cell_that_one_of_the_two_has_not_is_hatched(both):
    figure = improvement_map(improvement(both[0], both[1].assign(state="missing"), "train_loss"), names=NAMES)
    assert trace(figure, "not computed yet") and "ALM: not computed yet" in figure.data[-1].hovertext[1]
    assert trace(improvement_map(improvement(*both, "train_loss"), names=NAMES), "diverged: no finite value")


def test_both_boundaries_differ_in_colour_and_dash(both, gains):
    drawn = [[b for b in boundaries(g, CUT) if b.metric == "train"] for g in both]
    figure = improvement_map(gains, names=NAMES, boundaries=tuple(drawn))
    base, method = (trace(figure, f"boundary, {name}").line for name in NAMES)
    assert base.color != method.color and base.dash == "solid" != method.dash
    go.Figure(figure.to_dict())


@pytest.fixture
def won():
    """L-BFGS wins surely, ALM leads, a tie, an undecidable cell, a lost one; one cell was not compared."""
    rows = [
        (5.0, 100.0, "WON", "lbfgs", "alm", 0.01, 0.1, 0.001),
        (10.0, 100.0, "LEADS", "alm", "lbfgs", 0.01, 0.02, 0.4),
        (30.0, 100.0, "TIED", "", "lbfgs", 0.1, 0.1, 1.0),
        (5.0, 500.0, "UNDECIDABLE", "", "lbfgs", 0.1, 0.2, np.nan),
        (10.0, 500.0, "LOST", "", "lbfgs", np.inf, np.inf, np.nan),
    ]
    columns = ["x", "y", "state", "winner", "runner_up", "lowest", "next", "p"]
    return pd.DataFrame(rows, columns=columns).assign(low=True, n_maps=2, n_seeds=3, n_lost=0, n_next=3, n_lost_next=1)


LABELS = {"alm": "ALM", "lbfgs": "L-BFGS", "sgd": "SGD"}


def test_a_winner_has_its_colour_and_a_lead_a_paler_one(won):
    heat = winner_map(won, LABELS, metric="test error").data[0]
    np.testing.assert_array_equal(heat.z, [[2, 1, np.nan], [np.nan, np.nan, np.nan]])
    scale = dict(zip(np.arange(7), [tone for _, tone in heat.colorscale][::2], strict=True))
    assert scale[2] == colour(1) == CATEGORIES[1] and scale[1] == paler(CATEGORIES[0])
    assert heat.text[0].tolist() == [f"L-BFGS {SURE}", "ALM", ""]


def test_a_cell_where_none_is_low_is_grey_and_still_names_the_lowest(won):
    figure = winner_map(won.assign(low=[True, False, False, False, False]), LABELS, metric="test error")
    heat = figure.data[0]
    np.testing.assert_array_equal(heat.z, [[2, 6, np.nan], [np.nan, np.nan, np.nan]])
    assert heat.colorscale[-1][1] == NONE_LOW and heat.text[0].tolist() == [f"L-BFGS {SURE}", "ALM", ""]
    assert "0.01, above its threshold, 3 seeds" in figure.data[-1].hovertext[1]
    assert [t.name for t in figure.data[1:] if t.marker.size == 11] == ["L-BFGS", "none is low"]


def test_cells_without_a_winner_say_why(won):
    figure = winner_map(won, LABELS, metric="test error", x_title="β", y_title="N_f")
    assert trace(figure, "fewer than two strategies") and trace(figure, "every run was lost")
    signs = {t.text[0]: (t.x[0], t.y[0]) for t in figure.data[1:] if t.mode == "text"}
    assert signs == {"=": (2, 0), "?": (0, 1)}
    texts = figure.data[-1].hovertext
    assert texts[0].startswith("<b>β = 5, N_f = 100</b><br><b>L-BFGS</b>: lowest, and significantly below the next")
    assert "test error: 0.01, 3 seeds<br>next, ALM: 0.1, 3 seeds, 1 lost<br>p = 0.001, 2 strategies" in texts[0]
    assert texts[5].endswith("fewer than two strategies have this cell")
    assert clicked_cell(won, {"points": [{"point_index": 5}]}) == (30.0, 500.0)


def test_the_legend_names_winners_only(won):
    figure = winner_map(won, LABELS, metric="test error")
    assert [t.name for t in figure.data[1:] if t.marker.size == 11] == ["ALM", "L-BFGS"]
    go.Figure(figure.to_dict())


def test_names_are_not_written_on_narrow_cells(won):
    long = LABELS | {"lbfgs": "L-BFGS · float64,depth=2"}
    assert winner_map(won, long, metric="test error").data[0].text[0].tolist() == [SURE, "ALM", ""]
    many = pd.concat([won.iloc[:1].assign(x=float(x)) for x in range(12)])
    assert set(winner_map(many, LABELS, metric="test error").data[0].text.ravel()) == {SURE}


@pytest.fixture
def costs():
    values = {"base": [100.0, 200, 400, np.inf, 100, 100], "method": [50.0, np.inf, 800, np.inf, np.nan, 100]}
    return pd.DataFrame({"x": [5.0, 10] * 3, "y": np.repeat([100.0, 500, 1000], 2)} | values)


def test_costs_are_the_tables_and_never_lies_beyond_all(costs):
    figure = cost_scatter(costs, names=NAMES, unit="evaluations", x_title="β", y_title="N_f")
    points, diagonal = figure.data
    np.testing.assert_array_equal(points.x, [100, 200, 400, np.nan, np.nan, 100])
    assert (points.y[0], points.y[2]) == (50, 800) and points.y[1] > 800 and np.isnan(points.y[[3, 4]]).all()
    assert points.marker.symbol[:3] == ("circle", "diamond", "circle")
    assert points.hovertext[1] == "<b>β = 10, N_f = 100</b><br>L-BFGS: 200 evaluations<br>ALM: never"
    assert diagonal.x == diagonal.y and len(figure.layout.shapes) == 2
    assert clicked_cell(costs, {"points": [{"point_index": 2}]}) == (5.0, 500.0)
    go.Figure(figure.to_dict())


@pytest.mark.parametrize("rows", [[], [3]])
def test_costs_of_which_none_is_known_are_drawn(costs, rows):
    figure = cost_scatter(costs.iloc[rows], names=NAMES, unit="seconds")
    assert np.isnan(figure.data[0].x).all() and not figure.layout.shapes
    go.Figure(figure.to_dict())


def test_seeds_of_a_strategy_share_its_colour_and_one_entry_of_the_legend():
    run = pd.DataFrame({"evaluations": [0, 9], "train_loss": [1.0, 0.1], "test_error": [1.0, 0.5]})
    history = pd.concat([run.assign(seed=s, strategy=name) for name in NAMES for s in (0, 1)])
    figure = curves(history, x="evaluations", strategies={"ALM": "#000001", "L-BFGS": "#000002"})
    assert [(t.name, t.line.color) for t in figure.data[:4]] == [("ALM", "#000001")] * 2 + [("L-BFGS", "#000002")] * 2
    assert [t.showlegend for t in figure.data] == [True, False, True, False, False, False, False, False]
