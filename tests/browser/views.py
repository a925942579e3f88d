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


def ask(button: str) -> Callable[[Page], None]:
    """Return the step of pressing a button that asks first."""

    def step(page: Page) -> None:
        page.press(button)
        page.shows("dialog p", "")

    return step


def cause_events(page: Page) -> None:
    """Submit, change and cancel a few tasks, and pause a handler for a moment, so that there are events to show."""
    page.run(
        """const send = (method, path, body) => fetch(`../${path}`, { method, body: body && JSON.stringify(body),
            headers: { "Content-Type": "application/json" } });
        const names = arguments[0];
        (async () => {
            for (const name of names) {
                const { id } = await (await send("POST", "tasks", { name, delay: 600000 })).json();
                await send("PATCH", `tasks/${id}`, { priority: 5 });
                await send("DELETE", `tasks/${id}`);
            }
            await send("POST", "handlers/resize/pause");
            await send("POST", "handlers/resize/resume");
        })()""",
        [f"{scenes.EMOJI_NAME}-2", f"{scenes.ARABIC_NAME}-2", f"{scenes.LONG_NAME}-2"],
    )
    page.shows("td", "resumed by")


BUSY = {
    "overview": View(at("/"), (".table", "encode/")),
    "overview-24h": View(at("/?range=24h"), (".table", "encode/")),
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
    "new-task": View(at("/"), (".table", "encode/"), open_new_task),
    "new-task-faults": View(at("/"), (".table", "encode/"), fill_in_badly),
    "schedules": View(at("/ui/schedules"), (".table", "report-hourly")),
    "schedules-paused": View(at("/ui/schedules?show=paused"), (".table", "newsletter-weekly")),
    "schedule-failed": View(at("/ui/schedules/backup-crm"), ("td .status", "failed")),
    "schedule-skipped": View(at("/ui/schedules/cache-eu"), ("td .status", "skipped")),
    "schedule-remove": View(at("/ui/schedules/report-hourly"), ("td .status", "succeeded"), ask("Remove…")),
    "handlers": View(at("/ui/handlers"), (".table", "stark")),
    "handler-failed": View(at("/ui/handlers/fail"), (".table", "reports/weekly")),
    "handler-limited": View(at("/ui/handlers/import_invoices"), (".table", "stark")),
    "nodes": View(at("/ui/nodes"), (".table", "8 of 8")),
    "node": View(at("/ui/nodes/this-server"), (".facts", "8 of 8")),
    "events": View(at("/ui/events"), (".empty", "Waiting for events"), cause_events),
    "events-nothing": View(at("/ui/events?name=none"), (".empty", "Waiting for events that match")),
    "settings": View(at("/ui/settings"), (".facts", "in one submit")),
    "settings-drain": View(at("/ui/settings"), (".facts", "in one submit"), ask("Drain…")),
    "not-found": View(at("/ui/nothing"), (".empty", "no such page")),
}
"""The views of a busy server, by name."""

EMPTY = {
    "empty-overview": View(at("/"), (".empty", "No tasks yet")),
    "empty-tasks": View(at("/ui/tasks"), (".empty", "No tasks yet")),
    "empty-schedules": View(at("/ui/schedules"), (".empty", "No schedules yet")),
    "empty-handlers": View(at("/ui/handlers"), (".table", "sleep")),
    "empty-events": View(at("/ui/events"), (".empty", "Waiting for events")),
    "empty-nodes": View(at("/ui/nodes"), (".table", "0 of 8")),
    "empty-settings": View(at("/ui/settings"), (".facts", "in one submit")),
}
"""The views of a server that has had no task, by name."""


def show(page: Page, server: ServerProcess, view: View) -> None:
    """Open a view, and take its steps."""
    page.open(f"{server.url}{view.path(server)}")
    page.shows(*view.ready)
    view.steps(page)
