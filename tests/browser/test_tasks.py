"""Work with tasks in the dashboard: submit, find, watch, change, cancel, run again; with the mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from ..server.process import ServerProcess, eventually
from . import scenes
from .page import Page


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server for all tests of this module; each uses names of its own."""
    server = scenes.start("--pool-size", "6")
    yield server
    server.close()


def record_of(server: ServerProcess, name: str) -> dict[str, Any]:
    """Return the record of the latest task with this name, once it is accepted."""
    found: list[dict[str, Any]] = eventually(lambda: server.client.get("/tasks", params={"name": name}).json())
    record: dict[str, Any] = server.client.get(f"/tasks/{found[0]['id']}").json()
    return record


def choose_handler(page: Page, name: str) -> None:
    script = """arguments[0].value = arguments[1];
        arguments[0].dispatchEvent(new Event("change", { bubbles: true }))"""
    page.run(script, page.field("Handler"), name)


def test_a_task_is_submitted_with_a_form_made_from_its_schema(page: Page, server: ServerProcess) -> None:
    page.open(server.url)
    page.press("New task")
    page.fill("Name", "pictures/1")
    choose_handler(page, "resize")
    page.fill("path", "holiday.jpg")
    page.fill("width", "wide")
    page.fill("tags", "sea\nsun")
    page.fill("either", "17")
    page.press("Submit task")
    page.shows(".field__error", "Write a number.")
    page.fill("width", "640")
    page.press("Submit task")

    page.shows(".toast", "Submitted pictures/1")
    params = record_of(server, "pictures/1")["params"]
    assert params["size"] == {"width": 640}
    assert (params["path"], params["tags"], params["either"]) == ("holiday.jpg", ["sea", "sun"], 17)
    assert (params["kind"], params["keep_original"]) == ("jpeg", True)


def test_a_fault_that_the_server_finds_is_shown_at_its_field(page: Page, server: ServerProcess) -> None:
    page.expect("status of 400")
    page.open(server.url)
    page.press("New task")
    page.fill("Name", "pictures/2")
    choose_handler(page, "resize")
    page.fill("path", "holiday.jpg")
    page.fill("width", "640")
    page.run("document.querySelector('dialog details').open = true")
    page.fill("Tags", "a, a")
    page.press("Submit task")

    page.until(lambda: page.texts("dialog .field__error, dialog .problem"), "no fault is shown")
    page.shows("dialog .dialog__title", "New task")


def test_a_held_name_says_so_in_the_form(page: Page, server: ServerProcess) -> None:
    page.expect("status of 409")
    scenes.submit(server, [{"name": "held", "delay": 600_000}])
    page.open(server.url)
    page.press("New task")
    page.fill("Name", "held")
    page.press("Submit task")

    page.shows("dialog .problem", "held")


def test_a_task_is_run_again_with_changes(page: Page, server: ServerProcess) -> None:
    task = {"path": "a.jpg", "size": {"width": 10}, "kind": "webp"}
    scenes.submit(server, [{"name": "pictures/3", "handler": "resize", "params": task, "tags": ["old"], "retries": 2}])
    eventually(lambda: record_of(server, "pictures/3")["state"] == "finished")
    page.open(f"{server.url}/ui/tasks/{record_of(server, 'pictures/3')['id']}")
    page.press("More")
    page.press("Run again with changes…")
    assert page.field("path").get_property("value") == "a.jpg"
    page.fill("Name", "pictures/4")
    page.fill("width", "20")
    page.press("Submit task")

    page.shows(".toast", "Submitted pictures/4")
    again = record_of(server, "pictures/4")
    assert again["params"]["size"] == {"width": 20}
    assert (again["params"]["kind"], again["tags"], again["retries"]) == ("webp", ["old"], 2)


def test_selected_tasks_are_cancelled_after_a_count(page: Page, server: ServerProcess) -> None:
    scenes.submit(server, [{"name": f"bulk/{number}", "delay": 600_000} for number in range(5)])
    page.open(f"{server.url}/ui/tasks?state=scheduled&name_prefix=bulk/")
    page.shows(".table .task-name", "bulk/4")
    for number in (1, 3):
        page.click(f"tbody tr:nth-child({number}) .checkbox")
    page.press("Cancel…")
    page.shows("dialog p", "This concerns 2 tasks.")
    page.press("Cancel 2 tasks")

    page.shows(".toast", "2 tasks cancelled")
    outcomes = [record_of(server, f"bulk/{number}").get("outcome") for number in range(5)]
    assert outcomes == ["cancelled", None, "cancelled", None, None]


def test_every_task_that_matches_gets_a_priority(page: Page, server: ServerProcess) -> None:
    tasks = [{"name": f"many/{number:03}", "delay": 600_000, "tags": ["many"]} for number in range(150)]
    scenes.submit(server, tasks)
    page.open(f"{server.url}/ui/tasks?state=scheduled&tag=many")
    page.shows(".table .task-name", "many/000")
    page.click("thead .checkbox")
    page.press("Select all that match")
    page.press("Priority…")
    page.shows("dialog .dialog__title", "Priority of 150 waiting tasks")
    page.fill("Priority", "7")
    page.press("Change priority")

    page.shows(".toast", "150 tasks have the priority 7")
    assert record_of(server, "many/149")["priority"] == 7


