"""Figures of one cell: curves, solution, spectrum, landscape."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from sciml_backend.figures import curves, eigenvalues, landscape, profile, solution, spectrum, training
from sciml_backend.figures.spectrum import symlog


@pytest.fixture
def history():
    step = np.arange(4)
    run = pd.DataFrame({"iteration": 20 * step, "evaluations": 25 * step, "seconds": 0.5 * step})
    runs = [run.assign(seed=s, train_loss=10.0**-step, test_error=[1.0, 0.5, np.nan, np.inf]) for s in (0, 1)]
    return pd.concat(runs, ignore_index=True)


def test_curves_are_one_line_per_seed_and_metric(history):
    figure = curves(history, x="evaluations")
    assert [(t.name, t.yaxis) for t in figure.data] == [
        ("seed 0", "y"),
        ("seed 1", "y"),
        ("seed 0", "y2"),
        ("seed 1", "y2"),
    ]
    np.testing.assert_array_equal(figure.data[0].x, [0, 25, 50, 75])
    np.testing.assert_array_equal(figure.data[0].y, [1, 0.1, 0.01, 0.001])
    np.testing.assert_array_equal(figure.data[2].y, [1, 0.5, np.nan])
    assert figure.layout.yaxis.type == figure.layout.yaxis2.type == "log"


def test_curves_show_any_metric(history):
    figure = curves(history.assign(lambda_max=7.0), ("lambda_max",))
    assert set(figure.data[-1].y) == {7.0}
    assert figure.layout.yaxis.title.text == "λmax"


def test_curves_of_more_seeds_than_colours_stay_apart(history):
    many = pd.concat([history.assign(seed=s) for s in range(9)])
    assert len({(t.line.color, t.line.dash) for t in curves(many, ("train_loss",)).data}) == 9


@pytest.fixture
def batch():
    steps = np.arange(1, 4)
    loss = {"β = 5": [1.0, 0.1, 0.01], "β = 9": [1.0, 0.0, np.nan]}
    return pd.concat(pd.DataFrame({"run": r, "iteration": 20 * steps, "train_loss": v}) for r, v in loss.items())


def test_training_is_one_line_per_run_with_a_dot_at_its_newest_point(batch):
    figure = training(batch)
    well, gone = figure.data
    assert (well.name, gone.name) == ("β = 5", "β = 9")
    np.testing.assert_array_equal(well.x, [20, 40, 60])
    np.testing.assert_array_equal(gone.y, [1, np.nan, np.nan])
    np.testing.assert_array_equal(well.marker.size, [0, 0, 6])
    np.testing.assert_array_equal(gone.marker.size, [6, 0, 0])
    assert figure.layout.yaxis.type == "log" and well.showlegend


def test_training_of_many_runs_names_them_at_the_pointer_only(batch):
    many = pd.concat([batch.assign(run=f"seed {s}") for s in range(20)])
    lines = training(many).data
    assert len(lines) == 20 and not any(line.showlegend for line in lines)
    assert "seed 19" in lines[-1].hovertemplate


def test_solution_shares_one_scale_and_centres_the_error():
    x, t = np.linspace(0, 1, 5), np.linspace(0, 2, 3)
    reference = np.outer(t, x)
    predicted = reference + 0.5
    predicted[0, 0] = np.nan
    figure = solution(x, t, predicted, reference)
    learned, wanted, error = figure.data
    assert learned.zmin == wanted.zmin == 0 and learned.zmax == wanted.zmax == 2
    assert error.zmin == -error.zmax == -0.5
    np.testing.assert_array_equal(wanted.z, reference.astype("f4"))
    assert np.isnan(error.z[0, 0]) and error.z[2, 4] == 0.5


def test_the_pointer_names_coordinates_as_the_axes_do():
    x = np.linspace(0, 1, 4)
    for panel in solution(x, x, np.outer(x, x), np.outer(x, x), t_title="y").data:
        assert panel.hovertemplate.startswith("x %{x:.3f}<br>y %{y:.3f}<br>")
    assert all(line.hovertemplate.startswith("t %") for line in profile(x, x, x, x_title="t").data)


def test_a_profile_is_both_functions_and_their_difference_on_its_own_axis():
    x = np.linspace(0, 1, 4)
    wanted, learned, error = profile(x, [1, 2, np.inf, 4], [1, 1, 1, 1]).data
    np.testing.assert_array_equal(wanted.y, 1)
    np.testing.assert_array_equal(learned.y, [1, 2, np.nan, 4])
    np.testing.assert_array_equal(error.y, [0, 1, np.nan, 3])
    assert wanted.yaxis == learned.yaxis != error.yaxis


def test_eigenvalues_are_drawn_by_rank_down_to_the_floor():
    sets = {"before": [10, 1, 1e-9, 0], "after": [1e-5, 5, 0, 1e-3]}
    figure = eigenvalues(sets, title="size", floor=1e-6)
    before, after = figure.data
    np.testing.assert_array_equal(before.x, [1, 2, 3, 4])
    np.testing.assert_array_equal(before.y, [10, 1, np.nan, np.nan])
    np.testing.assert_array_equal(after.y, [5, 1e-3, 1e-5, np.nan])
    assert (before.name, after.name) == ("before", "after") and figure.layout.yaxis.title.text == "size"
    assert figure.layout.yaxis.type == "log" and figure.layout.shapes[0].y0 == 1e-6
    assert not eigenvalues({"one": [1]}, title="size").layout.shapes


def test_spectrum_axis_is_signed_decades_and_the_noise_floor_a_band():
    values = np.array([-1e-2, 0.0, 1e-4, 10.0])
    figure = spectrum(values, initial=[0.1, 0.2, 0.3, 0.0], final=[1e-9, 1, 1, 1], noise_floor=1e-3)
    before, after, floor = figure.data
    assert "1.0e-03" in floor.name
    np.testing.assert_allclose(before.x, [-np.log10(101), 0, np.log10(2), np.log10(100001)])
    assert np.isnan(before.y[3]) and np.isnan(after.y[0])
    band = figure.layout.shapes[0]
    assert -band.x0 == band.x1 == pytest.approx(float(symlog(np.array(1e-3), 1e-4)))
    assert "0" in figure.layout.xaxis.ticktext
    assert list(figure.layout.xaxis.tickvals) == sorted(figure.layout.xaxis.tickvals)
    assert len(spectrum(values, final=values).data) == 1
    assert not spectrum(values, final=values).layout.shapes


def test_landscape_puts_the_first_direction_on_x_and_marks_the_weights():
    first, second = np.linspace(-1, 1, 5), np.linspace(-0.5, 0.5, 3)
    heights = 10 * first[:, None] + second
    heights[0, 0] = np.inf
    surface, dot = landscape(first, second, heights).data
    assert surface.z.shape == (3, 5)
    assert surface.z[2, 4] == np.float32(10.5) and np.isnan(surface.z[0, 0])
    assert (dot.x[0], dot.y[0], dot.z[0]) == (0, 0, 0)


def test_plotly_accepts_every_attribute(history, batch):
    x = np.linspace(-1, 1, 5)
    plane = np.outer(x, x)
    figures = [
        curves(history, ("train_loss", "test_error")),
        curves(history.iloc[:0]),
        training(batch),
        training(batch.iloc[:0]),
        solution(x, x, plane, plane),
        profile(x, x, x),
        eigenvalues({"before": x, "after": x}, title="size", floor=0.1),
        spectrum(x, initial=x, final=x, noise_floor=0.1),
        landscape(x, x, plane),
        landscape(x, x, plane * np.nan),
    ]
    for figure in figures:
        go.Figure(figure.to_dict())
