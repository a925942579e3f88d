"""Fixtures for browser tests: one browser per test process, and one server for all tests that do not stop it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from ..server.process import ServerProcess
from . import scenes
from .markup import Markup, install
from .page import Page

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
    "--host-resolver-rules=MAP example.org 127.0.0.1",  # the name at which a proxy serves a path
    "--ignore-certificate-errors",
]

Start = Callable[..., ServerProcess]


def program(name: str) -> str:
    path = shutil.which(name)
    assert path is not None, f"there is no {name}: the tests need the Debian packages chromium and chromium-driver"
    return path


def start_browser(profile: str) -> Chrome:
    """Start a browser with an empty profile folder."""
    options = ChromeOptions()
    options.binary_location = program("chromium")
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=Service(program("chromedriver")))


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser with a new profile."""
    driver = start_browser(str(tmp_path_factory.mktemp("profile")))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver: Chrome) -> Iterator[Page]:
    """Open a page with a desktop's screen size in light mode. An unexpected browser error fails the test."""
    page = Page(driver)
    page.look()
    page.log()
    yield page
    driver.get("about:blank")
    assert page.unexpected_errors() == []


@pytest.fixture(scope="session")
def markup(pytestconfig: pytest.Config) -> Iterator[Markup]:
    """A process that checks HTML."""
    assert pytestconfig.cache is not None
    with Markup(install(pytestconfig.cache.mkdir("html-validate"))) as markup:
        yield markup


@pytest.fixture(scope="session")
def busy() -> Iterator[ServerProcess]:
    """A server with tasks in each state and with each outcome, which no test may stop."""
    with scenes.busy(pending=200) as server:
        yield server


@pytest.fixture(scope="session")
def empty() -> Iterator[ServerProcess]:
    """A server that has had no task, which no test may change."""
    with scenes.empty() as server:
        yield server


@pytest.fixture
def start(driver: Chrome) -> Iterator[Start]:
    """Start servers for one test. The page is closed before they stop."""
    with ExitStack() as stack:

        def start(*flags: str) -> ServerProcess:
            server = scenes.start(*flags)
            stack.callback(server.close)
            return server

        yield start
        driver.get("about:blank")
