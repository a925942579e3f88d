"""The dashboard at 200 % zoom and with reduced motion, and names with special characters in its addresses."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import pytest

from ..server.process import ServerProcess
from . import scenes
from .page import Page
from .test_look import OUT_OF_THE_WINDOW
from .views import BUSY, show

ZOOMED: Final = ("overview", "tasks", "task-running", "new-task-faults", "schedules", "schedule-skipped", "handlers")
"""A view of each kind of layout; others differ in their words."""

MOVING: Final = """return document.getAnimations()
    .filter(({ effect }) => effect.getComputedTiming().activeDuration > 10)
    .map(({ effect }) => effect.target.outerHTML.slice(0, 200))"""

NAMES: Final = ("50% of a+b?c=d#e&f", "🎉 party", scenes.ARABIC_NAME, "%2e%41")

CLICKED: Final = """const link = [...document.querySelectorAll("td a")].find((it) => it.innerText === arguments[0]);
    link?.click();
    return link !== undefined"""


def zoom(page: Page) -> None:
    """Set the screen to that of a window of 1280 by 800 pixels at 200 % zoom."""
    size: dict[str, Any] = {"width": 640, "height": 400, "deviceScaleFactor": 2, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.mark.parametrize("name", ZOOMED)
def test_everything_is_reached_at_200_percent(page: Page, busy: ServerProcess, name: str) -> None:
    zoom(page)
    show(page, busy, BUSY[name])

    assert page.run("return document.documentElement.scrollWidth") <= 640
    assert page.run(OUT_OF_THE_WINDOW) == []
    covered = page.run(
        """const parts = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document;
        return [...parts.querySelectorAll("button, a[href], input, select, textarea")]
            .filter((it) => it.checkVisibility({ visibilityProperty: true }))
            .filter((it) => !it.closest(".visually-hidden, .skip-link"))
            .filter((it) => {
                it.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
                const { left, top, width, height } = it.getBoundingClientRect();
                const found = document.elementFromPoint(left + width / 2, top + height / 2);
                return width > 1 && !(it.contains(found) || found?.contains(it));
            })
            .map((it) => it.outerHTML.slice(0, 200))"""
    )
    assert covered == []


@pytest.mark.parametrize("width", [1160, 1280, 1400])
def test_the_schedules_fit_between_tablet_and_desktop(page: Page, busy: ServerProcess, width: int) -> None:
    page.look(width=width, height=800)
    show(page, busy, BUSY["schedules"])

    assert page.run(OUT_OF_THE_WINDOW) == []


def test_nothing_moves_with_reduced_motion(page: Page, busy: ServerProcess) -> None:
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for name in ("overview", "tasks-selected", "task-running"):
        show(page, busy, BUSY[name])
        page.run("document.body.append(Object.assign(document.createElement('i'), { className: 'skeleton' }))")
        assert page.run(MOVING) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_with_special_characters_has_an_address(page: Page, busy: ServerProcess, name: str) -> None:
    path = f"/schedules/{quote(name, safe='')}"
    task = {"name": f"of/{name}"}
    busy.client.put(path, json={"every": 86_400_000, "task": task}).raise_for_status()
    try:
        page.open(f"{busy.url}/ui/schedules")
        page.until(lambda: page.run(CLICKED, name), "the schedule is not listed")
        page.shows("h1", name)
        page.driver.refresh()
        page.shows("h1", name)
        page.shows("main", "of/")
        page.driver.back()
        page.shows("h1", "Schedules")
        page.open(f"{busy.url}/ui/tasks?name={quote(scenes.LONG_NAME, safe='')}")
        page.shows(".table .task-name", scenes.LONG_NAME)
    finally:
        busy.client.delete(path)
