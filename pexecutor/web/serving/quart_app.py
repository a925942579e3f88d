"""One HTTP exchange between the app and its server: adds a request id, and changes three behaviours of the framework.

* **The body is read on demand.** Chunks wait in a channel with a few places. While it is full, nothing more is read
  from the client. So a body of any length passes in constant memory.
* **The end of the reply is sent.** The framework cancels an exchange once it has handed over the last event. That would
  interrupt the server's work at the end of a reply: closing the connection, or starting its idle timer. So the last
  event is sent in a shield, with a time limit.
* **The client can read an early error.** A client that is still sending when it is refused would see a reset connection
  instead of the reply. So the rest of its body is read and dropped for a moment before the exchange ends.

The request id is the client's ``X-Request-Id`` if that is valid, else a new one. It is in every reply, and in every log
line that is written during the exchange.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count
from typing import Any, Final, cast
from urllib.parse import quote, unquote_to_bytes

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, HTTPScope
from quart import Quart, request
from quart.wrappers import Request
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers import TrioRequest

from ...access import Identity
from ...limits import times
from ..access.proxies import Proxies
from ..api.admission import Admission
from ..api.client_input import ClientInput
from ..api.client_side import ClientSide
from ..api.request import Arguments, CutOffError

LAST_EVENT_SECONDS_MAX: Final = times.LAST_EVENT_SECONDS_MAX
LINGER_SECONDS_MAX: Final = times.LINGER_SECONDS_MAX
CHUNKS_BUFFERED: Final = 4

REQUEST_ID_HEADER: Final = b"x-request-id"

_SANE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_ORIGIN: Final = re.compile(rb"https?://([^/]*)", re.IGNORECASE)
"""The part of a target in absolute form before its path; the path may be empty."""

_ENCODED: Final = rb"%(?:2[0-9A-C]|3[A-F]|40|5[BDE]|60|7[B-D]|[89A-F][0-9A-F])"
_ONE_SPELLING: Final = re.compile(rb"/|(?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%b)+)+" % _ENCODED)
"""The one spelling of a path: no empty segments, no segments of dots, and no letter, digit, ``-``, ``.``, ``_``, ``~``
or ``/`` percent-encoded. Other spellings could evade the rules of a proxy. Punctuation like ``:`` may be encoded, as
many clients encode it in a name; no fixed part of a path contains it."""

NOWHERE: Final = "/ "
"""The path that replaces any other spelling. No route has it, so the request is answered 404."""

_made_ids: Final = count(secrets.randbits(64) << 64)
"""New request ids: a random start, then consecutive numbers, because a random id for each would cost a system call."""

Headers = Iterable[tuple[bytes, bytes]]


class StreamedRequest(TrioRequest):
    """A request whose body comes through a bounded channel, which is closed at the end of the body."""

    incoming: trio.MemorySendChannel[bytes]
    chunks: trio.MemoryReceiveChannel[bytes]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.identity: Identity | None = None
        """The caller, set by the gate; ``None`` for an unknown caller of an open route."""
        self.admission: Admission | None = None
        self.query: Any = None
        self.incoming, self.chunks = trio.open_memory_channel[bytes](CHUNKS_BUFFERED)
        self.until_answered: ExitStack[bool | None] = ExitStack()
        """Contexts to exit when the exchange ends, in whichever way it ends."""

    def header_values(self, name: bytes) -> list[str]:
        """Return the values of the headers with this name, which is in lower case; the framework would join them."""
        return _values(self.scope["headers"], name)

    @property
    def id(self) -> str:
        """Return the client's request id, or a new one if the client sent none."""
        given: str = self.scope["state"]["request_id"]
        return given

    @property
    def parameters(self) -> Mapping[str, str]:
        """Return the parameters of the path, by name."""
        return self.view_args or {}

    @property
    def arguments(self) -> Arguments:
        """Return the query string: the values of each parameter, by name."""
        arguments: Arguments = self.args.to_dict(flat=False)
        return arguments

    @property
    def hosts(self) -> list[str]:
        """Return every host that the request names: in its Host headers, and in a target in absolute form."""
        hosts: list[str] = self.scope["state"]["hosts"]
        return hosts

    @property
    def input(self) -> ClientInput:
        """Return the client's input, which reports its end if the server passes one; other servers disconnect then."""
        client_input: ClientInput = self.scope["state"].get("input") or ClientInput()
        return client_input

    @property
    def local_address(self) -> str | None:
        """Return the server's address on the connection, or ``None`` for a Unix socket."""
        return _address(self.scope.get("server"))

    @property
    def client_address(self) -> str | None:
        """Return the client's address, or ``None`` for a client of a Unix socket."""
        side = self.client_side
        return _address(self.scope.get("client")) if side is None else side.address

    @property
    def client_side(self) -> ClientSide | None:
        """Return the request as its client sent it, or ``None`` if no proxy is configured."""
        side: ClientSide | None = self.scope["state"].get("client_side")
        return side

    @property
    def has_ambiguous_length(self) -> bool:
        """Return whether the request has both Content-Length and Transfer-Encoding."""
        return "Transfer-Encoding" in self.headers and "Content-Length" in self.headers