def test_more_rows_are_read_as_one_scrolls(page: Page, server: ServerProcess) -> None:
    scenes.submit(server, [{"name": f"scroll/{number:03}", "delay": 600_000} for number in range(350)])
    page.open(f"{server.url}/ui/tasks?state=scheduled&name_prefix=scroll/")
    page.shows(".table .task-name", "scroll/000")

    def is_at_the_end() -> bool:
        page.run("scrollTo(0, document.body.scrollHeight)")
        return "scroll/349" in page.texts(".table .task-name")

    page.until(is_at_the_end, "the last task was not read")
    page.shows(".panel__foot", "350 tasks, all that match")
    assert page.run("return document.querySelectorAll('tbody tr').length") < 150


def size_of_largest_map(page: Page) -> int:
    """Return the number of entries in the largest ``Map`` of the page."""
    run = page.driver.execute_cdp_cmd
    prototype = run("Runtime.evaluate", {"expression": "Map.prototype"})["result"]["objectId"]
    maps = run("Runtime.queryObjects", {"prototypeObjectId": prototype})["objects"]["objectId"]
    largest = "function () { return Math.max(...this.filter((it) => it !== Map.prototype).map(({ size }) => size)); }"
    found = run("Runtime.callFunctionOn", {"objectId": maps, "functionDeclaration": largest, "returnByValue": True})
    return int(found["result"]["value"])


def shows_only(page: Page, prefix: str) -> bool:
    """Return whether the list shows tasks, and only those whose names have a prefix."""
    names = page.texts(".table .task-name")
    return bool(names) and all(name.startswith(prefix) for name in names)


def test_rows_that_are_gone_are_forgotten(page: Page, server: ServerProcess) -> None:
    page.open(f"{server.url}/ui/tasks?state=finished&name_prefix=gone/")
    for wave in range(4):
        scenes.submit(server, [{"name": f"gone/{wave}/{number}", "duration": 0} for number in range(100)])
        page.until(partial(shows_only, page, f"gone/{wave}/"), "the list is not refreshed")

    assert size_of_largest_map(page) <= 200


def test_a_row_changes_in_its_place(page: Page, server: ServerProcess) -> None:
    scenes.submit(server, [{"name": "place/1", "delay": 600_000}, {"name": "place/2", "delay": 600_000}])
    page.open(f"{server.url}/ui/tasks?name_prefix=place/")
    page.shows(".table .task-name", "place/2")
    page.element(".table .checkbox").send_keys("")  # the focus is in the list, so nothing moves
    page.run("document.querySelector('.table .checkbox').focus()")
    server.client.delete(f"/tasks/{record_of(server, 'place/1')['id']}").raise_for_status()

    page.shows(".table .status", "cancelled")
    assert page.texts(".table .task-name") == ["place/1", "place/2"]


def test_the_log_follows_the_end_until_the_reader_scrolls_up(page: Page, server: ServerProcess) -> None:
    params = {"lines_per_second": 200, "seconds": 60}
    scenes.submit(server, [{"name": "talking", "handler": "talk", "params": params}])
    page.open(f"{server.url}/ui/tasks/{record_of(server, 'talking')['id']}")
    state = "const it = document.querySelector('.log__lines'); return [it.scrollTop, it.scrollHeight - it.clientHeight]"
    page.until(lambda: page.run(state)[1] > 2000, "the log does not grow")
    top, end = page.run(state)
    assert end - top < 40

    page.run("document.querySelector('.log__lines').scrollTop = 500")
    page.shows(".log__latest", "Latest lines")
    first = page.run("return [...document.querySelectorAll('.log__line')].map((it) => it.innerText)")[0]
    page.until(lambda: page.run(state)[1] > end + 1000, "the log does not grow")
    assert page.run(state)[0] == 500
    assert page.run("return [...document.querySelectorAll('.log__line')].map((it) => it.innerText)")[0] == first

    page.press("Latest lines")
    page.until(lambda: page.run(f"const at = (() => {{ {state} }})(); return at[1] - at[0] < 40"), "it does not follow")
    server.client.delete(f"/tasks/{record_of(server, 'talking')['id']}")


def test_a_task_is_submitted_watched_cancelled_and_run_again_by_keyboard(page: Page, server: ServerProcess) -> None:
    page.open(server.url)

    def tab_to(name: str, *, back: bool = False) -> None:
        """Move the focus with the Tab key to the element with this name."""
        script = """const it = document.activeElement;
            return it.ariaLabel ?? it.labels?.[0]?.innerText.split("\\n")[0] ?? it.innerText?.trim() ?? ''"""
        for _ in range(80):
            if page.run(script) == name:
                return
            page.keys(Keys.SHIFT + Keys.TAB if back else Keys.TAB)
        raise AssertionError(f"{name} cannot be reached; the focus is at {page.run(script)!r}")

    tab_to("New task")
    page.keys(Keys.ENTER)
    page.shows(".dialog__title", "New task")
    tab_to("Name")
    page.keys("keyboard")
    tab_to("Handler")
    page.keys("sleep")
    tab_to("Duration")
    page.keys(Keys.BACKSPACE, "600")
    tab_to("Submit task")
    page.keys(Keys.ENTER)
    page.shows(".toast", "Submitted keyboard")
    page.shows_no("dialog")

    tab_to("Show")
    page.keys(Keys.ENTER)
    page.shows(".task-head__title", "keyboard")
    page.shows(".task-head .status", "running")

    tab_to("Cancel…")
    page.keys(Keys.ENTER)
    page.shows(".task-head .status", "cancelled")

    tab_to("Run again", back=True)
    page.keys(Keys.ENTER)
    page.shows(".toast", "keyboard runs again")
    eventually(lambda: len(server.client.get("/tasks", params={"name": "keyboard"}).json()) == 2)
