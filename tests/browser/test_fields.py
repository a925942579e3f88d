"""Test that the API describes each field of a reply that the page reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pexecutor.task import Outcome

from ..server.process import ServerProcess, eventually
from ..stores.valkey.server import valkey_server
from .conftest import Start
from .page import Page

RECORDER = """
const missing = (window.missingFields = []);
const own = new Set(["params", "result", "output"]);  // what is in there is not the API's
const wordless = new Set(["then", "toJSON", "acceptance"]);  // JavaScript asks for two; the page adds the third
const watch = (value) => {
    if (Array.isArray(value)) return value.map(watch);
    if (typeof value !== "object" || value === null) return value;
    const parts = Object.entries(value).map(([name, part]) => [name, own.has(name) ? part : watch(part)]);
    const get = (target, name) => {
        const isKnown = typeof name !== "string" || name in target || wordless.has(name);
        if (!isKnown) missing.push([name, Object.keys(value)]);
        return target[name];
    };
    return new Proxy(Object.fromEntries(parts), { get });
};
const { json } = Response.prototype;
Response.prototype.json = async function () { return watch(await json.call(this)); };
const { parse } = JSON;
JSON.parse = (text) => watch(parse(text));
"""
"""Records each field that a script reads but that its object does not have, with the fields that the object has."""

PROBLEM = {"type", "title", "status", "detail"}


def is_described(name: str, beside: set[str], schemas: list[set[str]]) -> bool:
    """Return whether an object of the API can have this field together with the others."""
    if beside >= PROBLEM:  # one reader handles all kinds of problems
        beside = PROBLEM
    is_count = name in set(Outcome) and beside <= set(Outcome)
    return is_count or any(fields >= {name, *beside} for fields in schemas)


def see_everything(page: Page, server: ServerProcess) -> None:
    """Open each view with all kinds of data."""
    page.shows("#nodes li", "busy")
    page.shows("#charts figcaption", "95 % below")
    for name in ("held", "follows", "later", "pending", "failed", "steps", "printed"):
        page.until(lambda name=name: show(page, name), f"{name} is not shown")  # type: ignore[misc]
        page.shows("#detail dl", "Submitted")
        page.press("Close")
    page.press("New task for sleep")
    page.fill("#field-name", "held")
    page.click("#submit .primary")
    page.shows("#submit form > .problem", "is held by")
    page.press("Close")
    page.press("Run again: failed")
    page.shows("#toasts", "Submitted failed again")
    page.press("Cancel pending")
    page.shows("#toasts", "Cancelled pending")
    page.press("Drain…")
    page.shows("#drain-dialog", "Waiting tasks")


def show(page: Page, name: str) -> bool:
    script = """const named = [...document.querySelectorAll('.name')].find((it) => it.textContent === arguments[0]);
        named?.click();
        return named !== undefined"""
    return bool(page.run(script, name))


def test_each_field_that_is_read_is_described(page: Page, start: Start, tmp_path: Path) -> None:
    page.expect("status of 409")
    with valkey_server(tmp_path / "valkey") as valkey, page.running_first(RECORDER):
        one, _other = (start("--store", valkey.url, "--pool-size", "2") for _ in range(2))
        tasks: list[dict[str, Any]] = [
            {"name": "failed", "handler": "fail", "retries": 1, "retry_delay": 0},
            {"name": "printed", "handler": "greet", "params": {"greeting": "hello", "name": "world"}},
            {"name": "held", "duration": 600_000},
            {"name": "follows", "duration": 1, "delay": 600_000},
            {"name": "later", "duration": 1, "delay": 600_000},
            {"name": "steps", "handler": "steps", "params": {"count": 100_000}},
            *({"name": f"filler-{number}", "duration": 600_000} for number in range(2)),
            {"name": "pending", "duration": 1},
        ]
        for task in tasks:
            one.client.post("/tasks", json=task).raise_for_status()
        eventually(lambda: len(one.client.get("/tasks/finished").json()) == 2)
        page.open(one.url)
        see_everything(page, one)
        missing = page.run("return window.missingFields")
        document = one.client.get("/openapi.json").json()

    schemas = [set(each.get("properties", {})) for each in document["components"]["schemas"].values()]
    assert missing, "optional fields are read of records that do not have them"
    wrong = {name: beside for name, beside in missing if not is_described(name, set(beside), schemas)}
    assert wrong == {}
