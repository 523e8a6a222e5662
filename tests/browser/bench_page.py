"""How long the regime map takes to answer, in a real browser: ``python -m tests.browser.bench_page [ADDRESS]``.

Prints medians over moves of a threshold (key pressed → both 12 × 12 panels painted with their new boundaries) and over
clicks (mouse pressed → the cell's numbers and curves painted). Without an address it starts a server of its own with
the shipped results, and prints the server's part too: from the browser's message to the last message of its answer,
both by the server's clock, while the browser draws on the same cores. A client that draws nothing then asks for the
same moves, as when browser and server are two machines.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import TimeoutError, sync_playwright

from tests.browser.reader import threshold_moves

ROOT = Path(__file__).resolve().parents[2]


def chart(panel: str) -> str:
    """The selector of a panel's chart: the one shown, not the last one's remains, which Streamlit hides for a while."""
    return f".st-key-{panel}:not([data-retained]) .js-plotly-plot"


PAINTED = """
([panels, before, pressed, patience]) => new Promise((done, fail) => {
  const begin = performance.now();
  const now = () => performance.timeOrigin + performance.now();
  const look = () => {
    const drawn = %s(panels);
    if (drawn.length === panels.length && drawn.every((text, k) => text && text !== before[k]))
      return requestAnimationFrame(() => setTimeout(() => done(now() - window[pressed]), 0));
    if (performance.now() - begin > patience) return fail(new Error("nothing new was painted in time"));
    requestAnimationFrame(look);
  };
  look();
})
"""
SIGNATURES = """
((panels) => panels.map((key) => {
  const plot = document.querySelector(`CHART`);
  if (!plot || !plot._fullData || !plot.querySelector(".scatterlayer .trace")) return "";
  const lines = plot._fullData.filter((trace) => trace.mode === "lines");
  return JSON.stringify(lines.map((trace) => [trace.name, ...(trace.x || []), ...(trace.y || [])]));
}))
""".replace("CHART", chart("${key}"))
PATIENCE = 120_000
"""Milliseconds that a busy machine may take to show a page."""

PANELS = ["panel_train_loss", "panel_test_error"]


class Watched:
    """A page with the times of its key presses and clicks; ``log`` is where its server writes down its messages."""

    def __init__(self, page: Any, log: Path | None = None) -> None:
        self.page = page
        self.log = log
        page.add_init_script(
            "for (const kind of ['keydown', 'mousedown']) addEventListener(kind, (e) => "
            "{ window.pressed = performance.timeOrigin + e.timeStamp; }, true);"
        )

    def painted(self, act: Any, panels: list[str]) -> tuple[float, float]:
        """Milliseconds from the press that ``act`` makes to the paint of all panels, and the server's part of them."""
        before = self.page.evaluate(SIGNATURES, panels)
        self.settle()
        start = time.monotonic()
        act()
        total = self.page.evaluate(PAINTED % SIGNATURES, [panels, before, "pressed", PATIENCE])
        self.settle()
        return total, self._answered(start)

    def _answered(self, start: float) -> float:
        """Milliseconds from the browser's message after ``start`` with the longest answer to the last message of it.

        The page's own questions, whether something new is there, have short answers.
        """
        if self.log is None:
            return math.nan
        answers: list[list[float]] = []
        for way, when in map(str.split, self.log.read_text().splitlines()):
            if float(when) > start:
                if way == "receive":
                    answers.append([])
                if answers:
                    answers[-1].append(float(when))
        longest = max(answers, key=len)
        return 1000 * (longest[-1] - longest[0])

    def settle(self) -> None:
        """Wait until the server has nothing more to say and the page nothing more to draw."""
        self.page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=PATIENCE)
        self.page.wait_for_timeout(400)
        self.page.evaluate("new Promise((done) => requestIdleCallback(done))")


def move_threshold(watched: Watched, *, key: str = "ArrowRight") -> tuple[float, float]:
    """One step of the training threshold's slider."""
    slider = watched.page.locator('.st-key-f_train input[type="range"]')
    slider.focus()
    return watched.painted(lambda: slider.press(key), PANELS)


def click(watched: Watched, column: int, row: int) -> tuple[float, float]:
    """A click on a cell of the training panel, by its place on the axes."""
    x, y = hover(watched.page, column, row)
    return watched.painted(lambda: watched.page.mouse.click(x, y), ["cell_curves"])


