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
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Final, cast

import msgspec
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope
from quart import Quart, request
from quart.wrappers import Request
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers import TrioRequest
from structlog.contextvars import bound_contextvars

from ..access import Identity
from ..task import Task
from ..traceparent import parse_traceparent
from .errors import RequestTimeoutError, TooLargeError, UnsupportedMediaTypeError

LAST_EVENT_SECONDS_MAX: Final = 5.0
LINGER_SECONDS_MAX: Final = 2.0
CHUNKS_BUFFERED: Final = 4

REQUEST_ID_HEADER: Final = b"x-request-id"
REQUEST_ID_RANDOM_BYTES: Final = 16

_SANE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_ORIGIN: Final = re.compile(r"https?://([^/]*)", re.IGNORECASE)
"""What a target in absolute form has before its path; the path of the shortest is empty."""

Headers = Iterable[tuple[bytes, bytes]]


class StreamedRequest(TrioRequest):
    """A request whose body comes through a bounded channel; closed at its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.identity: Identity | None = None
        """Who asks, once the gate has looked; ``None`` for somebody unknown at an open door."""
        self.incoming, self.chunks = trio.open_memory_channel[bytes](CHUNKS_BUFFERED)
        self.until_answered = ExitStack()
        """What is entered in here is left when the exchange has ended, whoever ended it."""

    def header_values(self, name: bytes) -> list[str]:
        """What was sent in each header of this name, in lower case; the framework would make one of several."""
        return _values(self.scope["headers"], name)

    @property
    def hosts(self) -> list[str]:
        """Every host that the request says it is for: in its Host headers, and in a target in absolute form."""
        hosts: list[str] = self.scope["state"]["hosts"]
        return hosts

    def with_trace(self, tasks: list[Task]) -> list[Task]:
        """The tasks as parts of the trace that the request is a part of; those that say a trace keep theirs."""
        sent = self.header_values(b"traceparent")
        traceparent = parse_traceparent(sent[0]) if len(sent) == 1 else None
        if traceparent is None:
            return tasks
        return [
            msgspec.structs.replace(task, traceparent=traceparent) if task.traceparent is None else task
            for task in tasks
        ]

    async def read_json_body(self, *, bytes_max: int, seconds_max: float) -> bytes:
        """The same of a route that takes JSON alone.

        Raises:
            UnsupportedMediaTypeError: it is said to be something else; and what ``read_body`` raises.
        """
        if self.mimetype != "application/json":
            raise UnsupportedMediaTypeError(f"Content-Type is {self.mimetype!r}; send application/json")
        return await self.read_body(bytes_max=bytes_max, seconds_max=seconds_max)

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

    The framework sees a path alone: it fails at some targets and at some hosts that are none. The hosts are kept beside
    it, for the gate to look at.
    """

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        origin = _ORIGIN.match(scope["path"])
        path = "/" + scope["path"][0 if origin is None else origin.end() :].removeprefix("/")
        hosts = _values(scope["headers"], b"host") + ([] if origin is None else [origin[1]])
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        state: Any = {**scope.get("state", {}), "hosts": hosts}
        super().__init__(app, {**scope, "path": path, "headers": headers, "state": state})
        self._request_id = _request_id(headers)

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
    return secrets.token_hex(REQUEST_ID_RANDOM_BYTES)


def _request_id(headers: Headers) -> str:
    match [value for name, value in headers if name == REQUEST_ID_HEADER]:
        case [sent] if _SANE_REQUEST_ID.fullmatch(sent):
            return sent.decode()
    return new_request_id()


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin1") for one, value in headers if one == name]


async def _drop_the_rest(request: StreamedRequest) -> None:
    async for _ in request.chunks:
        pass


def current_request() -> StreamedRequest:
    """The request that is being answered."""
    return cast(StreamedRequest, request)
