"""One HTTP exchange between the app and Hypercorn: with an id, and with three things mended.

* **The body is read as it is wanted.** Chunks wait in a channel of a few places; while it is full, nothing more is
  read from the client. So a body of any length passes in constant memory.
* **The end of the reply arrives.** The framework cancels an exchange once its last event is handed over, and that cuts
  short what the server does at the end of a reply: closing a connection, or arming its idle timer. The last event
  is therefore sent in a shield, bounded.
* **An early error can be read.** A client that is still sending when it is refused would meet a reset connection and
  may never see the reply. So the rest of its body is read and dropped for a moment before the exchange ends.

The id is the client's ``X-Request-Id`` when that is a sane one, and made otherwise. It is in the reply, whatever that
is, and in each line of the log that is written meanwhile.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Any, Final, cast
from urllib.parse import quote, unquote_to_bytes

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope
from quart import Quart, request
from quart.wrappers import Request
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers import TrioRequest
from structlog.contextvars import bound_contextvars

from ...access import Identity
from .half_closed import ClientInput

LAST_EVENT_SECONDS_MAX: Final = 5.0
LINGER_SECONDS_MAX: Final = 2.0
CHUNKS_BUFFERED: Final = 4

REQUEST_ID_HEADER: Final = b"x-request-id"

_SANE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_ORIGIN: Final = re.compile(rb"https?://([^/]*)", re.IGNORECASE)
"""What a target in absolute form has before its path; the path of the shortest is empty."""

_ENCODED: Final = rb"%(?:2[0235]|3[CEF]|5[BDE]|60|7[B-D]|[89A-F][0-9A-F])"
_ONE_SPELLING: Final = re.compile(rb"/|(?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%b)+)+" % _ENCODED)
"""A path as it is written by those who do not want to get past a proxy's rules: without empty segments and segments of
dots, and with only those characters percent-encoded that cannot stand for themselves."""

NOWHERE: Final = "/ "
"""What is asked for with any other spelling. No route has this path, so it is answered 404."""

_made_ids: Final = count(secrets.randbits(64) << 64)
"""Where the ids that are made here begin: nobody else's do, and drawing each of them would be a call of the system."""

Headers = Iterable[tuple[bytes, bytes]]


class StreamedRequest(TrioRequest):
    """A request whose body comes through a bounded channel; closed at its end."""

    incoming: trio.MemorySendChannel[bytes]
    chunks: trio.MemoryReceiveChannel[bytes]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.identity: Identity | None = None
        """Who asks, once the gate has looked; ``None`` for somebody unknown at an open door."""
        self.incoming, self.chunks = trio.open_memory_channel[bytes](CHUNKS_BUFFERED)
        self.until_answered: ExitStack[bool | None] = ExitStack()
        """What is entered in here is left when the exchange has ended, whoever ended it."""

    def header_values(self, name: bytes) -> list[str]:
        """What was sent in each header of this name, in lower case; the framework would make one of several."""
        return _values(self.scope["headers"], name)

    @property
    def hosts(self) -> list[str]:
        """Every host that the request says it is for: in its Host headers, and in a target in absolute form."""
        hosts: list[str] = self.scope["state"]["hosts"]
        return hosts

    @property
    def input(self) -> ClientInput:
        """What the client may still send; a server that does not tell when that ends takes it for a disconnect."""
        told: ClientInput = self.scope["state"].get("input") or ClientInput()
        return told

    @property
    def local_address(self) -> str | None:
        """Our end of the connection that it came over, if that has one."""
        return _address(self.scope.get("server"))

    @property
    def peer_address(self) -> str | None:
        """The other end, if that has one."""
        return _address(self.scope.get("client"))

    @property
    def has_ambiguous_length(self) -> bool:
        """Whether the body's length is told in two ways."""
        return "Transfer-Encoding" in self.headers and "Content-Length" in self.headers


class Connection(TrioASGIHTTPConnection):
    """One request and its reply.

    The framework sees a path alone: it fails at some targets and at some hosts that are none. The hosts are kept beside
    it, for the gate to look at.
    """

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        path, host = _split(scope)
        hosts = _values(scope["headers"], b"host") + ([] if host is None else [host])
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        state: Any = {**scope.get("state", {}), "hosts": hosts}
        super().__init__(app, {**scope, "path": path, "headers": headers, "state": state})
        self._request_id = request_id([value for name, value in headers if name == REQUEST_ID_HEADER])

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer."""

        async def send_with_id(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event["headers"], (REQUEST_ID_HEADER, self._request_id.encode())]
            await send(event)

        with bound_contextvars(request_id=self._request_id):
            await super().__call__(receive, send_with_id)

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


def new_request_id() -> str:
    """An id for a request that brought none."""
    return f"{next(_made_ids):032x}"


def request_id(sent: Sequence[bytes]) -> str:
    """The id that the client has given the request, if it is one and a sane one, or one that is made."""
    match sent:
        case [one] if _SANE_REQUEST_ID.fullmatch(one):
            return one.decode()
    return new_request_id()


def _split(scope: HTTPScope) -> tuple[str, str | None]:
    """Return the path of a request, and the host of a target in absolute form.

    Paths have one spelling. A proxy compares them with its rules as they are sent, so ``//drain`` must not be
    ``/drain``; the framework would take it for that.
    """
    target: bytes = scope.get("raw_path") or quote(scope["path"], safe="/").encode()
    origin = _ORIGIN.match(target)
    if origin is not None:
        target = target[origin.end() :] or b"/"
    path = unquote_to_bytes(target).decode("utf-8", "replace")
    return path if _ONE_SPELLING.fullmatch(target) else NOWHERE, None if origin is None else origin[1].decode("latin1")


def _address(end: tuple[str, int | None] | None) -> str | None:
    return None if end is None else end[0]


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin1") for one, value in headers if one == name]


async def _drop_the_rest(request: StreamedRequest) -> None:
    async for _ in request.chunks:
        pass


def current_request() -> StreamedRequest:
    """The request that is being answered."""
    return cast(StreamedRequest, request)
