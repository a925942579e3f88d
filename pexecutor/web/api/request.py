"""The interface of a request, as the gate and the routes use it, and the reading of its body.

Two places parse requests: the framework and the fast listener. This module knows neither of them.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import trio

from ...access import Identity
from ...limits.defaults import CHARACTERS_SHOWN_MAX
from ...task import Task
from ...traceparent import parse_traceparent
from .admission import Admission
from .client_input import ClientInput
from .client_side import ClientSide
from .errors import RequestTimeoutError, TooLargeError, UnsupportedMediaTypeError

Arguments = Mapping[str, list[str]]
"""The query string: the values of each parameter, by name."""


class CutOffError(Exception):
    """The client disconnected or sent invalid HTTP before its request was complete, so no reply can be sent."""


class Chunks(Protocol):
    """The chunks of a body, received as from a channel.

    ``trio.EndOfChannel`` means that the body has ended, ``trio.WouldBlock`` that the next chunk has not arrived.
    """

    async def receive(self) -> bytes: ...

    def receive_nowait(self) -> bytes: ...


class IncomingRequest(Protocol):
    """One request, whichever server has parsed it."""

    method: str
    http_version: str
    identity: Identity | None
    """The caller, set by the gate; ``None`` for an unknown caller of an open route."""

    admission: Admission | None
    """Ends when the caller's token is removed; ``None`` for a request without an ``identity``."""

    query: Any
    """The query string as the type that the route declares; set before the route's answer is called."""

    @property
    def id(self) -> str:
        """The client's request id if it is valid, else a new one."""

    @property
    def path(self) -> str:
        """The path, decoded."""

    @property
    def parameters(self) -> Mapping[str, str]:
        """The parameters of the path, by name."""

    @property
    def arguments(self) -> Arguments:
        """The query string."""

    @property
    def input(self) -> ClientInput:
        """The client's input, for a reply that waits."""

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""

    @property
    def chunks(self) -> Chunks:
        """The part of the body that has not been received."""

    @property
    def content_length(self) -> int | None:
        """The length of the body in bytes, or ``None`` if the request does not declare it."""

    @property
    def mimetype(self) -> str:
        """The media type of the body, from Content-Type, without parameters."""

    @property
    def hosts(self) -> list[str]:
        """Every host that the request names: in its Host headers, and in a target in absolute form."""

    @property
    def local_address(self) -> str | None:
        """The server's address on the connection, or ``None`` for a Unix socket."""

    @property
    def client_address(self) -> str | None:
        """The client's address, or ``None`` for a client of a Unix socket."""

    @property
    def client_side(self) -> ClientSide | None:
        """The request as its client sent it, or ``None`` if no proxy is configured that could have changed it."""

    def header_values(self, name: bytes) -> list[str]:
        """Return the values of the headers with this name, which is in lower case, one for each header."""


def link_to(request: IncomingRequest, path: str) -> str:
    """Return the link to a path of this server, as the client of a request has to write it; every link is made here.

    Parameters:
        path: the path, encoded, with its query if it has one.
    """
    side = request.client_side
    return path if side is None else side.prefix + path


def sent_traceparent(request: IncomingRequest) -> str | None:
    """Return the ``traceparent`` of a request, or ``None`` if it has none or an invalid one."""
    sent = request.header_values(b"traceparent")
    return parse_traceparent(sent[0]) if len(sent) == 1 else None


def with_trace(request: IncomingRequest, tasks: list[Task]) -> list[Task]:
    """Return the tasks with the ``traceparent`` of the request; a task that has its own keeps it."""
    traceparent = sent_traceparent(request)
    if traceparent is None:
        return tasks
    return [
        msgspec.structs.replace(task, traceparent=traceparent) if task.traceparent is None else task for task in tasks
    ]


def refuse_coding(request: IncomingRequest) -> None:
    """Refuse a compressed body.

    Raises:
        UnsupportedMediaTypeError: the body is compressed. The reply has Accept-Encoding (RFC 9110, section 15.5.16).
    """
    codings = ", ".join(request.header_values(b"content-encoding"))
    if codings.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaTypeError(
            f"unsupported Content-Encoding {codings[:CHARACTERS_SHOWN_MAX]!r}: send the body without compression",
            {"Accept-Encoding": "identity"},
        )


async def read_body(request: IncomingRequest, *, bytes_max: int, seconds_max: float) -> bytes:
    """Return the whole body, without a byte order mark; see ``read_raw_body``."""
    body = await read_raw_body(request, bytes_max=bytes_max, seconds_max=seconds_max)
    return body.removeprefix(BOM_UTF8)


async def read_raw_body(request: IncomingRequest, *, bytes_max: int, seconds_max: float) -> bytes:
    """Return the whole body as it was sent.

    Raises:
        UnsupportedMediaTypeError: the body is compressed.
        TooLargeError: the body has more than ``bytes_max`` bytes.
        RequestTimeoutError: the body was not complete after ``seconds_max``.
    """
    refuse_coding(request)
    if (request.content_length or 0) > bytes_max:
        raise TooLargeError(f"the body has {request.content_length} bytes, and the limit is {bytes_max}")
    body = bytearray()
    try:
        try:
            # A body that has arrived is read without a cancel scope, which most requests would pay for in vain.
            while len(body) <= bytes_max:
                body += request.chunks.receive_nowait()
        except trio.WouldBlock:
            with trio.move_on_after(seconds_max):
                while len(body) <= bytes_max:
                    body += await request.chunks.receive()
    except trio.EndOfChannel:
        return bytes(body)
    if len(body) > bytes_max:
        raise TooLargeError(f"the body is over the limit of {bytes_max} bytes")
    raise RequestTimeoutError(f"the body was not complete after {seconds_max:g} s")


async def read_json_body(request: IncomingRequest, *, bytes_max: int, seconds_max: float) -> bytes:
    """Return the whole body of a request whose Content-Type must be ``application/json``.

    Raises:
        UnsupportedMediaTypeError: the body has another type, or is compressed.
        TooLargeError, RequestTimeoutError: see ``read_raw_body``.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaTypeError(f"unsupported Content-Type {request.mimetype!r}: send application/json")
    return await read_body(request, bytes_max=bytes_max, seconds_max=seconds_max)
