"""The jobs page in a browser: what is open stays open while jobs come and go, and an end is told on any page."""

import pytest
from playwright.sync_api import expect

from jobs.control import ControlStore
from sciml_backend.run import RunSpec


@pytest.fixture(scope="module")
def history(serve, tmp_path_factory):
    """A server whose queue has one job, cancelled, of a kind that no worker knows."""
    folder = tmp_path_factory.mktemp("queue")
    control = ControlStore(folder / "control.sqlite")
    cancelled(control, 5.0)
    return serve(data=folder), control


def cancelled(control, beta):
    spec = RunSpec(family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": beta}, data=100, seed=0)
    job_id = control.submit("nothing", [spec], spec={"maps": [str(spec.map)]}, claim=True).job_id
    control.cancel(job_id, actor="test")


def test_an_open_line_of_the_history_stays_open_and_its_job_queued_again_is_told_when_it_ends(history, page):
    server, control = history
    page.goto(f"{server.url}/jobs")
    lines = page.get_by_test_id("stExpander")
    expect(lines).to_have_count(1)
    lines.first.locator("summary").click()
    again = page.get_by_role("button", name="Queue again")
    expect(again).to_be_visible()
    cancelled(control, 6.0)
    expect(lines).to_have_count(2)
    expect(again).to_have_count(1)
    again.click()
    page.get_by_role("link", name="Methods").first.click()
    toast = page.get_by_test_id("stToast")
    expect(toast).to_contain_text("Failed: nothing of a run of PINN")
    expect(toast).to_contain_text("There is no kind of job called 'nothing'.")
    expect(page.get_by_test_id("stException")).to_have_count(0)
