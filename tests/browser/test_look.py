"""The page's appearance in light mode, in dark mode and on a phone: colours, lines, and accessibility checks by axe."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pexecutor.access import hash_token, new_token

from ..server.process import ServerProcess, eventually
from ..stores.valkey.server import valkey_server
from .conftest import Start, start_server
from .page import Page

SCREENSHOTS = Path(__file__).with_name("screenshots")
AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


class Look(NamedTuple):
    """A screen on which the page is tested."""

    scheme: str
    width: int
    height: int


LOOKS = {
    "light": Look("light", 1440, 1200),
    "dark": Look("dark", 1440, 1200),
    "phone": Look("light", 390, 2400),
    "phone-dark": Look("dark", 390, 2400),
}


@pytest.fixture(scope="module")
def scene() -> Iterator[ServerProcess]:
    """A server with data of every kind."""
    server = start_server("--pool-size", "5")
    tasks: list[dict[str, Any]] = [
        {"name": "reports/weekly", "handler": "fail", "retries": 2, "retry_delay": 0},
        {"name": "reports/monthly", "duration": 200},
        {"name": "reports/yearly", "duration": 900, "timeout": 50},
        {"name": "greeting", "handler": "greet", "params": {"greeting": "hello", "name": "world"}},
        {"name": "call", "handler": "call", "params": {"place": "nowhere"}},
        {"name": "import/customers.csv", "handler": "steps", "params": {"count": 100_000}},
        *({"name": f"thumbnails/holiday-{number:04}.jpg", "duration": 600_000} for number in range(400)),
        {"name": "backup/nightly", "delay": 3_600_000},
        {"name": "backup/hourly", "delay": 3_600_000},
    ]
    assert server.client.post("/tasks?verdicts=none", json=tasks).status_code == 200
    [cancelled] = eventually(lambda: server.client.get("/tasks?name=backup/hourly").json())
    server.client.delete(f"/tasks/{cancelled['id']}").raise_for_status()
    eventually(lambda: len(server.client.get("/tasks/finished").json()) == 6)
    yield server
    server.close()


@pytest.fixture(params=list(LOOKS))
def look(request: pytest.FixtureRequest, page: Page) -> str:
    """Set the page's screen; return its name."""
    name: str = request.param
    scheme, width, height = LOOKS[name]
    page.look(scheme=scheme, width=width, height=height)
    return name


def open_scene(page: Page, scene: ServerProcess) -> None:
    page.open(scene.url)
    page.shows("#finished .name", "reports/")
    page.shows("#waiting .name", "thumbnails/")
    page.shows("#charts figure", "min ago")
    page.until(lambda: page.run("return document.querySelectorAll('#charts rect').length") > 0, "there is no chart")


def show(page: Page, name: str) -> None:
    """Open the record of a task."""
    page.run("[...document.querySelectorAll('.name')].find((it) => it.textContent === arguments[0]).click()", name)
    page.shows("#detail dl", "Handler")


def views(page: Page, scene: ServerProcess) -> Iterator[str]:
    """Open each view of the page in turn; yield its name."""
    open_scene(page, scene)
    yield "page"
    for name in ("reports/weekly", "greeting", "call", "import/customers.csv"):
        show(page, name)
        yield f"record of {name}"
        page.press("Close")
    page.press("New task for repeat")
    page.click("#submit .primary")
    page.shows("#field-name-fault", "This field is required.")
    page.run("document.querySelector('#submit details').open = true")
    yield "form with faults"
    page.press("Close")
    page.press("Drain…")
    page.shows("#drain-dialog", ") are kept")
    yield "drain"
    page.press("Keep it running")
    page.fill("#search", "no such task")
    page.shows("#waiting .empty", "No waiting task")
    yield "nothing found"


