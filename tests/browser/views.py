"""The views of the dashboard: each page, and each state of it, with the steps that lead there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..server.process import ServerProcess
from . import scenes
from .page import Page


class View(NamedTuple):
    """A view.

    Parameters:
        path: returns the path of the page.
        ready: a selector and a text that the page shows once it is complete.
        steps: what the reader does then.
    """

    path: Callable[[ServerProcess], str]
    ready: tuple[str, str]
    steps: Callable[[Page], None] = lambda _: None


def at(path: str) -> Callable[[ServerProcess], str]:
    """Return a function that returns a path."""
    return lambda _: path


def of_task(name: str, query: str = "") -> Callable[[ServerProcess], str]:
    """Return a function that returns the path of the page of a task."""
    return lambda server: f"/ui/tasks/{scenes.task_id(server, name)}{query}"


def open_new_task(page: Page) -> None:
    page.click(".topbar__new")
    page.shows(".dialog__title", "New task")


def fill_in_badly(page: Page) -> None:
    open_new_task(page)
    page.run(
        """const select = document.querySelector("select");
        select.value = "resize";
        select.dispatchEvent(new Event("change", { bubbles: true }))"""
    )
    page.shows("dialog label", "quality")
    page.run("document.querySelector('dialog details').open = true")
    page.press("Submit task")
    page.shows(".field__error", "This is required.")


def open_filter(name: str) -> Callable[[Page], None]:
    """Return the step of opening the menu of a filter."""

    def step(page: Page) -> None:
        page.press(name)
        page.shows(".menu", "")

    return step


def select_three(page: Page) -> None:
    for number in (2, 3, 5):
        page.click(f"tbody tr:nth-child({number}) .checkbox")
    page.shows(".bulk-bar", "3 selected")


def ask_to_cancel_three(page: Page) -> None:
    select_three(page)
    page.press("Cancel…")
    page.shows("dialog", "This concerns")


def search_the_log(page: Page) -> None:
    page.element(".log__search input").send_keys("pass")
    page.shows(".log__found", "of 40")


BUSY = {
    "overview": View(at("/"), (".table", "reports/weekly")),
    "overview-24h": View(at("/?range=24h"), (".table", "reports/weekly")),
    "tasks": View(at("/ui/tasks"), (".table", "encode/")),
    "tasks-failed": View(at("/ui/tasks?state=finished&outcome=failed&tag=reports"), (".table", "reports/weekly")),
    "tasks-nothing": View(at("/ui/tasks?name_prefix=none"), (".empty", "Nothing matches")),
    "tasks-outcome-menu": View(at("/ui/tasks"), (".table", "encode/"), open_filter("Outcome")),
    "tasks-submitted-menu": View(at("/ui/tasks"), (".table", "encode/"), open_filter("Submitted")),
    "tasks-selected": View(at("/ui/tasks"), (".table", "encode/"), select_three),
    "tasks-bulk": View(at("/ui/tasks"), (".table", "encode/"), ask_to_cancel_three),
    "task-running": View(of_task(scenes.LONG_NAME), (".log__lines", "FAIL")),
    "task-search": View(of_task(scenes.LONG_NAME), (".log__lines", "FAIL"), search_the_log),
    "task-blocked": View(of_task("invoices/stark-2026-12"), (".reasons", "limit")),
    "task-scheduled": View(of_task("backup/hourly"), (".reasons", "due")),
    "task-failed": View(of_task("reports/weekly"), (".log__lines", "LookupError")),
    "task-timed-out": View(of_task("thumbs/catalogue-2026"), (".status", "timed out")),
    "task-abandoned": View(of_task("export/ledger-2026-11"), (".status", "abandoned")),
    "task-result": View(of_task("pictures/holiday-1"), (".code", "holiday-1.jpg")),
    "task-arabic": View(of_task(scenes.ARABIC_NAME), (".log__lines", "FAIL")),
    "new-task": View(at("/"), (".table", "reports/weekly"), open_new_task),
    "new-task-faults": View(at("/"), (".table", "reports/weekly"), fill_in_badly),
    "not-found": View(at("/ui/nothing"), (".empty", "no such page")),
}
"""The views of a busy server, by name."""

EMPTY = {
    "empty-overview": View(at("/"), (".empty", "No tasks yet")),
    "empty-tasks": View(at("/ui/tasks"), (".empty", "No tasks yet")),
}
"""The views of a server that has had no task, by name."""


def show(page: Page, server: ServerProcess, view: View) -> None:
    """Open a view, and take its steps."""
    page.open(f"{server.url}{view.path(server)}")
    page.shows(*view.ready)
    view.steps(page)
