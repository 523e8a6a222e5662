"""Two tabs ask at the same moment for what a map lacks."""

import re
import time

import pytest
from playwright.sync_api import expect

from jobs.control import ControlStore


@pytest.fixture
def other(browser):
    """A tab of somebody else."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    yield context.new_page()
    context.close()


def test_two_tabs_that_fill_the_same_map_ask_for_each_cell_once(server, page, other):
    control = ControlStore(server.data / "control.sqlite")
    tabs = page, other
    buttons = []
    for tab in tabs:
        tab.goto(f"{server.url}/?strategy=adam")
        tab.get_by_role("button", name=re.compile("Fill missing cells")).first.click()
        buttons.append(tab.get_by_role("button", name=re.compile(r"^Train \d+ run")))
        expect(buttons[-1]).to_be_visible()
    asked = int(re.findall(r"\d+", buttons[0].inner_text())[0])
    for button in buttons:
        button.dispatch_event("click")  # unlike a click it does not wait for the page
    for tab in tabs:
        answer = re.compile("Queued: |queued or running already|Nothing is missing")
        expect(tab.get_by_text(answer).first).to_be_visible()
    end = time.monotonic() + 5
    while time.monotonic() < end and not control.jobs():
        time.sleep(0.05)
    (job,) = control.jobs()
    assert job.n_cells == asked == len(control.cell_ids(job.job_id)) > 100
    control.cancel(job.job_id, actor="test")
    for tab in tabs:
        expect(tab.get_by_test_id("stException")).to_have_count(0)
