"""The Compare page as a visitor uses it: clicks on its charts, the budget, and the way to the cells."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

from sciml_backend.run import Curve, RunRecord, RunSpec, Status
from sciml_backend.store import spool
from tests.browser import bench_page

WEIGHTS = np.zeros(5, "<f4").tobytes()
PANELS = ["gain_train_loss", "gain_test_error", "cost_chart", "winners"]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """L-BFGS and ALM on 2 x 2 cells, two seeds each; ALM takes ten times as long and is better at β = 50."""
    folder = tmp_path_factory.mktemp("results")
    records = [
        record(strategy, beta, data, seed, 1.0 if (strategy, beta) == ("lbfgs", 50) else 1e-4, cost)
        for strategy, cost in (("lbfgs", 100), ("alm", 1000))
        for beta in (5, 50)
        for data in (100, 500)
        for seed in range(2)
    ]
    spool.write_runs(records, folder, batch_id="browser:0", axis="beta")
    return folder


def record(strategy: str, beta: float, data: int, seed: int, loss: float, cost: int) -> RunRecord:
    spec = RunSpec(
        family="pinn", problem="convection", strategy=strategy, coefficients={"beta": beta}, data=data, seed=seed
    )
    loss *= 1 + 0.01 * seed
    spent = cost * (2 if beta == 50 else 1)
    return RunRecord(
        spec=spec,
        status=Status.CONVERGED,
        reason="It met its tolerance.",
        train_loss=loss,
        test_error=loss,
        evaluations=spent,
        seconds=float(spent),
        curve=Curve([0, spent], [0, spent], [0.0, float(spent)], [9.0, loss], [9.0, loss]),
        theta_initial=WEIGHTS,
        theta_final=WEIGHTS,
    )


@pytest.fixture(scope="module")
def small(serve, results):
    return serve(results=results)


def open_page(watched, address):
    watched.page.goto(address)
    for panel in PANELS:
        watched.page.wait_for_selector(f"{bench_page.chart(panel)} .scatterlayer", timeout=bench_page.PATIENCE)
    watched.settle()


def click(watched, panel, x, y):
    """A click on a place of a chart, in the coordinates of its axes."""
    chart = watched.page.locator(bench_page.chart(panel))
    chart.scroll_into_view_if_needed()
    left, top = chart.evaluate(
        """(plot, [x, y]) => {
          const box = plot.getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout;
          return [box.x + xaxis._offset + xaxis.d2p(x), box.y + yaxis._offset + yaxis.d2p(y)];
        }""",
        [x, y],
    )
    watched.page.mouse.move(left - 2, top - 2)
    watched.page.mouse.move(left, top, steps=5)
    watched.page.wait_for_timeout(300)
    watched.page.mouse.click(left, top)


def test_a_click_on_any_chart_chooses_the_cell_on_all(small, watched):
    page = watched.page
    open_page(watched, f"{small.url}/compare?method=alm&base=lbfgs")
    click(watched, "gain_test_error", 1, 0)
    expect(page).to_have_url(re.compile("x=50&y=100"))
    expect(page.locator(f"{bench_page.chart('cell_curves')} .scatterlayer .trace")).to_have_count(8)
    watched.settle()
    click(watched, "cost_chart", 100, 1000)
    expect(page).to_have_url(re.compile("x=5&y=[15]00"))
    watched.settle()
    click(watched, "winners", 1, 1)
    expect(page).to_have_url(re.compile("x=50&y=500"))
    page.get_by_role("link", name="Open the cell of ALM").click()
    expect(page.get_by_role("heading", name="β = 50, collocation points N_f = 500")).to_be_visible(
        timeout=bench_page.PATIENCE
    )
    expect(page).to_have_url(re.compile("strategy=alm"))


def test_a_budget_reads_every_run_earlier_and_back_undoes_it(small, watched):
    page = watched.page
    open_page(watched, f"{small.url}/compare?method=alm&unit=evaluations&n_evaluations=2000")
    expect(page.get_by_text("Test error: lower in 2 of 4 cells")).to_be_visible(timeout=bench_page.PATIENCE)
    slider = page.locator('.st-key-n_evaluations input[type="range"], .st-key-n_evaluations [role="slider"]').first
    slider.focus()
    for _ in range(3):
        slider.press("ArrowLeft")
    expect(page).to_have_url(re.compile("n_evaluations=500"))
    expect(page.get_by_text("Test error: lower in 0 of 4 cells")).to_be_visible(timeout=bench_page.PATIENCE)


def test_tables_are_downloaded_as_they_are_shown(small, watched):
    open_page(watched, f"{small.url}/compare?method=alm&gain=paired")
    found = {}
    for name in ("Improvement", "Boundaries", "Winners", "Runs"):
        with watched.page.expect_download() as download:
            watched.page.get_by_role("button", name=f"{name} (CSV)").click()
        found[name] = pd.read_csv(download.value.path())
    gains = found["Improvement"].set_index(["metric", "x", "y"])
    assert len(gains) == 8 and gains.loc[("test_error", 50, 100), "n_pairs"] == 2
    assert gains.loc[("test_error", 50, 100), "improvement"] == pytest.approx(99.99)
    assert len(found["Winners"]) == 4 and len(found["Runs"]) == 16
    assert found["Boundaries"]["base_place"].isin(["INSIDE", "BEFORE", "BEYOND"]).all()