def hover(page: Any, column: int, row: int) -> tuple[float, float]:
    """Point at a cell of the training panel until the panel says so, as people do before they click; where it lies."""
    while True:
        x, y = page.evaluate(
            """([selector, i, j]) => {
              const plot = document.querySelector(selector);
              const box = plot.getBoundingClientRect();
              const {xaxis, yaxis} = plot._fullLayout;
              return [box.x + xaxis._offset + xaxis.d2p(i), box.y + yaxis._offset + yaxis.d2p(j)];
            }""",
            [chart(PANELS[0]), column, row],
        )
        page.mouse.move(x, y)
        try:
            page.wait_for_function(
                """([selector, i, j]) => {
                  const plot = document.querySelector(selector);
                  return (plot._hoverdata || []).some((point) => point.x === i && point.y === j);
                }""",
                arg=[chart(PANELS[0]), column, row],
                timeout=5000,
            )
            return x, y
        except TimeoutError:
            page.mouse.move(0, 0)


def stored_cells(page: Any) -> list[tuple[int, int]]:
    """The places of the cells that have a value on the training panel."""
    found = page.evaluate(
        """(selector) => {
          const plot = document.querySelector(selector);
          const rows = Array.from(plot._fullData.find((trace) => trace.type === "heatmap").z);
          const cells = rows.flatMap((row, j) => Array.from(row).map((value, i) => [value, i, j]));
          return cells.filter(([value]) => Number.isFinite(value));
        }""",
        chart(PANELS[0]),
    )
    return [(i, j) for _, i, j in found]


def open_map(watched: Watched, address: str) -> None:
    """Open the regime map and wait until it stands."""
    watched.page.goto(address)
    watched.page.wait_for_selector(f"{chart(PANELS[1])} .scatterlayer", timeout=PATIENCE)
    watched.settle()


def measure(page: Any, address: str, log: Path | None, *, rounds: int) -> None:
    """Print the medians."""
    watched = Watched(page, log)
    open_map(watched, f"{address}/?source=published")
    moves = [move_threshold(watched, key="ArrowRight" if k % 20 < 10 else "ArrowLeft") for k in range(rounds + 2)][2:]
    report("threshold move → both panels painted", moves)
    open_map(watched, address)
    cells = stored_cells(page)
    if len(cells) < 2:
        print("fewer than two cells are stored, so no click was measured")
        return
    clicks = [click(watched, *cells[k % min(len(cells), 9)]) for k in range(rounds // 2 + 1)][1:]
    report("click → numbers and curves painted", clicks)


def report(what: str, times: list[tuple[float, float]]) -> None:
    """One line."""
    totals, servers = zip(*times, strict=True)
    middle, worst, server = statistics.median(totals), max(totals), statistics.median(servers)
    part = "" if math.isnan(server) else f", server part {server:.0f} ms"
    print(f"{what}: median {middle:.0f} ms, max {worst:.0f} ms{part} ({len(times)} times)")


TIMED_SERVER = """
import sys, time, server
inner, log = server.app, open(sys.argv.pop(1), "a", buffering=1)
async def timed(scope, receive, send):
    async def receiving():
        message = await receive()
        if message["type"] == "websocket.receive":
            print("receive", time.monotonic(), file=log)
        return message
    async def sending(message):
        await send(message)
        if message["type"] == "websocket.send":
            print("send", time.monotonic(), file=log)
    await inner(scope, receiving, sending)
server.app = timed
server.main()
"""


@contextmanager
def own_server() -> Iterator[tuple[str, Path]]:
    """A server with the shipped results and an empty data folder: its address, and its log of messages."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "messages"
        process = subprocess.Popen(
            [sys.executable, "-c", TIMED_SERVER, str(log), "--port", "0"],
            cwd=ROOT,
            env=os.environ | {"ATLAS_DATA": folder},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            found = next((m for line in process.stdout if (m := re.search(r"http://\S+", line))), None)
            if found is None:
                sys.exit("The server did not start.")
            yield found[0], log
        finally:
            process.terminate()
            process.wait(30)


def main() -> None:
    """Measure a running server, or one of our own."""

    def run(address: str, log: Path | None = None) -> None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
            )
            measure(browser.new_page(viewport={"width": 1400, "height": 1300}), address, log, rounds=20)
            browser.close()

    if len(sys.argv) > 1:
        run(sys.argv[1].rstrip("/"))
    else:
        with own_server() as (address, log):
            run(address, log)
            alone = threshold_moves(address, "source=published", rounds=32)[2:]
            print(f"server part with nobody drawing: median {statistics.median(alone):.0f} ms, max {max(alone):.0f} ms")


if __name__ == "__main__":
    main()
