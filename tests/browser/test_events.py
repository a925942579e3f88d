"""The page of events: they come by themselves, by the filters of the address, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..server.process import ServerProcess
from . import scenes
from .page import Page

NAMES = "td .task-name"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server in which only these tests do something."""
    server = scenes.start()
    yield server
    server.close()


def open_events(page: Page, server: ServerProcess, query: str = "") -> None:
    """Open the page, and wait until it has begun to listen."""
    page.open(f"{server.url}/ui/events{query}")
    page.shows(".empty__title", "Waiting for events")


def submit(server: ServerProcess, *names: str, duration: int = 1) -> None:
    scenes.submit(server, [{"name": name, "duration": duration} for name in names])


def test_events_come_by_themselves_and_say_what_happened(page: Page, server: ServerProcess) -> None:
    open_events(page, server)
    submit(server, "<b>first</b>")

    page.shows(NAMES, "<b>first</b>")
    page.shows("td.table__status", "succeeded")
    page.shows("td.table__note", "after ")
    server.client.post("/handlers/sleep/pause").raise_for_status()
    page.shows("td.table__note", "handler paused by anonymous")
    server.client.post("/handlers/sleep/resume").raise_for_status()
    page.shows("td.table__note", "handler resumed by anonymous")


def test_the_filters_of_the_address_apply(page: Page, server: ServerProcess) -> None:
    open_events(page, server, "?state=succeeded&name=SEC")
    submit(server, "one", "second")
    page.shows(NAMES, "second")
    assert set(page.texts("td.table__status")) == {"succeeded"}
    assert page.texts(NAMES) == ["second"]

    page.press("Clear")
    page.until(lambda: page.driver.current_url.endswith("/ui/events"), "the filters stayed in the address")
    submit(server, "third")
    page.shows(NAMES, "third")


def test_a_held_list_does_not_move_and_says_how_much_has_come(page: Page, server: ServerProcess) -> None:
    open_events(page, server, "?state=succeeded")
    submit(server, "before")
    page.shows(NAMES, "before")
    page.press("Hold")
    submit(server, "while-1", "while-2")
    page.shows(".toolbar .button", "Show 2 events")
    assert page.texts(NAMES) == ["before"]

    page.press("Show 2 events")
    page.until(lambda: sorted(page.texts(NAMES)) == ["before", "while-1", "while-2"], "they are not shown")


def test_a_gap_is_marked(page: Page, server: ServerProcess) -> None:
    page.expect("net::", "Failed to load")
    open_events(page, server)
    submit(server, "seen")
    page.shows(NAMES, "seen")
    page.driver.execute_cdp_cmd("Network.enable", {})
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**conditions, "offline": True})
    page.shows(".banner", "Connection lost.")
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**conditions, "offline": False})
    page.press("Try now")

    page.shows(".event-gap", "Events may be missing here")
    submit(server, "after")
    page.shows(NAMES, "after")


def test_many_events_take_bounded_room(page: Page, server: ServerProcess) -> None:
    open_events(page, server)
    submit(server, *(f"many-{number}" for number in range(1500)), duration=0)

    page.shows(".panel__foot", "The last 100 of 2,000 events")
    assert len(page.texts(NAMES)) == 100
    page.press("Show more")
    page.until(lambda: len(page.texts(NAMES)) == 300, "there are not more")
