"""The dashboard in a real browser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

WAIT_SECONDS_MAX = 20
POLL_SECONDS = 0.05
PHONE_WIDTH_MAX = 600

T = TypeVar("T")


class Page:
    """A dashboard page. Each method that looks for something waits until it appears, up to a time limit."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self._errors: list[str] = []  # severe messages of the browser since the page was created
        self._expected: list[str] = []

    def open(self, url: str, *, until: str = "Live") -> None:
        """Load a page; wait until the sidebar shows `until` as the state of the connection, if it is not empty."""
        self.driver.get("about:blank")
        self.log()
        self.driver.get(url)
        if until:
            self.until(lambda: until in self.run("return document.querySelector('.live').title"), f"it is not {until}")

    def until(self, condition: Callable[[], T], what: str) -> T:
        """Call `condition` until its result is true. Elements may appear and disappear meanwhile."""
        end = time.monotonic() + WAIT_SECONDS_MAX
        while True:
            with suppress(WebDriverException):
                if answer := condition():
                    return answer
            assert time.monotonic() < end, f"{what}; there is: {self.run('return document.body.innerText')}"
            time.sleep(POLL_SECONDS)

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element that matches shows this text."""
        self.until(lambda: any(text in shown for shown in self.texts(selector)), f"{selector} never showed {text!r}")

    def shows_no(self, selector: str) -> None:
        """Wait until no visible element matches."""
        self.until(lambda: not self.texts(selector), f"{selector} stayed")

    def texts(self, selector: str) -> list[str]:
        """Return the texts of the visible elements that match."""
        script = """return [...document.querySelectorAll(arguments[0])]
            .filter((element) => element.checkVisibility()).map((element) => element.innerText)"""
        texts: list[str] = self.run(script, selector)
        return texts

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page; return its result."""
        return self.driver.execute_script(script, *arguments)

    def element(self, selector: str) -> WebElement:
        """Return the first element that matches."""
        return self.until(lambda: self.driver.find_element(By.CSS_SELECTOR, selector), f"there is no {selector}")

    def click(self, selector: str) -> None:
        """Click the first element that matches."""
        self.until(lambda: clicked(self.driver.find_element(By.CSS_SELECTOR, selector)), f"no click on {selector}")

    def press(self, name: str) -> None:
        """Click the button or link with this accessible name."""
        self.until(lambda: clicked(self.run(NAMED, name)), f"no button {name!r}")

    def field(self, label: str) -> WebElement:
        """Return the input with this label."""
        script = """const label = [...document.querySelectorAll("label")]
                .find((it) => it.checkVisibility() && it.innerText.split("\\n")[0].trim() === arguments[0]);
            return label?.control ?? label?.querySelector("input, select, textarea")"""
        return self.until(lambda: self.run(script, label), f"there is no field {label!r}")  # type: ignore[no-any-return]

    def fill(self, label: str, text: str) -> None:
        """Write a text into the input with this label."""
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def keys(self, *keys: str) -> None:
        """Press keys, one after another."""
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def look(self, *, scheme: str = "light", width: int = 1440, height: int = 1200) -> None:
        """Set the size of the screen, and light or dark mode."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < PHONE_WIDTH_MAX}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def offline(self, is_offline: bool) -> None:
        """Cut the browser off the network, or connect it again."""
        conditions = {"offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    def log(self) -> list[dict[str, Any]]:
        """Return the browser's messages since the last call."""
        entries: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        self._errors += [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
        return entries

    def forget_log(self) -> None:
        """Drop the browser's messages since the last call of `log`."""
        self.driver.get_log("browser")  # type: ignore[no-untyped-call]

    def expect(self, *texts: str) -> None:
        """Expect errors that contain one of these texts. The browser reports each reply above 399 as an error."""
        self._expected += texts

    def unexpected_errors(self) -> list[str]:
        """Return all errors since the page was created, except those that the test expects."""
        self.log()
        return [error for error in self._errors if not any(text in error for text in self._expected)]

    @contextmanager
    def running_first(self, script: str) -> Iterator[None]:
        """Run a script in each page that is opened inside this context, before the page's own scripts."""
        added = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        yield
        self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


NAMED = """const named = (it) => it.ariaLabel ?? it.innerText.trim();
    const isNamed = (it) => it.checkVisibility() && named(it) === arguments[0];
    return [...document.querySelectorAll("button, a, summary")].find(isNamed)"""


def clicked(element: WebElement | None) -> bool:
    """Click an element; return whether there is one."""
    if element is not None:
        element.click()
    return element is not None
