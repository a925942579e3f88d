"""Serve the kit: a page with each component of the dashboard in each state, beside the dashboard's own files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

from pexecutor.web.dashboard.answers import HEADERS

KIT: Final = Path(__file__).with_name("kit")
STATIC: Final = Path(__file__).parents[2] / "pexecutor/web/dashboard/static"


class _Handler(SimpleHTTPRequestHandler):
    """Serves the two folders, with the security policy of the dashboard."""

    def translate_path(self, path: str) -> str:
        folder, _, file = path.partition("?")[0].lstrip("/").partition("/")
        return str({"kit": KIT, "static": STATIC}.get(folder, KIT) / file)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", HEADERS["Content-Security-Policy"])
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name of the base class)
        """Log nothing."""


@contextmanager
def kit_server() -> Iterator[str]:
    """Serve the kit inside this context; yield its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/kit/kit.html"
    finally:  # otherwise, a failed test would leave the thread, and the test process would not end
        server.shutdown()
        thread.join()
        server.server_close()
