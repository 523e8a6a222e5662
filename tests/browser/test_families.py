"""The Families page as a visitor uses it: a click on a cell opens it on its regime map, and Back returns."""

import re

from playwright.sync_api import expect

from tests.browser import bench_page
from tests.browser.test_compare import click

MAPS = "pinn/convection/lbfgs,published:pino/darcy/lbfgs"


def open_page(watched, address):
    watched.page.goto(address)
    for panel in ("family_map_1", "family_map_2", "sharpness", "carried_matrix"):
        chart = bench_page.chart(panel)
        watched.page.wait_for_selector(f"{chart} .scatterlayer, {chart} .heatmaplayer")
    watched.settle()


IMPATIENT = """
const wait = window.setInterval;
window.setInterval = (act, every, ...more) => wait(act, every >= 2000 ? 150 : every, ...more);
"""


def test_a_click_on_a_cell_opens_it_on_its_regime_map(server, watched):
    """Also where the browser asks for timed fragments while the page changes: here it asks all the time."""
    page = watched.page
    page.add_init_script(IMPATIENT)
    open_page(watched, f"{server.url}/families?maps={MAPS}&f_test=0.4")
    click(watched, "family_map_2", 3, 2)
    expect(page).to_have_url(re.compile("family=pino&problem=darcy.*source=published.*x=4&y=20"))
    expect(page).to_have_url(re.compile("f_test=0.4"))
    expect(page.locator(bench_page.chart("panel_test_error"))).to_be_visible(timeout=bench_page.PATIENCE)
    watched.settle()
    page.get_by_role("link", name="Families").click()
    expect(page.get_by_role("link", name="1 · PINN · 1D convection")).to_be_visible(timeout=bench_page.PATIENCE)
    expect(page).to_have_url(re.compile("families.*maps=.*f_test=0.4"))


def test_the_title_of_a_panel_is_a_link_to_its_map(server, watched):
    open_page(watched, f"{server.url}/families?maps={MAPS}")
    watched.page.get_by_role("link", name=re.compile("^2 · pino", re.IGNORECASE)).click()
    expect(watched.page).to_have_url(re.compile("family=pino&problem=darcy&source=published$"))
