"""The frame around the pages, as a visitor's browser sees it."""

from playwright.sync_api import expect

PAGES = ("Regime map", "Compare", "Cell", "Jobs", "Methods")


def test_every_page_is_in_the_navigation_and_opens_without_an_error(server, page):
    page.goto(server.url)
    for name in PAGES:
        page.get_by_role("link", name=name).first.click()
        expect(page).to_have_title(f"{name} · Regime Atlas")
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_page_opened_by_its_address_on_a_fresh_server_comes_in_its_frame(serve, page):
    fresh = serve()
    page.goto(f"{fresh.url}/jobs")
    expect(page.get_by_role("link", name="Methods").first).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
