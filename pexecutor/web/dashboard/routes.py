"""The routes of the dashboard: one page with its styles and scripts, from ``static/``.

The files are read once, when the app is created. There is no build step and no third-party origin. The page's security
policy forbids everything that the page does not need.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import NotFound

PAGE: Final = "index.html"

CONTENT_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class DashboardRoutes:
    """The routes of the page and its files."""

    def __init__(self) -> None:
        files = resources.files(__package__) / "static"
        self._files = {file.name: file.read_bytes() for file in files.iterdir()}

    def add_to(self, app: QuartTrio) -> None:
        """Register the routes."""
        app.add_url_rule("/", view_func=self.page, methods=["GET"])
        app.add_url_rule("/dashboard/<file>", view_func=self.file, methods=["GET"])

    async def page(self) -> Response:
        """Show the page."""
        return await self.file(PAGE)

    async def file(self, file: str) -> Response:
        """Show one of the files; answer 304 if the browser's copy is current."""
        if file not in self._files:
            raise NotFound
        response = Response(self._files[file], headers=HEADERS, content_type=CONTENT_TYPES[file.rpartition(".")[2]])
        await response.add_etag()
        await response.make_conditional(request)
        return response
