"""The dashboard: one page with its styles and scripts, from ``static/``.

The files are read once, when the app is created. There is no build step and no third-party origin. The page's security
policy forbids everything that the page does not need.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from werkzeug.exceptions import NotFound
from werkzeug.http import generate_etag, quote_etag

from ..api.reply import Reply
from ..api.request import IncomingRequest, link_to

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


class DashboardAnswers:
    """Answers with the page and its files."""

    def __init__(self) -> None:
        files = resources.files(__package__) / "static"
        self._files = {file.name: file.read_bytes() for file in files.iterdir()}

    async def page(self, request: IncomingRequest) -> Reply:
        """Show the page. Its links are relative, so its path has to end with a slash."""
        if request.client_side is not None and request.client_side.lacks_slash:
            return Reply(b"", 308, {"Location": link_to(request, "/")}, content_type="")
        return self._file(PAGE)

    async def file(self, request: IncomingRequest) -> Reply:
        """Show one of the files."""
        return self._file(request.parameters["file"])

    def _file(self, name: str) -> Reply:
        """Return a file, with an ETag: the adapter answers 304 if the browser's copy is current."""
        if name not in self._files:
            raise NotFound
        content = self._files[name]
        headers = {**HEADERS, "ETag": quote_etag(generate_etag(content))}
        return Reply(content, headers=headers, content_type=CONTENT_TYPES[name.rpartition(".")[2]])
