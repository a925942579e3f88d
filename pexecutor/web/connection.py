"""One HTTP exchange between the app and Hypercorn, with three things mended.

* **The body is read as it is wanted.** Chunks wait in a channel of a few places; while it is full, nothing more is
  read from the client. So a body of any length passes in constant memory.
* **The end of the reply arrives.** The framework cancels an exchange once its last event is handed over, and that cuts
  short what the server does at the end of a reply: closing a connection, or arming its idle timer. The last event
  is therefore sent in a shield, bounded.
* **An early error can be read.** A client that is still sending when it is refused would meet a reset connection and
  may never see the reply. So the rest of its body is read and dropped for a moment before the exchange ends.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import Any, Final, cast

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope
from quart import Quart, request
from quart.wrappers import Request
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers import TrioRequest

from .errors import RequestTimeoutError, TooLargeError

LAST_EVENT_SECONDS_MAX: Final = 5.0
LINGER_SECONDS_MAX: Final = 2.0
CHUNKS_BUFFERED: Final = 4

_ORIGIN: Final = re.compile(r"https?://[^/]*", re.IGNORECASE)
"""What a target in absolute form has before its path; the path of the shortest is empty."""


class StreamedRequest(TrioRequest):
    """A request whose body comes through a bounded channel; closed at its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.incoming, self.chunks = trio.open_memory_channel[bytes](CHUNKS_BUFFERED)
        self.until_answered = ExitStack()
        """What is entered in here is left when the exchange has ended, whoever ended it."""

    async def read_body(self, *, bytes_max: int, seconds_max: float) -> bytes:
        """The whole body.

        Raises:
            TooLargeError: it has more than ``bytes_max``.
            RequestTimeoutError: it was not there after ``seconds_max``.
        """
        if (self.content_length or 0) > bytes_max:
            raise TooLargeError(f"the body has {self.content_length} bytes and at most {bytes_max} are taken")
        body = bytearray()
        with trio.move_on_after(seconds_max):
            async for chunk in self.chunks:
                body += chunk
                if len(body) > bytes_max:
                    raise TooLargeError(f"the body has more than the {bytes_max} bytes that are taken")
            return bytes(body)
        raise RequestTimeoutError(f"the body was not complete after {seconds_max:g} s")

    @property
    def has_ambiguous_length(self) -> bool:
        """Whether the body's length is told in two ways."""
        return "Transfer-Encoding" in self.headers and "Content-Length" in self.headers


class Connection(TrioASGIHTTPConnection):
    """One request and its reply.

    Only the path says what is asked for: the framework fails at some targets and at some hosts that are none.
    """

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        path = "/" + _ORIGIN.sub("", scope["path"], count=1).removeprefix("/")
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        super().__init__(app, {**scope, "path": path, "headers": headers})

    async def handle_messages(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, receive: ASGIReceiveCallable
    ) -> None:
        assert isinstance(request, StreamedRequest), "the app's request_class"
        while (message := await receive())["type"] == "http.request":
            if message["body"]:
                await request.incoming.send(message["body"])
            if not message.get("more_body", False):
                request.incoming.close()
        nursery.cancel_scope.cancel()

    async def handle_request(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, send: ASGISendCallable
    ) -> None:
        assert isinstance(request, StreamedRequest), "the app's request_class"

        async def send_event(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.body" and not event.get("more_body", False):
                with trio.move_on_after(LINGER_SECONDS_MAX):
                    await _drop_the_rest(request)
                with trio.move_on_after(LAST_EVENT_SECONDS_MAX, shield=True):
                    await send(event)
            else:
                await send(event)

        with request.until_answered:
            await super().handle_request(nursery, request, send_event)


async def _drop_the_rest(request: StreamedRequest) -> None:
    async for _ in request.chunks:
        pass


def current_request() -> StreamedRequest:
    """The request that is being answered."""
    return cast(StreamedRequest, request)
