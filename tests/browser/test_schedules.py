"""The pages of schedules: what they show, and what they offer to whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pexecutor.access import hash_token, new_token

from ..server.process import ServerProcess, eventually
from . import scenes
from .page import Page

READ_TOKEN = new_token()
ADMIN_TOKEN = new_token()
SETTINGS = f"""
[tokens.ana]
sha256 = "{hash_token(READ_TOKEN)}"
scope = "read"

[tokens.root]
sha256 = "{hash_token(ADMIN_TOKEN)}"
scope = "admin"

[schedules.nightly]
cron = "0 3 * * *"
timezone = "Asia/Tokyo"
task = {{name = "dump", handler = "sleep", duration = 1}}
"""
BY_API = {
    "hourly": {"cron": "0 * * * *", "task": {"name": "report", "duration": 1}},
    "held": {"every": 1000, "task": {"name": "long", "duration": 600_000}},
    "failing": {"cron": "0 8 * * MON-FRI", "task": {"name": "broken", "duration": 600_000, "timeout": 1}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with one schedule of its settings file and three of its API, which have occurrences."""
    settings = tmp_path_factory.mktemp("settings") / "settings.toml"
    settings.write_text(SETTINGS)
    server = ServerProcess("--port", "0", "--config", str(settings))
    server.client.headers["Authorization"] = f"Bearer {ADMIN_TOKEN}"
    for name, definition in BY_API.items():
        server.client.put(f"/schedules/{name}", json=definition).raise_for_status()
    scenes.run_schedule(server, "hourly", 3)
    scenes.run_schedule(server, "failing", 2)
    eventually(lambda: any("skipped" in each for each in shown(server, "held")["occurrences"]))
    yield server
    server.close()


def shown(server: ServerProcess, name: str) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = server.client.get(f"/schedules/{name}").json()
    return found


def sign_in(page: Page, server: ServerProcess, path: str, token: str = ADMIN_TOKEN) -> None:
    """Open a page with a session of a token."""
    page.expect("status of 401")
    page.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    page.open(f"{server.url}{path}", until="")
    page.fill("Token", token)
    page.press("Sign in")
    page.shows_no(".full-page")


def test_the_list_says_when_each_is_due_and_what_came_of_the_last_ones(page: Page, server: ServerProcess) -> None:
    sign_in(page, server, "/ui/schedules")

    page.shows(".table__words", "every day at 03:00")
    page.shows(".table__words", "0 3 * * * Asia/Tokyo")
    page.shows(".table__words", "Mon to Fri at 08:00")
    labels = "return [...document.querySelectorAll('.strip')].map((strip) => strip.ariaLabel)"
    page.until(lambda: {"last 3: 3 succeeded", "last 2: 2 timed out"} <= set(page.run(labels)), "no outcomes")
    page.shows("tr", " the name was held")


def test_a_view_of_the_list_has_an_address(page: Page, server: ServerProcess) -> None:
    sign_in(page, server, "/ui/schedules?show=skipped")

    page.until(lambda: page.texts("td .task-name") == ["held"], "the view does not apply")
    page.click(".tabs__tab:nth-child(2)")
    page.shows(".empty__title", "None of them")
    assert page.driver.current_url.endswith("?show=paused")


def test_a_schedule_is_paused_resumed_and_run_now(page: Page, server: ServerProcess) -> None:
    sign_in(page, server, "/ui/schedules/hourly")
    page.press("Pause")
    page.shows(".task-head .status", "paused")
    assert shown(server, "hourly")["paused"]
    page.press("Undo")
    page.shows(".task-head__actions", "Pause")
    assert not shown(server, "hourly")["paused"]

    before = len(shown(server, "hourly")["occurrences"])
    page.press("Run now")
    page.shows(".toast", "report was submitted")
    page.until(lambda: len(page.texts("td.table__status")) == before + 1, "the list of occurrences is old")


def test_the_page_of_a_schedule_says_why_times_were_skipped(page: Page, server: ServerProcess) -> None:
    sign_in(page, server, "/ui/schedules/held")

    page.shows("td.table__status", "skipped")
    page.shows("td.table__note", "the name was held by ")
    page.shows(".panel__note", "skipped time")
    assert page.run("return document.querySelectorAll('main [data-role=failure]').length") == 0


def test_next_times_are_shown_in_the_zone_of_the_schedule_too(page: Page, server: ServerProcess) -> None:
    sign_in(page, server, "/ui/schedules/nightly")

    page.until(lambda: len(page.texts(".next-times__item")) == 5, "there are not five times")
    assert all("03:00 GMT+9" in text for text in page.texts(".next-times__item"))


def test_a_schedule_of_the_settings_file_cannot_be_removed(page: Page, server: ServerProcess) -> None:
    sign_in(page, server, "/ui/schedules/nightly")

    page.shows(".task-head__facts", "declared in the settings file")
    page.until(lambda: page.texts(".task-head__actions .button") == ["Run now", "Pause"], "another action is offered")


def test_the_removal_asks_first_and_says_what_is_lost(page: Page, server: ServerProcess) -> None:
    server.client.put("/schedules/short", json=BY_API["hourly"]).raise_for_status()
    scenes.run_schedule(server, "short")
    sign_in(page, server, "/ui/schedules/short")
    page.press("Remove…")
    page.shows(".dialog", "short: it will not fire again, and the record of its last 1 occurrence is lost.")
    page.press("Keep it")
    page.shows_no(".dialog")
    assert server.client.get("/schedules/short").status_code == 200

    page.press("Remove…")
    page.press("Remove schedule")
    page.shows(".toast", "short was removed")
    page.shows("h1", "Schedules")
    assert server.client.get("/schedules/short").status_code == 404


def test_a_reader_is_offered_no_action(page: Page, server: ServerProcess) -> None:
    sign_in(page, server, "/ui/schedules", READ_TOKEN)
    page.shows("td .task-name", "hourly")
    assert page.texts("td .button") == []

    page.click('a[href$="/ui/schedules/hourly"]')
    page.shows(".task-head__title", "hourly")
    assert page.texts(".task-head__actions") == []


def test_an_unknown_schedule_says_so(page: Page, server: ServerProcess) -> None:
    page.expect("status of 404")
    sign_in(page, server, "/ui/schedules/none")

    page.shows(".empty__title", "There is no such schedule")


def test_a_server_without_schedules_says_how_to_make_one(page: Page, empty: ServerProcess) -> None:
    page.open(f"{empty.url}/ui/schedules")

    page.shows(".empty__code", f"curl -X PUT {empty.url}/schedules/nightly")


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_shows_it_without_scrolling_sideways(page: Page, server: ServerProcess, width: int) -> None:
    page.look(width=width, height=800)
    sign_in(page, server, "/ui/schedules")
    page.shows("td .task-name", "hourly")
    for path in ("/ui/schedules", "/ui/schedules/held", "/ui/schedules/nightly"):
        page.open(f"{server.url}{path}")
        page.until(lambda: not page.texts(".skeletons") and page.texts("main .panel"), "it was not read")
        assert page.run("return document.documentElement.scrollWidth") <= width, path
