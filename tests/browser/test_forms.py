"""The form for a new task: the input for each kind of param, and the message for each fault."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ..server.process import ServerProcess, eventually
from .conftest import Start
from .page import Page

numbers = itertools.count(1)


def open_form(page: Page, url: str, handler: str) -> None:
    page.open(url)
    page.press(f"New task for {handler}")
    page.until(lambda: page.texts("#submit #field-name-hint"), "the form did not open")


def finished(server: ServerProcess, name: str) -> dict[str, Any]:
    """Wait until the only task with this name has ended; return its record."""
    [listed] = eventually(lambda: server.client.get(f"/tasks?state=finished&name={name}").json())
    record: dict[str, Any] = server.client.get(f"/tasks/{listed['id']}").json()
    return record


TEXTS = ["hello", "two words", "007", "1.50", "true", "[1, 2", '{"a": 1}', '"quoted"', "é 漢", "-x"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_slot_takes_any_text_as_it_is(page: Page, server: ServerProcess, text: str) -> None:
    name = f"slot-{next(numbers)}"
    open_form(page, server.url, "greet")
    page.fill("#field-name", name)
    page.fill("#field-greeting", text)
    page.fill("#field-params-name", "world")
    page.click("#submit .primary")
    page.until(lambda: not page.texts("#submit"), "the form did not close")

    record = finished(server, name)
    assert record["params"] == {"greeting": text, "name": "world"}
    assert record["output"]["stdout"] == f"{text}, world"


@pytest.mark.parametrize(("text", "value"), [("12", 12), ("twelve", "twelve"), ("1.5", "1.5"), ("[1", "[1")])
def test_a_param_of_two_types_takes_text_and_json(page: Page, server: ServerProcess, text: str, value: Any) -> None:
    name = f"either-{next(numbers)}"
    open_form(page, server.url, "repeat")
    page.fill("#field-name", name)
    page.fill("#field-either", text)
    page.click("#submit .primary")
    page.until(lambda: not page.texts("#submit"), "the form did not close")
    assert finished(server, name)["params"]["either"] == value


def test_the_fields_of_a_form_have_ids_of_their_own(page: Page, server: ServerProcess) -> None:
    for handler in ("greet", "call", "steps", "repeat", "sleep"):
        open_form(page, server.url, handler)
        ids: list[str] = page.run("return [...document.querySelectorAll('[id]')].map((it) => it.id)")
        assert len(ids) == len(set(ids)), handler


FAULTS: list[tuple[str, dict[str, str], list[str]]] = [
    ("repeat", {}, ["name", "either"]),
    ("repeat", {"name": "a"}, ["either"]),
    ("repeat", {"either": "b"}, ["name"]),
    ("repeat", {"name": "a", "either": "b", "tags": "[1"}, ["tags"]),
    ("repeat", {"name": "a", "either": "b", "tags": "plain"}, ["tags"]),
    ("repeat", {"name": "a", "either": "b", "tags": "[1]"}, ["tags"]),  # found by the server, shown in the list
    ("repeat", {"name": "a", "either": "b", "width": "11"}, ["width"]),
    ("repeat", {"name": "a", "either": "b", "width": "0"}, ["width"]),
    ("repeat", {"name": "a", "either": "b", "width": "1.5"}, ["width"]),
    ("repeat", {"either": "b", "width": "11", "tags": "{"}, ["name", "tags", "width"]),
    ("repeat", {"name": "x" * 300, "either": "b"}, ["name"]),  # found by the server
    ("greet", {"name": "a"}, ["greeting", "params-name"]),
    ("call", {"name": "a"}, ["place"]),
    ("steps", {}, ["name", "count"]),
    ("sleep", {"name": "a", "duration": "-1"}, ["duration"]),
    ("sleep", {"name": "a", "priority": "101"}, ["priority"]),  # in the section that is closed at first
    ("sleep", {"priority": "101", "retries": "-1"}, ["name", "priority", "retries"]),
]


@pytest.mark.parametrize(("handler", "texts", "faulty"), FAULTS)
def test_each_fault_is_said_at_its_field_and_the_first_has_the_focus(
    page: Page, server: ServerProcess, handler: str, texts: dict[str, str], faulty: list[str]
) -> None:
    page.expect("status of 400")
    open_form(page, server.url, handler)
    for field, text in texts.items():
        page.run("document.querySelector('#submit details').open = true")
        page.fill(f"#field-{field}", text)
    page.run("document.querySelector('#submit details').open = false")
    page.click("#submit .primary")

    page.until(lambda: page.texts(f"#field-{faulty[0]}-fault") not in ([], [""]), f"{faulty[0]} has no fault")
    marked: list[str] = page.run("return [...document.querySelectorAll('[aria-invalid=true]')].map((it) => it.id)")
    assert sorted(marked) == sorted(f"field-{field}" for field in faulty)
    for field in faulty:
        assert page.texts(f"#field-{field}-fault") not in ([], [""]), field
    focused = page.run("return document.activeElement.id")
    assert focused == page.run("return document.querySelector('[aria-invalid=true]').id")


def test_what_is_wrong_with_no_field_is_said_below_and_goes_when_it_is_right(page: Page, start: Start) -> None:
    server = start("-pool-size", "1", "--queue-size", "1")
    page.expect("status of 409", "status of 429")
    server.client.post("/tasks", json={"name": "held", "duration": 60_000}).raise_for_status()
    open_form(page, server.url, "sleep")
    page.fill("#field-name", "held")
    page.click("#submit .primary")
    page.shows("#submit form > .problem", "the name 'held' is held by")
    page.fill("#field-name", "")
    page.click("#submit .primary")
    assert page.texts("#submit form > .problem") == [""]

    server.client.post("/tasks", json={"name": "queued", "duration": 1}).raise_for_status()
    page.fill("#field-name", "late")
    page.click("#submit .primary")
    page.shows("#submit form > .problem", "no room")


def test_the_form_says_when_the_server_does_not_answer(page: Page, server: ServerProcess) -> None:
    open_form(page, server.url, "sleep")
    page.fill("#field-name", "nowhere")
    page.run("window.fetch = () => Promise.reject(new TypeError('Failed to fetch'))")
    page.click("#submit .primary")
    page.shows("#submit form > .problem", "the server does not answer")


def test_the_form_opens_before_the_handlers_are_read(page: Page, server: ServerProcess) -> None:
    script = """const real = window.fetch;
        let isFirst = true;
        window.fetch = async (path, options) => {
            if (path === "handlers" && isFirst) { isFirst = false; await new Promise(() => undefined); }
            return real(path, options);
        };"""
    with page.running_first(script):
        page.open(server.url)
    page.press("New task")
    page.shows("#submit", "New task")
