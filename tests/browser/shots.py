"""Take a picture of each view and state of the dashboard, and put them on a contact sheet.

``nox -s shots`` writes them and ``index.html`` into ``tests/browser/screenshots``. With an argument, as in
``nox -s shots -- task``, it takes only those whose names contain it.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from ..server.process import ServerProcess
from . import scenes
from .conftest import start_browser
from .kit_server import kit_server
from .page import Page
from .states import STATES
from .views import BUSY, EMPTY, show

FOLDER: Final = Path(__file__).with_name("screenshots")
SCHEMES: Final = ("light", "dark")
SCREENS: Final = {1440: 1000, 768: 1000, 390: 844}


class Shot(NamedTuple):
    """A picture: the name of the view, the scheme, the width, and its file."""

    view: str
    scheme: str
    width: int
    file: str


def looks() -> Iterator[tuple[str, int]]:
    """Yield each scheme with each width."""
    for scheme in SCHEMES:
        for width in SCREENS:
            yield scheme, width


class Camera:
    """Takes pictures of the views whose names contain a text."""

    def __init__(self, page: Page, wanted: str) -> None:
        self._page = page
        self._wanted = wanted
        self.shots: list[Shot] = []

    def wants(self, name: str) -> bool:
        """Return whether to take pictures of a view."""
        return self._wanted in name

    def look(self, scheme: str, width: int) -> None:
        """Set the screen of the next picture."""
        self._page.look(scheme=scheme, width=width, height=SCREENS[width])

    def take(self, name: str, scheme: str, width: int) -> None:
        """Take a picture of the whole page, up to 3000 pixels of it."""
        height = self._page.run("return Math.min(3000, document.documentElement.scrollHeight)")
        self._page.look(scheme=scheme, width=width, height=max(SCREENS[width], height))
        file = f"{name}-{scheme}-{width}.png"
        assert self._page.driver.save_screenshot(str(FOLDER / file))
        self.shots.append(Shot(name, scheme, width, file))
        print(file, flush=True)  # noqa: T201  (a program of the command line)

    def take_views(self, server: ServerProcess, *, is_empty: bool) -> None:
        """Take pictures of the views of a server."""
        for name, view in (EMPTY if is_empty else BUSY).items():
            for scheme, width in looks() if self.wants(name) else ():
                self.look(scheme, width)
                if width > 640 or "menu" not in name:
                    show(self._page, server, view)
                    self.take(name, scheme, width)

    def take_kit(self, url: str) -> None:
        """Take pictures of the kit."""
        for scheme, width in looks() if self.wants("kit") else ():
            self.look(scheme, width)
            self._page.open(url, until="")
            self._page.shows("h2", "States and outcomes")
            self.take("kit", scheme, width)

    def take_states(self) -> None:
        """Take pictures of the states of the server and of the connection."""
        for name, state in STATES.items():
            for scheme, width in looks() if self.wants(name) else ():
                with state() as opened:
                    self.look(scheme, width)
                    opened(self._page)
                    self.take(name, scheme, width)
                    self._page.driver.get("about:blank")


def contact_sheet(shots: list[Shot]) -> str:
    """Return a page with all pictures, a view in each row."""
    views = dict.fromkeys(shot.view for shot in shots)
    rows = []
    for view in views:
        cells = [shot for shot in shots if shot.view == view]
        pictures = "".join(
            f'<a href="{shot.file}"><img src="{shot.file}" height="360" alt="{html.escape(shot.file)}"></a>\n'
            for shot in cells
        )
        rows.append(f"<h2>{html.escape(view)}</h2>\n{pictures}")
    return f"<!doctype html>\n<title>Dashboard</title>\n{''.join(rows)}"


def main(wanted: str) -> None:
    """Take the pictures and write the contact sheet."""
    FOLDER.mkdir(exist_ok=True)
    with ExitStack() as stack:
        driver = start_browser(stack.enter_context(TemporaryDirectory()))
        stack.callback(driver.quit)
        camera = Camera(Page(driver), wanted)
        camera.take_kit(stack.enter_context(kit_server()))
        if any(camera.wants(name) for name in EMPTY):
            camera.take_views(stack.enter_context(scenes.empty()), is_empty=True)
        if any(camera.wants(name) for name in BUSY):
            camera.take_views(stack.enter_context(scenes.busy()), is_empty=False)
        camera.take_states()
        driver.get("about:blank")
    (FOLDER / "index.html").write_text(contact_sheet(camera.shots), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
