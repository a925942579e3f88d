"""Firefox, driven by WebDriver BiDi, which it speaks itself: Debian has no geckodriver."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from websocket import WebSocket, create_connection

from ..server.process import eventually
from .page import NAMED, POLL_SECONDS, WAIT_SECONDS_MAX

PREFERENCES: Final[dict[str, str | int | bool]] = {
    # All requests but those to the loopback address go to a proxy that does not exist.
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.dns.disabled": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "ui.prefersReducedMotion": 1,
}

COMMAND: Final = ("firefox-esr", "--headless", "--no-remote", "--new-instance", "--remote-debugging-port", "0")


class Firefox:
    """A tab of Firefox. Methods that look for something wait until it appears, up to a time limit."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._ids = count(1)
        self.errors: list[str] = []  # what the pages logged as errors, and their uncaught exceptions
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded"])
        self._tab = self.send("browsingContext.getTree")["contexts"][0]["context"]

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command; return its result."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self.errors.append(str(message["params"]["text"]))
            if message.get("id") == number:
                assert message["type"] == "success", message
                return message["result"]

    def open(self, url: str) -> None:
        """Load a page."""
        self.send("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def run(self, script: str, *arguments: str) -> Any:
        """Run the body of a function in the page; return its result, which has to fit into JSON."""
        call = f"(...values) => JSON.stringify((function () {{ {script} }})(...values) ?? null)"
        answer = self.send(
            "script.callFunction",
            functionDeclaration=call,
            arguments=[{"type": "string", "value": value} for value in arguments],
            target={"context": self._tab},
            awaitPromise=False,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def until(self, script: str, *arguments: str) -> None:
        """Run a script until its result is true."""
        end = time.monotonic() + WAIT_SECONDS_MAX
        while not self.run(script, *arguments):
            assert time.monotonic() < end, f"{arguments} never came true: {self.run('return document.body.innerText')}"
            time.sleep(POLL_SECONDS)

    def shows(self, selector: str, text: str) -> None:
        """Wait until an element that matches shows a text."""
        script = """return [...document.querySelectorAll(arguments[0])]
            .some((it) => it.checkVisibility() && it.innerText.includes(arguments[1]))"""
        self.until(script, selector, text)

    def press(self, name: str) -> None:
        """Click the button or link with this accessible name, in the middle, as a mouse does."""
        find = f"const found = (function (name) {{ {NAMED} }})(arguments[0]);"
        self.until(f"{find} return found && !found.disabled", name)
        box = self.run(
            f"""{find} found.scrollIntoView({{ block: "nearest" }});
            const {{ x, y, width, height }} = found.getBoundingClientRect();
            return [Math.round(x + width / 2), Math.round(y + height / 2)]""",
            name,
        )
        move = {"type": "pointerMove", "x": box[0], "y": box[1]}
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._perform({"type": "pointer", "id": "mouse", "actions": [move, *press]})

    def type(self, text: str) -> None:
        """Type a text into the focused element."""
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._perform({"type": "key", "id": "keyboard", "actions": keys})

    def _perform(self, actions: dict[str, Any]) -> None:
        self.send("input.performActions", context=self._tab, actions=[actions])


@contextmanager
def firefox(profile: Path) -> Iterator[Firefox]:
    """Run Firefox with an empty profile folder."""
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines), encoding="utf-8")
    process = subprocess.Popen(
        [*COMMAND, "--profile", str(profile), "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        server = profile / "WebDriverBiDiServer.json"
        eventually(lambda: server.exists() and server.read_text())
        port = json.loads(server.read_text())["ws_port"]
        socket = create_connection(f"ws://127.0.0.1:{port}/session", timeout=WAIT_SECONDS_MAX, suppress_origin=True)
        browser = Firefox(socket)
        yield browser
        browser.send("browser.close")
        process.wait(WAIT_SECONDS_MAX)
        socket.close()
    finally:
        process.kill()
        process.wait()