def test_it_fits_the_screen(page: Page, scene: ServerProcess, look: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    for view in views(page, scene):
        assert page.run("return document.documentElement.scrollWidth") <= LOOKS[look].width, f"{view} is too wide"
        assert page.run("return document.querySelector('.top').getBoundingClientRect().height") < 70
        file = f"{look}-{view.replace('/', '-').replace(' ', '-')}.png"
        assert page.driver.save_screenshot(str(SCREENSHOTS / file))


FAILURE = ".problem, .mark.failed"
"""The elements that report a failure."""


def in_failure_colour(page: Page) -> dict[str, list[str]]:
    """Return the elements with text in the failure colour: `right` if they report a failure, otherwise `wrong`."""
    script = """const probe = document.createElement("i");
        probe.style.color = "var(--bad)";
        document.body.append(probe);
        const bad = getComputedStyle(probe).color;
        probe.remove();
        const found = [...document.querySelectorAll("body, body *")].filter((it) => getComputedStyle(it).color === bad);
        const isFailure = (it) => it.closest(arguments[0]) !== null;
        const saysSomething = (it) => it.textContent.trim() !== "";
        const html = (it) => it.outerHTML.slice(0, 200);
        return {
            right: found.filter((it) => isFailure(it) && saysSomething(it)).map(html),
            wrong: found.filter((it) => !isFailure(it)).map(html),
        }"""
    found: dict[str, list[str]] = page.run(script, FAILURE)
    return found


def test_only_what_failed_has_the_colour_of_failures(page: Page, scene: ServerProcess, look: str) -> None:
    for view in views(page, scene):
        found = in_failure_colour(page)
        assert found["wrong"] == [], view
        assert found["right"], "the failed task has it"


LINES = ".top, .panel > header, figcaption, #pool li > div, .rows li, #nodes li"


def test_what_stands_in_one_line_is_on_one_line(page: Page, scene: ServerProcess) -> None:
    page.look()
    open_scene(page, scene)
    script = """const rect = (it) => {
            const range = document.createRange();
            range.selectNodeContents(it);
            return range.getBoundingClientRect();
        };
        const lines = [...document.querySelectorAll(arguments[0])].filter((it) => it.checkVisibility());
        return lines.map((line) => [...line.children]
            .filter((it) => it.checkVisibility() && it.matches("h1, h2, p, span, b, .name") && it.textContent.trim())
            .map((it) => [it.textContent, rect(it).top + rect(it).height / 2]))
            .filter((line) => line.length > 1)"""
    lines: list[list[tuple[str, float]]] = page.run(script, LINES)
    assert len(lines) > 20
    for line in lines:
        middles = [middle for _, middle in line]
        assert max(middles) - min(middles) < 2, line

    show(page, "reports/weekly")
    shifts: list[float] = page.run(
        """const top = (it) => it.getBoundingClientRect().top;
        return [...document.querySelectorAll("dt")].map((it) => top(it) - top(it.nextElementSibling))"""
    )
    assert len(shifts) > 5
    assert set(shifts) == {0}


RULES = {"label-content-name-mismatch": {"enabled": True}, "target-size": {"enabled": True}}
"""Rules of axe that are off by default."""


def violations(page: Page) -> list[str]:
    """Return axe's violations on the current page: the rule, and the elements."""
    if not page.run("return 'axe' in window"):
        page.run(AXE)
    found: list[dict[str, Any]] = page.run(
        "return axe.run(document, { rules: arguments[0] }).then(({ violations }) => violations)", RULES
    )
    return [f"{each['id']}: {node['html'][:200]} {node['failureSummary']}" for each in found for node in each["nodes"]]


def test_axe_finds_nothing(page: Page, scene: ServerProcess, look: str) -> None:
    for view in views(page, scene):
        assert violations(page) == [], view


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_what_the_page_announces(page: Page, scene: ServerProcess, scheme: str) -> None:
    page.look(scheme=scheme)
    page.open(scene.url)
    page.run(
        """const real = window.fetch;
        const refusal = { status: 503, headers: { "Content-Type": "application/problem+json" } };
        const answer = async () => {
            const ready = await (await real("readyz")).json();
            const problem = { title: "", status: 503, detail: "the disk is full", statistics: ready.statistics };
            return new Response(JSON.stringify(problem), refusal);
        };
        const isRefused = (path, { method }) => path === "readyz" || method !== "GET";
        window.fetch = (path, options) => isRefused(path, options) ? answer() : real(path, options)"""
    )
    page.press("Run again: greeting")
    page.shows("#toasts .bad", "Could not run greeting again: the disk is full")
    page.shows("#banner.lost", "The server accepts no tasks: the disk is full")
    assert violations(page) == []
    assert in_failure_colour(page)["wrong"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_where_the_server_wants_a_token(
    page: Page, start: Start, tmp_path: Path, scheme: str
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[tokens.somebody]\nsha256 = "{hash_token(new_token())}"\nscope = "admin"\n')
    server = start("--config", str(settings))
    page.look(scheme=scheme)
    page.open(server.url, until="")
    page.shows("#session", "Sign in")
    assert violations(page) == []
    page.expect("status of 401")
    page.fill("#token", "wrong")
    page.click("#session .primary")
    page.shows("#session .problem", "Unknown token")
    assert violations(page) == []
    assert in_failure_colour(page)["wrong"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_nodes_of_a_shared_queue_look_right(page: Page, start: Start, tmp_path: Path, scheme: str) -> None:
    with valkey_server(tmp_path / "valkey") as valkey:
        one, _other = (start("--store", valkey.url, "--pool-size", size) for size in ("3", "4"))
        page.look(scheme=scheme)
        page.open(one.url)
        page.shows("#nodes", "of 4 busy")
        assert violations(page) == []
        assert in_failure_colour(page)["wrong"] == []
        SCREENSHOTS.mkdir(exist_ok=True)
        assert page.driver.save_screenshot(str(SCREENSHOTS / f"{scheme}-nodes.png"))
        page.driver.get("about:blank")
