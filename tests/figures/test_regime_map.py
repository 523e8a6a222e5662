"""The regime map's figure: its numbers are the table's, and every state of a cell looks different."""

import gc
import time

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from sciml_backend.figures import clicked_cell, regime_map
from sciml_backend.figures.style import HEAT
from sciml_backend.regimes import (
    Threshold,
    Thresholds,
    boundaries,
    complete,
    labelled,
    matrix,
    paper_boundaries,
)
from sciml_backend.run import MapName

XS, YS = [5.0, 10.0, 30.0, 50.0], [100.0, 500.0, 1000.0]
HALF = Thresholds(train=Threshold(value=0.5, low=0, high=100), test=Threshold(value=0.5, low=0, high=100))


@pytest.fixture
def grid():
    """4 x 3 cells: (5, 100) is missing, (10, 100) diverged, (30, 100) failed, (50, 100) queued."""
    i, j = (a.ravel() for a in np.meshgrid(np.arange(4), np.arange(3)))
    cells = pd.DataFrame({"x": np.take(XS, i), "y": np.take(YS, j), "train_loss": 10.0 ** (i - 3), "test_error": j / 2})
    cells = cells.assign(n_seeds=3, n_diverged=0, n_failed=0)
    cells.loc[:3, ["train_loss", "test_error"]] = np.nan
    cells.loc[:3, "n_seeds"] = 0
    cells.loc[1, "n_diverged"] = 3
    cells.loc[2, "n_failed"] = 3
    cells.loc[4, ["n_seeds", "n_diverged"]] = [2, 1]
    return labelled(complete(cells.drop(0), XS, YS, [(50.0, 100.0)]), HALF)


def everything(grid, metric="train_loss", **changes):
    found = boundaries(grid, HALF)
    published = paper_boundaries(MapName("pinn", "convection", "lbfgs"))
    options = {"regimes": "text", "seeds": True, "selected": (10.0, 500.0), "x_title": "β", "y_title": "N_f"}
    return regime_map(grid, metric, boundaries=found, published=published, **options | changes)


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def test_colours_are_the_table(grid):
    for metric in ("train_loss", "test_error"):
        heat = regime_map(grid, metric).data[0]
        np.testing.assert_array_equal(heat.z, matrix(grid, metric))
        assert (heat.zmin, heat.zmax) == pytest.approx(tuple(np.nanpercentile(grid[metric], [5, 95])))


def test_log_colours(grid):
    grid.loc[4, "train_loss"] = 0.0
    heat = regime_map(grid, log=True).data[0]
    assert heat.z[1, 0] == np.nanmin(heat.z), "a zero is the best, not a hole"
    np.testing.assert_allclose(heat.z[1, 1:], [-2, -1, 0])
    assert heat.colorbar.ticktext[0].startswith(("1e-", "2e-", "5e-"))


def test_the_colour_scale_is_viridis_reversed_and_cut():
    assert HEAT[0][1].replace(" ", "") == "rgb(253,231,37)"
    assert HEAT[-1][0] == 1
    assert all(int(c) < 140 for c in HEAT[-1][1][4:-1].split(","))


def test_an_unusual_map_still_has_a_colour_range(grid):
    flat = regime_map(grid.assign(train_loss=2.0)).data[0]
    assert flat.zmin < 2.0 < flat.zmax
    none = regime_map(grid.assign(train_loss=np.nan)).data[0]
    assert none.zmin < none.zmax
    fixed = regime_map(grid, log=True, colour_range=(1e-4, 1e2)).data[0]
    assert (fixed.zmin, fixed.zmax) == (-4, 2)


def test_states_have_patterns_of_their_own(grid):
    figure = regime_map(grid)
    names = ["not computed yet", "queued or training", "failed with an error", "diverged: no finite value"]
    hatched = [trace(figure, name) for name in names]
    assert len({t.fillpattern.shape for t in hatched}) == len({t.fillpattern.fgcolor for t in hatched}) == 4
    centres = [(np.nanmin(t.x) + 0.47, np.nanmin(t.y) + 0.47) for t in hatched]
    np.testing.assert_allclose(centres, [(0, 0), (3, 0), (2, 0), (1, 0)], atol=1e-9)


def test_all_levels_of_a_boundary_are_drawn_the_middle_one_strongest(grid):
    found = boundaries(grid, HALF)
    figure = regime_map(grid, boundaries=found)
    solid = [t for t in figure.data if t.name == "train boundary"]
    dashed = [t for t in figure.data if t.name == "test boundary"]
    assert len(solid) == len(dashed) == 2
    assert {t.line.dash for t in solid} == {"solid"}
    assert {t.line.dash for t in dashed} != {"solid"}
    widths = [t.line.width for t in solid]
    assert widths[-1] == max(widths) and widths.count(max(widths)) == 1
    middle = next(b for b in found if (b.metric, b.level) == ("train", 0.0))
    np.testing.assert_array_equal(np.array(solid[-1].x)[:-1], np.concatenate(middle.lines)[:, 0])
    perturbed = [line for b in found if b.metric == "train" and b.level for line in b.lines]
    assert len(perturbed) >= 4 and np.isnan(np.array(solid[0].x)).sum() == len(perturbed)


