"""The dashboard: one page, which shows the page that its URL names, with its styles and scripts from ``static/``.

There is no build step and no third-party origin. The page's security policy forbids everything that the page does not
need. The page refers to its files by relative URLs, so the dashboard works behind a proxy that adds a path in front.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from werkzeug.exceptions import NotFound
from werkzeug.http import parse_accept_header, quote_etag

from ..api.reply import Reply
from ..api.request import IncomingRequest, link_to
from .static_files import StaticFile, make_static_file, page_text, static_files, version

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}

KEEP: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"

FOLDER_FROM: Final = {1: "ui/static/", 2: "static/", 3: "../static/"}
"""The folder of the files as a URL relative to the page's, by the number of slashes in the page's path."""


class DashboardAnswers:
    """Answers with the page and its files."""

    def __init__(self) -> None:
        text = page_text().replace("{version}", version())
        self._pages = {
            slashes: make_static_file("index.html", text.replace("{static}", f"{folder}{version()}").encode())
            for slashes, folder in FOLDER_FROM.items()
        }

    async def overview(self, request: IncomingRequest) -> Reply:
        """Show the overview. Its links are relative, so its path has to end with a slash."""
        if request.client_side is not None and request.client_side.lacks_slash:
            query = f"?{urlencode(request.arguments, doseq=True)}" if request.arguments else ""
            return Reply(b"", 308, {"Location": link_to(request, f"/{query}")}, content_type="")
        return self._page(request)

    async def overview_below(self, request: IncomingRequest) -> Reply:
        """Show the overview, at the path below which the other pages are."""
        return self._page(request)

    async def page(self, request: IncomingRequest) -> Reply:
        """Show a page."""
        return self._page(request)

    async def item(self, request: IncomingRequest) -> Reply:
        """Show the page of one thing, such as a task."""
        return self._page(request)

    async def file(self, request: IncomingRequest) -> Reply:
        """Show one of the files. A browser may keep it if its URL names the version that this server has."""
        parameters = request.parameters
        file = static_files().get(f"{parameters['folder']}/{parameters['file']}")
        if file is None:
            raise NotFound
        return _reply(request, file, KEEP if parameters["version"] == version() else ASK_AGAIN)

    def _page(self, request: IncomingRequest) -> Reply:
        return _reply(request, self._pages[request.path.count("/")], ASK_AGAIN)


def _reply(request: IncomingRequest, file: StaticFile, cache_control: str) -> Reply:
    """Return a file, with an ETag: the adapter answers 304 if the browser's copy is current."""
    headers = {**HEADERS, "Cache-Control": cache_control, "ETag": quote_etag(file.digest)}
    if file.compressed is file.content or not _takes_gzip(request):
        return Reply(file.content, headers=headers, content_type=file.content_type)
    headers |= {"Content-Encoding": "gzip", "ETag": quote_etag(f"{file.digest}-gzip")}
    return Reply(file.compressed, headers=headers, content_type=file.content_type)


def _takes_gzip(request: IncomingRequest) -> bool:
    accepted = parse_accept_header(", ".join(request.header_values(b"accept-encoding")))
    return accepted["gzip"] > 0
