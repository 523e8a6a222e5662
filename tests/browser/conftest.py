"""A real browser (Debian's or the system's chromium) before a server that shows the shipped results."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from sciml_backend.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 120_000
"""Milliseconds for anything a page does: a busy machine takes half a minute to read the plotting library alone."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder drives a browser; where there is none it is skipped, visibly."""
    here = os.path.dirname(__file__)
    absent = pytest.mark.skip(reason="no chromium on PATH; install it to run the browser tests")
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker("browser")
            if not shutil.which("chromium"):
                item.add_marker(absent)


@pytest.fixture(scope="module")
def server(serve: Any) -> Any:
    """A server with the shipped results and a data folder of its own."""
    return serve(results=ROOT / "data" / "results")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page of 1400 × 900 that fails its test when the browser asked anyone but this machine for anything."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE)
    opened = context.new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("websocket", lambda socket: asked.append(socket.url))
    yield opened
    context.close()
    hosts = {urlsplit(url).hostname for url in asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")}
    assert hosts <= {"127.0.0.1", "localhost"}, f"The page asked {sorted(map(str, hosts))} for something."


@pytest.fixture
def watched(page: Page) -> Iterator[Any]:
    """The page with counters of its repaints, which fails its test when it shows an exception."""
    from playwright.sync_api import expect

    from tests.browser.bench_page import Watched

    found = Watched(page)
    yield found
    expect(page.get_by_test_id("stException")).to_have_count(0)
