"""The stream of events of a page that the reader has left."""

from __future__ import annotations

from ..server.process import ServerProcess
from .page import Page

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
