"""The pages of nodes and of settings."""

from __future__ import annotations

from ..server.process import ServerProcess
from .conftest import Start
from .page import Page

NODES = """
    const real = window.fetch;
    const at = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
    const nodes = () => [
        { name: "app-1-10-aa", beat_at: at(-1), lease_until: at(59), pool_size: 4, busy: 4, draining: false },
        { name: "app-2-11-bb", beat_at: at(-41), lease_until: at(19), pool_size: 4, busy: 2, draining: false },
        { name: "app-3-12-cc", beat_at: at(-1), lease_until: at(59), pool_size: 4, busy: 1, draining: true },
    ];
    window.fetch = (url, options) =>
        String(url).endsWith("/nodes") ? Promise.resolve(Response.json(nodes())) : real(url, options);
"""


def test_one_server_is_one_row_that_says_so(page: Page, busy: ServerProcess) -> None:
    page.open(f"{busy.url}/ui/nodes")

    page.shows("td.table__slots", "8 of 8")
    page.shows(".panel__foot", "this server is the only node")
    page.click("td .task-name")
    page.shows(".facts", "8 running tasks")
    page.shows(".facts", "durable")


def test_nodes_that_share_a_store_say_whether_they_live(page: Page, empty: ServerProcess) -> None:
    with page.running_first(NODES):
        page.open(f"{empty.url}/ui/nodes")
        page.shows(".panel__note", "1 of 3 take tasks, 12 workers in all")
        page.until(lambda: page.texts("td.table__status") == ["live", "silent", "draining"], "the states are wrong")
        page.shows("td.table__note", "its 2 tasks are given back in ")
        page.shows("td.table__note", "it starts no more tasks, 1 task left")

        page.open(f"{empty.url}/ui/nodes/app-2-11-bb")
        page.shows(".facts", "1 min, ends in 1")
        page.open(f"{empty.url}/ui/nodes/app-9")
        page.shows(".empty__title", "There is no such node")


def test_settings_show_the_server_and_the_access(page: Page, busy: ServerProcess) -> None:
    version = busy.client.get("/openapi.json").json()["info"]["version"]
    page.open(f"{busy.url}/ui/settings")

    page.shows(".facts", version)
    page.shows(".facts", "10,000 tasks in one submit")
    page.shows(".facts", "none is configured")
    links = page.run("return [...document.querySelectorAll('.links a')].map((link) => link.href)")
    assert links == [f"{busy.url}/{path}" for path in ("docs", "openapi.json", "metrics")]
    assert all(busy.client.get(link).status_code == 200 for link in links)


def test_the_theme_is_chosen_and_given_back_to_the_system(page: Page, empty: ServerProcess) -> None:
    theme = "return getComputedStyle(document.documentElement).colorScheme"
    page.open(f"{empty.url}/ui/settings")
    page.press("Dark")
    page.until(lambda: page.run(theme) == "dark", "it is not dark")
    page.open(f"{empty.url}/ui/settings")
    page.until(lambda: page.run(theme) == "dark", "the choice is lost")
    page.press("As the system")
    page.until(lambda: page.run("return document.documentElement.dataset.theme ?? null") is None, "it is kept")


def test_the_drain_asks_first_and_says_how_many_tasks_it_concerns(page: Page, start: Start) -> None:
    server = start("--pool-size", "1")
    page.expect("503", "net::", "Failed to load")
    for name in ("runs", "waits", "waits-too"):
        server.client.post("/tasks", json={"name": name, "duration": 60_000}).raise_for_status()
    page.open(f"{server.url}/ui/settings")
    page.press("Drain…")
    page.shows("dialog", "1 running task has until the drain timeout to end, and is cut off then.")
    page.shows("dialog", "2 waiting tasks stay in the store.")
    page.press("Keep it running")
    assert server.client.get("/readyz").status_code == 200

    page.press("Drain…")
    page.press("Drain the server")
    page.shows(".banner", "The server is draining.")
    page.shows_no("main .button")
