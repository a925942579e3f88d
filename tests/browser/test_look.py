"""The look of each view, in light and dark mode and on a phone: colours, lines, room, accessibility by axe, and markup.

With ``ALL_LOOKS=1`` in the environment, all screens are tested, which takes some minutes more.
"""

from __future__ import annotations

import os
from importlib import resources
from typing import Any, Final, NamedTuple

import pytest

from ..server.process import ServerProcess
from .markup import Markup
from .page import Page
from .views import BUSY, EMPTY, View, show

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


class Look(NamedTuple):
    """A screen on which the views are tested."""

    scheme: str
    width: int
    height: int


LOOKS = {
    "light": Look("light", 1440, 1200),
    "dark": Look("dark", 1440, 1200),
    "laptop": Look("light", 1280, 800),
    "tablet": Look("light", 768, 1000),
    "phone": Look("dark", 390, 844),
    "narrow": Look("light", 320, 700),
}


USUAL: Final = ("light", "phone", "narrow")


@pytest.fixture(params=LOOKS if "ALL_LOOKS" in os.environ else USUAL)
def look(request: pytest.FixtureRequest, page: Page) -> Look:
    """Set the page's screen."""
    look = LOOKS[request.param]
    page.look(**look._asdict())
    return look


FAILURE_TOKENS = ["failure", "failure-solid", "failure-soft", "failure-border"]

IN_FAILURE_COLOUR = """
    const probe = document.body.appendChild(document.createElement("i"));
    const colours = new Set(arguments[0].map((token) => {
        probe.style.color = `var(--color-${token})`;
        return getComputedStyle(probe).color;
    }));
    probe.remove();
    const properties = ["color", "backgroundColor", "borderTopColor", "fill", "stroke", "outlineColor"];
    const shows = (it, property) => {
        const style = getComputedStyle(it);
        if (property === "borderTopColor" && style.borderTopWidth === "0px") return false;
        if (property === "outlineColor" && style.outlineStyle === "none") return false;
        return colours.has(style[property]);
    };
    const all = [...document.querySelectorAll("body *")];
    const found = all.filter((it) => properties.some((each) => shows(it, each)));
    const isFailure = (it) => it.closest("[data-role=failure], [aria-invalid=true]") !== null;
    return {
        right: found.filter(isFailure).length,
        wrong: found.filter((it) => !isFailure(it)).map((it) => it.outerHTML.slice(0, 200)),
    }"""

OFF_THE_LINE = """
    const baseline = (it) => {
        const range = document.createRange();
        const text = [...it.childNodes].find((node) => node.nodeType === 3 && node.data.trim());
        range.selectNode(text ?? it);
        const rect = range.getClientRects()[0] ?? { top: 0, bottom: 0 };
        return { top: rect.top, bottom: rect.bottom, size: getComputedStyle(it).fontSize, it };
    };
    const rows = [...document.querySelectorAll(arguments[0])].filter((row) => row.checkVisibility());
    return rows.flatMap((row) => {
        const texts = [...row.querySelectorAll("*")].filter((it) => it.checkVisibility()
            && !it.closest(".table__below, svg, .menu") && it.getBoundingClientRect().width > 1
            && [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
        const found = texts.map(baseline).filter(({ top, bottom }) => bottom > top);
        const sizes = Map.groupBy(found, ({ size }) => size);
        return [...sizes.values()].flatMap((group) => {
            const line = group.filter(({ top }) => Math.abs(top - group[0].top) < 12);
            const bottoms = line.map(({ bottom }) => bottom);
            const isOff = Math.max(...bottoms) - Math.min(...bottoms) > 1;
            const shown = line.map(({ it, bottom }) => `${it.textContent.trim().slice(0, 30)} ${bottom}`);
            return isOff ? [shown.join(" | ")] : [];
        });
    })"""

CLIPPED = """
    const hidesText = (it) => {
        const style = getComputedStyle(it);
        return style.overflowX === "hidden" && style.textOverflow === "ellipsis" && it.scrollWidth > it.clientWidth + 1;
    };
    return [...document.querySelectorAll("body *")]
        .filter((it) => it.checkVisibility() && hidesText(it) && !it.closest("[title]") && it.tagName !== "SELECT")
        .map((it) => it.outerHTML.slice(0, 200))"""

