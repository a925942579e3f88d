"""What is asked, whoever has read it off the wire: what the gate and the routes look at.

There are three that read: the framework, what stands in front of it, and the fast listener. None is known in here.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Final, Protocol

import msgspec
import trio

from ...access import Identity
from ...task import Task
from ...traceparent import parse_traceparent
from .errors import RequestTimeoutError, TooLargeError, UnsupportedMediaTypeError

SHOWN_CHARACTERS_MAX: Final = 100
"""How much of a header that cannot be understood is sent back."""


class Chunks(Protocol):
    """The body as it comes, as a channel has it: ``trio.EndOfChannel`` is its end, ``trio.WouldBlock`` more to come."""

    async def receive(self) -> bytes: ...

    def receive_nowait(self) -> bytes: ...


class Asked(Protocol):
    """One request."""

    method: str
    http_version: str
    identity: Identity | None
    """Who asks, once the gate has looked; ``None`` for somebody unknown at an open door."""

    @property
    def scheme(self) -> str:
        """How it came."""

    @property
    def chunks(self) -> Chunks:
        """The body, or what is left of it."""

    @property
    def content_length(self) -> int | None:
        """How long the body is, where that was said."""

    @property
    def mimetype(self) -> str:
        """What kind of body it is said to be."""

    @property
    def hosts(self) -> list[str]:
        """Every host that the request says it is for: in its Host headers, and in a target in absolute form."""

    @property
    def local_address(self) -> str | None:
        """Our end of the connection that it came over, if that has one."""

    @property
    def peer_address(self) -> str | None:
        """The other end, if that has one."""

    def header_values(self, name: bytes) -> list[str]:
        """What was sent in each header of this name, in lower case."""


def with_trace(asked: Asked, tasks: list[Task]) -> list[Task]:
    """The tasks as parts of the trace that the request is a part of; those that say a trace keep theirs."""
    sent = asked.header_values(b"traceparent")
    traceparent = parse_traceparent(sent[0]) if len(sent) == 1 else None
    if traceparent is None:
        return tasks
    return [
        msgspec.structs.replace(task, traceparent=traceparent) if task.traceparent is None else task for task in tasks
    ]


def refuse_coding(asked: Asked) -> None:
    """Refuse a body that is compressed.

    Raises:
        UnsupportedMediaTypeError: says so, with the header that RFC 9110 (section 15.5.16) has for it.
    """
    codings = ", ".join(asked.header_values(b"content-encoding"))
    if codings.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaTypeError(
            f"Content-Encoding is {codings[:SHOWN_CHARACTERS_MAX]!r}; send the body as it is, without compression",
            {"Accept-Encoding": "identity"},
        )


async def read_body(asked: Asked, *, bytes_max: int, seconds_max: float) -> bytes:
    """The whole body, without a byte order mark.

    Raises:
        UnsupportedMediaTypeError: it is compressed.
        TooLargeError: it has more than ``bytes_max``.
        RequestTimeoutError: it was not there after ``seconds_max``.
    """
    refuse_coding(asked)
    if (asked.content_length or 0) > bytes_max:
        raise TooLargeError(f"the body has {asked.content_length} bytes and at most {bytes_max} are taken")
    body = bytearray()
    try:
        try:
            while len(body) <= bytes_max:
                body += asked.chunks.receive_nowait()
        except trio.WouldBlock:
            with trio.move_on_after(seconds_max):
                while len(body) <= bytes_max:
                    body += await asked.chunks.receive()
    except trio.EndOfChannel:
        return bytes(body).removeprefix(BOM_UTF8)
    if len(body) > bytes_max:
        raise TooLargeError(f"the body has more than the {bytes_max} bytes that are taken")
    raise RequestTimeoutError(f"the body was not complete after {seconds_max:g} s")


async def read_json_body(asked: Asked, *, bytes_max: int, seconds_max: float) -> bytes:
    """The same of a route that takes JSON alone.

    Raises:
        UnsupportedMediaTypeError: it is said to be something else; and what ``read_body`` raises.
    """
    if asked.mimetype != "application/json":
        raise UnsupportedMediaTypeError(f"Content-Type is {asked.mimetype!r}; send application/json")
    return await read_body(asked, bytes_max=bytes_max, seconds_max=seconds_max)
