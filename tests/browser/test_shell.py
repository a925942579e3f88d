"""The shell of the dashboard: addresses, signing in, and what it says about the server and the connection."""

from __future__ import annotations

from pathlib import Path

from pexecutor.access import hash_token, new_token

from ..server.process import ServerProcess
from . import scenes
from .conftest import Start
from .page import Page


def test_the_overview_shows_what_needs_attention_first(page: Page, busy: ServerProcess) -> None:
    page.open(busy.url)

    page.shows(".attention__what", "tasks failed")
    page.shows(".attention__what", "1 task was abandoned")
    page.shows(".attention__what", "1 task timed out")
    page.shows(".attention__what", "2 tasks are blocked")
    assert page.texts("main .panel h2")[0] == "Needs attention"


def test_a_server_without_tasks_says_how_to_make_one(page: Page, empty: ServerProcess) -> None:
    page.open(empty.url)

    page.shows(".empty__code", f"curl {empty.url}")


def test_pages_have_addresses_and_the_back_button_works(page: Page, busy: ServerProcess) -> None:
    page.open(busy.url)
    page.click('.sidebar__link[title="Tasks"]')
    page.shows("h1", "Tasks")
    page.press("Outcome")
    page.press("failed")
    page.until(lambda: page.driver.current_url.endswith("/ui/tasks?outcome=failed"), "no filter in the address")
    page.shows(".table .task-name", "backup/crm-nightly")

    page.driver.back()
    page.until(lambda: page.driver.current_url.endswith("/ui/tasks"), "the filter stayed")
    page.driver.back()
    page.shows("h1", "Overview")


def test_an_address_can_be_opened_by_itself(page: Page, busy: ServerProcess) -> None:
    page.open(f"{busy.url}/ui/tasks/{scenes.task_id(busy, 'backup/crm-nightly')}")

    page.shows(".task-head__title", "backup/crm-nightly")
    page.shows(".task-head .problem", "password authentication failed")
    page.shows(".log__lines", "LookupError")


def test_an_unknown_page_and_an_unknown_task_say_so(page: Page, busy: ServerProcess) -> None:
    page.expect("404")
    page.open(f"{busy.url}/ui/nothing")
    page.shows(".empty__title", "There is no such page")
    page.open(f"{busy.url}/ui/tasks/000000-1")
    page.shows(".empty__title", "There is no such task")


def token_settings(tmp_path: Path, **scopes: str) -> dict[str, str]:
    """Write settings with a token for each scope; return the tokens, and the file under `settings`."""
    tokens = {name: new_token() for name in scopes}
    tables = [f'[tokens.{name}]\nsha256 = "{hash_token(tokens[name])}"\nscope = "{scopes[name]}"\n' for name in scopes]
    settings = tmp_path / "settings.toml"
    settings.write_text("\n".join(tables))
    return {**tokens, "settings": str(settings)}


def test_a_reader_signs_in_and_is_offered_only_what_the_scope_allows(page: Page, start: Start, tmp_path: Path) -> None:
    known = token_settings(tmp_path, ana="read")
    server = start("--config", known["settings"])
    page.expect("status of 401")
    page.open(f"{server.url}/ui/tasks?state=finished", until="")
    page.shows(".full-page__title", "Sign in")
    page.fill("Token", "wrong")
    page.press("Sign in")
    page.shows(".problem", "Unknown token.")
    page.fill("Token", known["ana"])
    page.press("Sign in")

    page.shows("h1", "Tasks")
    assert page.driver.current_url.endswith("/ui/tasks?state=finished")
    assert page.texts(".sidebar__who") == ["ana\nread"]
    assert page.texts(".button--primary") == []

    page.press("Sign out")
    page.shows(".full-page__title", "Sign in")


def test_a_lost_connection_says_what_is_old_and_is_found_again(page: Page, start: Start) -> None:
    server = start()
    page.expect("net::", "Failed to load")
    page.open(server.url)
    page.offline(True)
    page.shows(".banner", "Connection lost.")
    page.shows(".banner", "Everything here is as of")

    page.offline(False)
    page.press("Try now")
    page.shows_no(".banner")


def test_a_draining_server_says_so(page: Page, start: Start) -> None:
    server = start()
    page.expect("503", "net::", "Failed to load")
    server.client.post("/tasks", json={"name": "long", "duration": 60_000})
    page.open(server.url)
    server.client.post("/drain").raise_for_status()

    page.shows(".banner", "The server is draining. It refuses submits; 1 running task is left to end.")


def test_too_many_streams_are_no_reason_to_show_old_data(page: Page, start: Start, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("event_streams_max = 1\n")
    server = start("--config", str(settings))
    page.expect("503")
    with server.client.stream("GET", "/events"):
        page.open(server.url, until="Without events")
        page.shows(".banner", "No live events.")
        server.client.post("/tasks", json={"name": "seen", "duration": 1})
        page.shows(".task-name", "seen")
