"""One request that the app answers: the ASGI scope, ``receive`` and ``send``.

The app runs in the connection's own Trio task. ``receive`` reads the socket when the app calls it: first the body, then
until the client is gone. So an app that ends leaves no work behind, and an app that calls ``receive``, as ours does,
learns that its client is gone.

A stalled client blocks ``send`` and thereby the app, but nothing else. Data that the client has sent after the request
is parsed and waits; meanwhile nothing more is read.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, cast
from urllib.parse import unquote_to_bytes

import trio
from hypercorn.typing import ASGIFramework, ASGIReceiveEvent, ASGISendEvent, HTTPScope

from ..api.client_input import ClientInput
from ..api.request import CutOffError
from .request import Header, Request
from .response import CLOSE, CONTINUE, LAST_CHUNK, head
from .transport import GONE

BODILESS: Final = frozenset({204, 304})


class ClientConnection(Protocol):
    """The connection of a request."""

    input: ClientInput

    @property
    def is_closing(self) -> bool:
        """Return whether the connection ends after the reply."""

    async def send(self, data: bytes) -> None:
        """Send a part of a reply."""

    async def wait_until_gone(self, unsendable: trio.Event) -> None:
        """Wait until the client is gone, or until a reply cannot be sent."""


class Exchange:
    """Lets the app answer one request.

    Parameters:
        connection: the connection of the request.
        request: the request.
    """

    def __init__(self, connection: ClientConnection, request: Request) -> None:
        self._connection = connection
        self._request = request
        self._continue_sent = not request.expects_continue
        self._body_ended = False
        self._head: tuple[int, list[Header]] | None = None
        self._begun = False
        self._chunked = False
        self._silent = request.method == "HEAD"
        # Set once the reply cannot be sent.
        self._unsendable = trio.Event()
        self.ended: bool = False

    @property
    def begun(self) -> bool:
        """Return whether a part of the reply was sent."""
        return self._begun

    async def run(self, app: ASGIFramework) -> None:
        """Answer the request; afterwards ``ended`` says whether the reply is complete."""
        await app(_scope(self._request, self._connection.input), self.receive, self.send)

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next part of the body; after its end, wait until the client is gone."""
        try:
            if not self._body_ended:
                return await self._receive_body()
            await self._connection.wait_until_gone(self._unsendable)
        except (CutOffError, *GONE):
            pass
        return {"type": "http.disconnect"}

    async def _receive_body(self) -> ASGIReceiveEvent:
        if not self._continue_sent:
            self._continue_sent = True
            # Too late once the client sends its body, or once the reply has begun.
            if not self._request.chunks.begun and not self._begun:
                await self._connection.send(CONTINUE)
        try:
            return {"type": "http.request", "body": await self._request.chunks.receive(), "more_body": True}
        except trio.EndOfChannel:
            self._body_ended = True
            return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, event: ASGISendEvent) -> None:
        """Send a part of the reply; the head is sent together with the first part of the body."""
        if event["type"] == "http.response.start":
            self._head = event["status"], list(event["headers"])
        elif event["type"] == "http.response.body":
            data, ends = event["body"], not event.get("more_body", False)
            out = b"" if self._begun else self._begin()
            out += self._framed(data, ends=ends)
            self.ended = ends
            await self._send(out)

    def _begin(self) -> bytes:
        """Return the head, with the header that marks the end of the body: a length, chunks or the connection's end."""
        assert self._head is not None, "a reply begins with its start"
        self._begun = True
        status, headers = self._head
        names = {name for name, _ in headers}
        self._silent = self._silent or status in BODILESS
        if self._connection.is_closing:
            self._request.keep_alive = False
        if CLOSE in [(name.lower(), value.lower()) for name, value in headers]:
            self._request.keep_alive = False
            headers = [header for header in headers if header[0].lower() != b"connection"]
        if b"content-length" not in names and not self._silent:
            if self._request.http_version == "1.1":
                self._chunked = True
                headers.append((b"transfer-encoding", b"chunked"))
            else:
                self._request.keep_alive = False
        if not self._request.keep_alive:
            headers.append(CLOSE)
        return head(status, headers)

    def _framed(self, data: bytes, *, ends: bool) -> bytes:
        if self._silent:
            return b""
        if not self._chunked:
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk + LAST_CHUNK if ends else chunk

    async def _send(self, data: bytes) -> None:
        try:
            await self._connection.send(data)
        except GONE:
            self._request.keep_alive = False
            self._unsendable.set()


def _scope(request: Request, client_input: ClientInput) -> HTTPScope:
    path, _, query = request.received_target.partition(b"?")
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": request.http_version,
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "method": request.method,
        "scheme": request.ends.scheme,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name, value) for name, values in request.headers.items() for value in values],
        "client": request.ends.client,
        "server": request.ends.server,
        "state": {"input": client_input},
        "extensions": {},
    }
    return cast(HTTPScope, scope)
