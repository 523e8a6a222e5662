"""The regime map and the way to a cell, as a visitor uses them: pointer, keyboard, address, Back."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from sciml_backend.run import Curve, RunRecord, RunSpec, Status
from sciml_backend.store import spool
from tests.browser import bench_page, reader

WEIGHTS = np.zeros(5, "<f4").tobytes()


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Two cells with two seeds each: well-trained, and over-trained."""
    folder = tmp_path_factory.mktemp("results")
    records = [record(beta, 500, seed, error) for beta, error in ((5, 0.01), (50, 1.2)) for seed in range(2)]
    spool.write_runs(records, folder, batch_id="browser:0", axis="beta")
    return folder


def record(beta: float, data: int, seed: int, error: float) -> RunRecord:
    spec = RunSpec(
        family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": beta}, data=data, seed=seed
    )
    return RunRecord(
        spec=spec,
        status=Status.CONVERGED,
        reason="It met its tolerance.",
        train_loss=1e-5 * beta,
        test_error=error,
        curve=Curve([0, 10, 20], [1, 12, 25], [0.0, 0.2, 0.5], [1.0, 0.1, 1e-5 * beta], [1.0, 1.1, error]),
        theta_initial=WEIGHTS,
        theta_final=WEIGHTS,
    )


@pytest.fixture(scope="module")
def small(serve, results):
    return serve(results=results)


def test_a_moved_threshold_repaints_both_panels_and_the_address_keeps_it(small, watched):
    bench_page.open_map(watched, f"{small.url}/?source=published")
    before = watched.page.evaluate(bench_page.SIGNATURES, bench_page.PANELS)
    milliseconds, _ = bench_page.move_threshold(watched)
    assert 0 < milliseconds < bench_page.PATIENCE
    expect(watched.page).to_have_url(re.compile("f_train=0.31"))
    moved = watched.page.evaluate(bench_page.SIGNATURES, bench_page.PANELS)
    assert all(old != new for old, new in zip(before, moved, strict=True))
    bench_page.open_map(watched, watched.page.url)
    assert watched.page.evaluate(bench_page.SIGNATURES, bench_page.PANELS) == moved


def test_what_opens_late_shows_what_holds_and_the_link_is_that_of_the_view(small, watched):
    """Widgets within a popover are drawn when it opens, long after their values were set."""
    page = watched.page
    bench_page.open_map(watched, f"{small.url}/?source=published&marks=outline&log=1")
    bench_page.move_threshold(watched)
    page.get_by_role("button", name="Presets").click()
    for label, value in (("Range from percentile", "5"), ("to percentile", "95")):
        expect(page.get_by_role("spinbutton", name=label)).to_have_value(value)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Display").click()
    expect(page.get_by_role("switch", name="Logarithmic colours")).to_be_checked()
    page.keyboard.press("Escape")
    bench_page.move_threshold(watched)
    expect(page).to_have_url(re.compile("f_train=0.32.*log=1.*marks=outline"))
    assert "low=" not in page.url and "high=" not in page.url
    page.get_by_role("button", name="Link to this view").click()
    expect(page.locator("code").filter(visible=True)).to_have_text(page.url.replace("/?", "?"))


def test_a_client_that_draws_nothing_is_sent_both_panels_at_every_move(small):
    moves = reader.threshold_moves(small.url, "source=published", rounds=2)
    assert len(moves) == 2 and all(0 < milliseconds < bench_page.PATIENCE for milliseconds in moves)


def test_a_click_on_a_cell_shows_its_seeds_and_curves_and_leads_to_its_page(small, watched):
    page = watched.page
    bench_page.open_map(watched, small.url)
    (well, over) = sorted(bench_page.stored_cells(page))
    bench_page.click(watched, *over)
    expect(page.get_by_text("Regime III")).to_be_visible(timeout=bench_page.PATIENCE)
    expect(page.get_by_role("cell", name="1.2", exact=True)).to_have_count(3)
    bench_page.click(watched, *well)
    expect(page.get_by_text("Regime I, well-trained")).to_be_visible()
    expect(page).to_have_url(re.compile("x=5&y=500"))
    page.get_by_role("link", name="Open the cell").click()
    expect(page.get_by_role("heading", name="β = 5, collocation points N_f = 500")).to_be_visible(
        timeout=bench_page.PATIENCE
    )
    expect(page.locator(f"{bench_page.chart('curves')} .scatterlayer .trace")).to_have_count(4)
    page.go_back()
    expect(page.get_by_text("Regime I, well-trained")).to_be_visible(timeout=bench_page.PATIENCE)


def test_what_trains_missing_cells_speaks_of_the_cell_that_is_chosen_now(small, watched):
    bench_page.open_map(watched, small.url)
    page, opener = watched.page, watched.page.get_by_role("button", name=re.compile("Fill missing cells"))
    opener.click()
    page.get_by_text("The selected cell").click()
    expect(page.get_by_text("Select a cell first")).to_be_visible()
    page.keyboard.press("Escape")
    bench_page.click(watched, *bench_page.stored_cells(page)[0])
    opener.click()
    expect(page.get_by_text("missing at β = 5, N_f = 500")).to_be_visible()


def test_a_click_on_a_cell_chosen_before_chooses_it_again(small, watched):
    bench_page.open_map(watched, small.url)
    cells = sorted(bench_page.stored_cells(watched.page))
    for k in range(6):
        bench_page.click(watched, *cells[k % 2])
        expect(watched.page).to_have_url(re.compile("x=50" if k % 2 else "x=5&"))


def test_the_keyboard_chooses_a_cell(small, watched):
    page = watched.page
    bench_page.open_map(watched, f"{small.url}/?y=500")
    page.locator('.st-key-x input[role="combobox"]').focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.type("50")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Regime III")).to_be_visible(timeout=bench_page.PATIENCE)
    expect(page.locator(f"{bench_page.chart('cell_curves')} .scatterlayer .trace")).to_have_count(4)


def test_the_view_survives_a_walk_through_the_other_pages(small, watched):
    page = watched.page
    bench_page.open_map(watched, f"{small.url}/?x=5&y=500&f_train=0.4&log=1")
    for name in ("Methods", "Jobs", "Regime map"):
        page.get_by_role("link", name=name).first.click()
        expect(page).to_have_title(re.compile(name), timeout=bench_page.PATIENCE)
    expect(page.get_by_text("Regime I, well-trained")).to_be_visible(timeout=bench_page.PATIENCE)
    expect(page).to_have_url(re.compile(r"x=5&y=500.*f_train=0.4.*log=1"))


def test_an_address_opens_a_cell_directly(small, watched):
    page = watched.page
    page.goto(f"{small.url}/cell?x=50&y=500&seed=1&show=provenance")
    expect(page.get_by_text("--set beta=50 --data 500 --seed 1 --dtype float32")).to_be_visible(
        timeout=bench_page.PATIENCE
    )
