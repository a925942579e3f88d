"""The streams of a page that the reader has left: its events, and the log that it follows."""

from __future__ import annotations

from ..server.process import ServerProcess
from . import scenes
from .page import Page
from .views import BUSY, show

CONNECTIONS_MAX = 6
"""How many connections a browser has to one server."""


def test_pages_that_were_left_take_no_connections(page: Page, empty: ServerProcess) -> None:
    for _ in range(CONNECTIONS_MAX + 1):
        page.open(f"{empty.url}/ui/nodes")

    page.shows("td.table__slots", "0 of 8")


def test_a_page_to_which_the_reader_goes_back_is_live_again(page: Page, empty: ServerProcess) -> None:
    page.open(f"{empty.url}/ui/nodes")
    page.driver.get(f"{empty.url}/docs")
    page.driver.back()

    page.until(lambda: "Live" in page.run("return document.querySelector('.live').title"), "it is not live")
    page.shows("td.table__slots", "0 of 8")


def test_logs_that_were_left_take_no_connections(page: Page, busy: ServerProcess) -> None:
    for _ in range(CONNECTIONS_MAX + 1):
        show(page, busy, BUSY["task-running"])


def test_a_log_to_which_the_reader_goes_back_is_followed_again(page: Page, busy: ServerProcess) -> None:
    page.open(f"{busy.url}/ui/tasks/{scenes.task_id(busy, 'encode/interview.mp4')}")
    page.shows(".log__foot", "live")
    before = len(page.texts(".log__line"))
    page.driver.get(f"{busy.url}/docs")
    page.driver.back()

    page.until(lambda: len(page.texts(".log__line")) > before, "no more lines come")