def test_a_click_names_the_cell_whatever_was_missing(grid):
    figure = everything(grid)
    targets = figure.data[-1]
    assert len(targets.x) == len(grid)
    for k in range(len(grid)):
        selection = {"points": [{"point_index": k, "curve_number": len(figure.data) - 1}]}
        assert clicked_cell(grid, selection) == (XS[targets.x[k]], YS[targets.y[k]])
    assert clicked_cell(grid, {"points": []}) is None
    assert clicked_cell(grid, {}) is None
    assert (figure.layout.hoverdistance, figure.layout.clickmode) == (-1, "event+select")


def test_a_map_drawn_after_a_click_is_never_one_drawn_before_it(grid):
    before, after = (regime_map(grid, selected=(1.0, 1.0), n_clicks=n).to_json() for n in (1, 2))
    assert before != after


def test_hover_text_has_the_numbers(grid):
    texts = regime_map(grid, x_title="β", y_title="N_f").data[-1].hovertext
    assert texts[4].startswith("<b>β = 5, N_f = 500</b><br>training loss: 0.001<br>test error: 0.5")
    assert "mean of 2 seeds, 1 diverged" in texts[4]
    assert "not computed yet" in texts[0]
    assert "no finite seed, 3 diverged" in texts[1]
    assert "regime I" in texts[4]


def test_texts_regimes_and_seed_counts(grid):
    written = everything(grid).data[0].text
    assert written[1, 0] == "I<br>2/3"
    assert written[0, 0] == "<br>"
    assert everything(grid, regimes="none").data[0].text[1, 1] == "3"
    assert regime_map(grid).data[0].text is None


def test_outlines_follow_the_edges_of_regimes():
    cells = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": 0.0, "train_loss": 1.0, "test_error": 1.0})
    cells = complete(cells).assign(label=["I", "I", "II"])
    edges = trace(regime_map(cells, regimes="outline"), "edges of regimes")
    np.testing.assert_array_equal(edges.x, [1.5, 1.5, np.nan])
    np.testing.assert_array_equal(edges.y, [-0.5, 0.5, np.nan])


def test_published_points_are_placed_on_the_axes_of_this_map(grid):
    points = pd.DataFrame({"metric": "train", "level": 0.0, "x": [20.0, 90.0], "y": [500.0, 500.0]})
    marks = trace(regime_map(grid, published=points), "published train boundary")
    np.testing.assert_array_equal(marks.x, [1.5, np.nan])
    np.testing.assert_array_equal(marks.y, [1.0, 1.0])


def test_the_chosen_cell_is_framed_and_an_unknown_one_is_not(grid):
    frame = regime_map(grid, selected=(30.0, 1000.0)).layout.shapes[0]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (1.5, 2.5, 1.5, 2.5)
    assert not regime_map(grid, selected=(31.0, 1000.0)).layout.shapes


def test_axes_are_categorical(grid):
    axis = regime_map(grid).layout.xaxis
    assert tuple(axis.tickvals) == (0, 1, 2, 3)
    assert tuple(axis.ticktext) == ("5", "10", "30", "50")
    assert tuple(axis.range) == (-0.5, 3.5)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("regimes", ["none", "text", "outline"])
def test_plotly_accepts_every_attribute(grid, log, regimes):
    go.Figure(everything(grid, log=log, regimes=regimes).to_dict())


def test_an_empty_map_is_drawn():
    empty = complete(pd.DataFrame(columns=["x", "y", "train_loss", "test_error"], dtype=float))
    go.Figure(regime_map(labelled(empty, HALF), boundaries=boundaries(empty, HALF), regimes="text").to_dict())


def test_two_panels_of_12_by_12_are_built_at_once():
    i, j = (a.ravel() for a in np.meshgrid(np.arange(12.0), np.arange(12.0)))
    cells = complete(pd.DataFrame({"x": i, "y": j, "train_loss": i, "test_error": j, "n_seeds": 3}))
    found = boundaries(cells)
    times = []
    gc.collect()
    for _ in range(10):
        start = time.process_time()
        for metric in ("train_loss", "test_error"):
            regime_map(cells, metric, boundaries=found)
        times.append(time.process_time() - start)
    assert min(times) < 0.03  # 8 ms on an idle core
