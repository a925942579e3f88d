"""The dashboard in Firefox: the overview, a submit, a task to its end with its log, and a cancel."""

from __future__ import annotations

from pathlib import Path

from . import scenes
from .firefox import Firefox, firefox
from .test_tasks import record_of


def submit_build(browser: Firefox, name: str, seconds: str) -> None:
    """Submit a task with the form."""
    browser.press("New task")
    browser.shows(".dialog__title", "New task")
    browser.type(name)  # the form focuses its first field, the name
    browser.run(
        """const select = document.querySelector("dialog select");
        select.value = "build";
        select.dispatchEvent(new Event("change", { bubbles: true }))"""
    )
    browser.shows("dialog label", "seconds")
    browser.run("""const isIt = (label) => label.innerText.startsWith("seconds");
        [...document.querySelectorAll("dialog label")].find(isIt).control.select()""")
    browser.type(seconds)
    browser.press("Submit task")
    browser.shows(".toast", f"Submitted {name}")


def test_tasks_run_and_are_cancelled_in_firefox(tmp_path: Path) -> None:
    server = scenes.start()
    with firefox(tmp_path) as browser:
        browser.open(server.url)
        browser.shows("h1", "Overview")
        browser.shows(".empty", "No tasks yet")
        submit_build(browser, "compiled", "3")
        browser.open(f"{server.url}/ui/tasks/{record_of(server, 'compiled')['id']}")
        browser.shows(".log__lines", "PASS")
        browser.shows(".task-head .status", "succeeded")

        submit_build(browser, "stopped", "600")
        browser.open(f"{server.url}/ui/tasks/{record_of(server, 'stopped')['id']}")
        browser.press("Cancel…")
        browser.shows(".task-head .status", "cancelled")
        browser.open("about:blank")
        assert browser.errors == []
    server.close()