class Connection(TrioASGIHTTPConnection):
    """One request and its reply.

    The framework fails at some targets and at some invalid hosts, so it gets only a path and no Host header. The hosts
    are stored in the scope's state, where the gate checks them.
    """

    def __init__(self, app: Quart, scope: HTTPScope) -> None:
        target, host = _split(scope)
        hosts = _values(scope["headers"], b"host") + ([] if host is None else [host])
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        self._request_id = request_id([value for name, value in headers if name == REQUEST_ID_HEADER])
        state: Any = {**scope.get("state", {}), "hosts": hosts, "request_id": self._request_id}
        changed: dict[str, Any] = {"headers": headers, "state": state}
        side = _client_side(cast(Any, app).proxies, scope, target, hosts)
        if side is not None:
            target, changed["scheme"] = side.target, side.scheme
            state["hosts"], state["client_side"] = side.hosts, side
        super().__init__(app, cast(HTTPScope, {**scope, "path": _path(target), **changed}))

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer the request, with the request id in the reply."""

        async def send_with_id(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event["headers"], (REQUEST_ID_HEADER, self._request_id.encode())]
            await send(event)

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
        nursery.cancel_scope.cancel()  # the client is gone, so its request is not answered

    async def handle_request(  # type: ignore[override]
        self, nursery: trio.Nursery, request: Request, send: ASGISendCallable
    ) -> None:
        assert isinstance(request, StreamedRequest), "the app's request_class"

        async def send_event(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.body" and not event.get("more_body", False):
                with trio.move_on_after(LINGER_SECONDS_MAX):
                    await _drop_the_rest(request)
                # Shielded, because the framework cancels this task once it has handed over the last event.
                with trio.move_on_after(LAST_EVENT_SECONDS_MAX, shield=True):
                    await send(event)
            else:
                await send(event)

        with request.until_answered, suppress(CutOffError):
            await super().handle_request(nursery, request, send_event)
        nursery.cancel_scope.cancel()  # a reply that was cut off ends the connection


def new_request_id() -> str:
    """Return a new request id."""
    return f"{next(_made_ids):032x}"


def request_id(sent: Sequence[bytes]) -> str:
    """Return the client's request id if it sent exactly one and it is valid, else a new id."""
    match sent:
        case [one] if _SANE_REQUEST_ID.fullmatch(one):
            return one.decode()
    return new_request_id()


def _split(scope: HTTPScope) -> tuple[bytes, str | None]:
    """Return the encoded path of a request, and the host of a target in absolute form."""
    target: bytes = scope.get("raw_path") or quote(scope["path"], safe="/").encode()
    origin = _ORIGIN.match(target)
    if origin is None:
        return target, None
    return target[origin.end() :] or b"/", origin[1].decode("latin1")


def _client_side(proxies: Proxies, scope: HTTPScope, target: bytes, hosts: list[str]) -> ClientSide | None:
    peer = _address(scope.get("client"))
    front = proxies.front_of(peer)
    if front is None:
        return None
    return front.client_side(target, peer, scope["scheme"], hosts, partial(_values, scope["headers"]))


def _path(target: bytes) -> str:
    """Return the decoded path if it has its one spelling, else ``NOWHERE``.

    A path has one spelling, because a proxy compares the path with its rules as it was sent: ``//drain`` must not be
    taken for ``/drain``, as the framework would do.
    """
    return unquote_to_bytes(target).decode("utf-8", "replace") if _ONE_SPELLING.fullmatch(target) else NOWHERE


def _address(end: tuple[str, int | None] | None) -> str | None:
    return None if end is None else end[0]


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin1") for one, value in headers if one == name]


async def _drop_the_rest(request: StreamedRequest) -> None:
    async for _ in request.chunks:
        pass


def current_request() -> StreamedRequest:
    """Return the request that is being answered."""
    return cast(StreamedRequest, request)
