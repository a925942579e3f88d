"""Fixtures for browser tests: one browser per test process, and one server for all tests that do not stop it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from ..server.process import ServerProcess
from .page import Page

WORK = str(Path(__file__).with_name("work.py"))
SETTINGS = str(Path(__file__).with_name("settings.toml"))

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


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser with a new profile."""
    options = ChromeOptions()
    options.binary_location = program("chromium")
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(program("chromedriver")))
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
def server() -> Iterator[ServerProcess]:
    """A server that no test may stop."""
    server = start_server()
    yield server
    server.close()


@pytest.fixture
def start(driver: Chrome) -> Iterator[Start]:
    """Start servers for one test. The page is closed before they stop."""
    with ExitStack() as stack:

        def start(*flags: str) -> ServerProcess:
            server = start_server(*flags)
            stack.callback(server.close)
            return server

        yield start
        driver.get("about:blank")


def start_server(*flags: str) -> ServerProcess:
    own = ("--port", "0", "--handlers", WORK, "--config", SETTINGS, "--queue-size", "50000")
    return ServerProcess(*own, *flags)
