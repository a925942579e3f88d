"""The pages of handlers: their measures, their limits, and what is offered to whom."""

from __future__ import annotations

from ..server.process import ServerProcess
from .page import Page

ROW = "return [...document.querySelectorAll('tbody tr')].map((row) => row.innerText.replaceAll(/\\s+/g, ' '))"


def row_of(page: Page, handler: str) -> str:
    """Return the text of the row of a handler."""
    rows: list[str] = page.until(
        lambda: [row for row in page.run(ROW) if row.startswith(f"{handler} ")], f"there is no row of {handler}"
    )
    return rows[0]


def test_the_list_shows_success_and_run_times(page: Page, busy: ServerProcess) -> None:
    page.open(f"{busy.url}/ui/handlers")

    assert row_of(page, "build").startswith("build Prints what a build prints, with colours 2, no limit 50 % ")
    assert " 0 % " in row_of(page, "call")
    page.shows("td[title='1 succeeded, 1 failed']", "50 %")


def test_a_limit_shows_its_slots_its_holders_and_the_values_for_which_tasks_wait(
    page: Page, busy: ServerProcess
) -> None:
    page.open(f"{busy.url}/ui/handlers")

    assert "1 value without a free slot" in row_of(page, "accounting")
    assert row_of(page, "stark") == "stark 2 of 2 invoices/stark-2026-10 invoices/stark-2026-11 2"


def test_run_opens_the_form_of_the_handler(page: Page, busy: ServerProcess) -> None:
    page.open(f"{busy.url}/ui/handlers")
    page.press("Run resize")

    page.shows(".dialog__title", "New task")
    assert page.field("Handler").get_attribute("value") == "resize"
    page.shows("dialog label", "quality")


def test_a_handler_is_paused_and_the_pause_undone(page: Page, busy: ServerProcess) -> None:
    page.open(f"{busy.url}/ui/handlers/encode")
    page.press("Pause")
    page.shows(".toast", "encode is paused: nothing more starts; 3 running tasks go on")
    page.shows(".task-head__facts", "by anonymous")
    assert pauses(busy) == ["encode"]

    page.press("Undo")
    page.until(lambda: "Pause" in page.texts(".task-head__actions .button"), "it stayed paused")
    assert pauses(busy) == []


def pauses(server: ServerProcess) -> list[str]:
    statistics = server.client.get("/readyz").json()["statistics"]
    return [pause["handler"] for pause in statistics["store"]["limits"]["pauses"]]


def test_the_page_of_a_handler_shows_its_last_failures(page: Page, busy: ServerProcess) -> None:
    page.open(f"{busy.url}/ui/handlers/fail")

    page.shows("td [data-role=failure]", "failed")
    page.shows("td.table__note", "password authentication failed")
    page.shows(".code", "there is no such table")


def test_an_unknown_handler_says_so(page: Page, busy: ServerProcess) -> None:
    page.open(f"{busy.url}/ui/handlers/none")

    page.shows(".empty__title", "There is no such handler")


def test_a_limit_without_tasks_says_so(page: Page, empty: ServerProcess) -> None:
    page.open(f"{empty.url}/ui/handlers")

    assert row_of(page, "accounting") == "accounting import_invoices 0 of 2 no task 0"
