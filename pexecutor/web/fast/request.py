"""One request: its head, and its body as it comes.

The body is pulled: whoever wants more of it has the connection read on, so nobody's slowness fills our memory. What is
buffered of it is what one read of the socket has brought.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import trio

from ...access import Identity
from ..serving.quart_app import REQUEST_ID_HEADER, request_id

Header = tuple[bytes, bytes]
Headers = dict[bytes, list[bytes]]
"""By name, in lower case."""

JSON_TYPES: Final = ([b"application/json"], [b"application/json; charset=utf-8"])
"""How nearly everybody says that a body is JSON."""

_NONE: Final[list[bytes]] = []


class Ends(NamedTuple):
    """The two ends of a connection, as an app is told of them."""

    scheme: str
    client: tuple[str, int] | None
    server: tuple[str, int] | None


class CutOffError(Exception):
    """The client has gone, or sent what is no HTTP, before its request was whole."""


class Body:
    """What is left of a body.

    Parameters:
        read_on: has the connection read more; raises ``CutOffError`` when nothing more will come.
    """

    __slots__ = ("_chunks", "_read_on", "begun", "ended")

    def __init__(self, read_on: Callable[[], Awaitable[None]]) -> None:
        # Filled by the parser, emptied by receive().
        self._chunks: deque[bytes] = deque()
        self._read_on = read_on
        self.begun: bool = False
        self.ended: bool = False

    @property
    def whole(self) -> bytes | None:
        """All of it, if it has come in one part."""
        return self._chunks[0] if self.ended and len(self._chunks) == 1 else None

    def put(self, chunk: bytes) -> None:
        """Take what has come."""
        self.begun = True
        self._chunks.append(chunk)

    def receive_nowait(self) -> bytes:
        """The same without waiting; raises ``trio.WouldBlock`` when it would have to."""
        if self._chunks:
            return self._take()
        raise trio.EndOfChannel if self.ended else trio.WouldBlock

    async def receive(self) -> bytes:
        """The next part of the body.

        Raises:
            trio.EndOfChannel: there is none.
            CutOffError: there will be none, and the body is not whole.
        """
        while not self._chunks:
            if self.ended:
                raise trio.EndOfChannel
            await self._read_on()
        return self._take()

    def _take(self) -> bytes:
        """All that has come: whoever reads pays for each part."""
        chunks = self._chunks
        if len(chunks) == 1:
            return chunks.popleft()
        taken = b"".join(chunks)
        chunks.clear()
        return taken

    async def drop(self) -> None:
        """Read the rest, and keep nothing of it."""
        while not self.ended:
            self._chunks.clear()
            await self._read_on()


class Request:
    """One request; it is what the gate and the routes are asked about (see ``web/asked.py``).

    Parameters:
        ends: where it came from and to.
        keep_alive: whether the connection may be used for another one.
    """

    __slots__ = ("_id", "chunks", "ends", "headers", "http_version", "identity", "keep_alive", "method", "target")

    def __init__(
        self,
        ends: Ends,
        method: str,
        target: bytes,
        http_version: str,
        headers: Headers,
        chunks: Body,
        *,
        keep_alive: bool,
    ) -> None:
        self.ends: Ends = ends
        self.method: str = method
        self.target: bytes = target
        self.http_version: str = http_version
        self.headers: Headers = headers
        self.chunks: Body = chunks
        self.keep_alive: bool = keep_alive
        self.identity: Identity | None = None
        self._id = ""

    @property
    def id(self) -> str:
        """The client's id of it, or one that is made."""
        if not self._id:
            self._id = request_id(self.headers.get(REQUEST_ID_HEADER, _NONE))
        return self._id

    @property
    def scheme(self) -> str:
        return self.ends.scheme

    @property
    def local_address(self) -> str | None:
        return None if self.ends.server is None else self.ends.server[0]

    @property
    def peer_address(self) -> str | None:
        return None if self.ends.client is None else self.ends.client[0]

    @property
    def hosts(self) -> list[str]:
        return self.header_values(b"host")

    @property
    def content_length(self) -> int | None:
        values = self.headers.get(b"content-length")
        return int(values[0]) if values else None

    @property
    def mimetype(self) -> str:
        return "application/json" if self.is_json else ""

    @property
    def is_json(self) -> bool:
        """Whether the body is said to be JSON, in one of the ways in which nearly everybody says it."""
        return self.headers.get(b"content-type") in JSON_TYPES

    @property
    def is_coded(self) -> bool:
        """Whether the body is said to be compressed, or in another coding."""
        return b"content-encoding" in self.headers

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body; HTTP/1.0 does not know that reply."""
        values = self.headers.get(b"expect")
        return values is not None and self.http_version == "1.1" and b"100-continue" in map(bytes.lower, values)

    def header_values(self, name: bytes) -> list[str]:
        values = self.headers.get(name)
        return [] if values is None else [value.decode("latin1") for value in values]