OUT_OF_THE_WINDOW = """
    const scrolls = (it) => it && (getComputedStyle(it).overflowX !== "visible" || scrolls(it.parentElement));
    const isFixed = (it) => getComputedStyle(it).position === "fixed";
    const edge = (it) => it.parentElement.closest(".panel")?.getBoundingClientRect().right ?? innerWidth;
    const isOut = (it) => it.getBoundingClientRect().right > Math.min(edge(it), innerWidth) + 1 && !isFixed(it);
    return [...document.querySelectorAll("body *")]
        .filter((it) => it.checkVisibility() && isOut(it) && !scrolls(it.parentElement) && !it.closest(".menu"))
        .map((it) => it.outerHTML.slice(0, 200))"""

RULES = {"label-content-name-mismatch": {"enabled": True}, "target-size": {"enabled": True}}
"""Rules of axe that are off by default."""

LINES = (
    ".table tbody tr, .panel__head, .topbar, .attention__item, .toolbar, .sidebar__link, .log__tools, .task-head__facts"
)


def violations(page: Page) -> list[str]:
    """Return axe's violations on the current page: the rule, and the elements."""
    page.log()
    if not page.run("return 'axe' in window"):
        page.run(AXE)
    found: list[dict[str, Any]] = page.run(
        """const rules = { ...arguments[0] };
        // A link that the bar covers in part counts as too small, but its row can be scrolled from under the bar.
        if (document.querySelector(".bulk-bar")) rules["target-size"] = { enabled: false };
        return axe.run(document, { preload: false, rules }).then(({ violations }) => violations)""",
        RULES,
    )
    page.forget_log()  # axe adds inline styles, which the page's policy forbids
    return [f"{each['id']}: {node['html'][:300]} {node['failureSummary']}" for each in found for node in each["nodes"]]


def check(page: Page, look: Look, markup: Markup) -> dict[str, list[str]]:
    """Return what is wrong with the current page, by kind."""
    wrong = {
        "in the colour of failures": page.run(IN_FAILURE_COLOUR, FAILURE_TOKENS)["wrong"],
        "not on one line": page.run(OFF_THE_LINE, LINES),
        "clipped without a title": page.run(CLIPPED),
        "out of the window or the panel": page.run(OUT_OF_THE_WINDOW),
        "violations": violations(page),
    }
    if look == LOOKS["light"]:  # the markup is nearly the same on all screens
        wrong["markup"] = markup.faults_of_document(page.run("return document.documentElement.outerHTML"))
    if page.run("return document.documentElement.scrollWidth") > look.width:
        wrong["scrolls sideways"] = [str(page.run("return document.documentElement.scrollWidth"))]
    return {kind: found for kind, found in wrong.items() if found}


def usable(views: dict[str, View], look: Look) -> dict[str, View]:
    """Return the views that a screen has: a phone has no filter menus."""
    return {name: view for name, view in views.items() if look.width > 640 or "menu" not in name}


def test_a_busy_server_looks_right(page: Page, busy: ServerProcess, look: Look, markup: Markup) -> None:
    faults = {}
    for name, view in usable(BUSY, look).items():
        show(page, busy, view)
        faults[name] = check(page, look, markup)

    assert {name: found for name, found in faults.items() if found} == {}


def test_an_empty_server_looks_right(page: Page, empty: ServerProcess, look: Look, markup: Markup) -> None:
    for view in EMPTY.values():
        show(page, empty, view)
        assert check(page, look, markup) == {}


def test_what_failed_has_the_colour_of_failures(page: Page, busy: ServerProcess) -> None:
    show(page, busy, BUSY["task-failed"])

    assert page.run(IN_FAILURE_COLOUR, FAILURE_TOKENS)["right"] > 0


@pytest.mark.parametrize("path", ["/", "/ui", "/ui/tasks", "/ui/tasks/000000-1", "/docs"])
def test_the_server_sends_valid_html(empty: ServerProcess, markup: Markup, path: str) -> None:
    assert markup.faults_of_source(empty.client.get(path).text) == []
