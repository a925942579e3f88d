"""One request: its head, and its body as it arrives.

The body is read on demand: the reader of the body makes the connection read more. So a slow reader does not fill the
memory: at most the data of one read of the socket is buffered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import trio

from ...access import Identity
from ..access.proxies import Front
from ..api.admission import Admission
from ..api.client_input import ClientInput
from ..api.client_side import ClientSide
from ..api.request import Arguments
from ..serving.quart_app import REQUEST_ID_HEADER, request_id

Header = tuple[bytes, bytes]
Headers = dict[bytes, list[bytes]]
"""Header values by name; names are in lower case."""

JSON_TYPES: Final = ([b"application/json"], [b"application/json; charset=utf-8"])
"""The usual spellings of Content-Type for JSON. A request with another spelling goes to the app."""

_NONE: Final[list[bytes]] = []
_NO_PARAMETERS: Final[Mapping[str, str]] = {}
_NO_ARGUMENTS: Final[Arguments] = {}


class Ends(NamedTuple):
    """The two ends of a connection.

    Parameters:
        scheme, client, server: as in an ASGI scope.
        front: how requests of this client are read, or ``None`` if they are taken as they are.
    """

    scheme: str
    client: tuple[str, int] | None
    server: tuple[str, int] | None
    front: Front | None = None


class Body:
    """The part of a body that has not been received.

    Parameters:
        read_on: makes the connection read more; raises ``CutOffError`` if the rest will never arrive.
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
        """Return the whole body if it has arrived in one part, else ``None``."""
        return self._chunks[0] if self.ended and len(self._chunks) == 1 else None

    def put(self, chunk: bytes) -> None:
        """Add a part that has arrived."""
        self.begun = True
        self._chunks.append(chunk)

    def receive_nowait(self) -> bytes:
        """Return all buffered parts of the body.

        Raises:
            trio.EndOfChannel: the body has ended.
            trio.WouldBlock: no part is buffered.
        """
        if self._chunks:
            return self._take()
        raise trio.EndOfChannel if self.ended else trio.WouldBlock

    async def receive(self) -> bytes:
        """Return the next part of the body; wait for it if necessary.

        Raises:
            trio.EndOfChannel: the body has ended.
            CutOffError: the rest of the body will never arrive.
        """
        while not self._chunks:
            if self.ended:
                raise trio.EndOfChannel
            await self._read_on()
        return self._take()

    def _take(self) -> bytes:
        """Return all buffered parts as one, because each part costs its reader time."""
        chunks = self._chunks
        if len(chunks) == 1:
            return chunks.popleft()
        taken = b"".join(chunks)
        chunks.clear()
        return taken

    async def drop(self) -> None:
        """Read the rest of the body and discard it."""
        while not self.ended:
            self._chunks.clear()
            await self._read_on()


class Request:
    """One request of the fast listener; an ``IncomingRequest`` (see ``api/request.py``).

    Parameters:
        ends: the two ends of the connection.
        target: the path and the query, as received.
        keep_alive: whether the connection may be used for another request.
    """

    __slots__ = (
        *("_id", "admission", "chunks", "client_side", "ends", "headers", "http_version", "identity", "keep_alive"),
        *("method", "parameters", "query", "received_target", "target"),
    )

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
        self.received_target: bytes = target
        self.target: bytes = target
        """The part of the target that is routed."""
        self.http_version: str = http_version
        self.headers: Headers = headers
        self.chunks: Body = chunks
        self.keep_alive: bool = keep_alive
        self.identity: Identity | None = None
        self.admission: Admission | None = None
        self.parameters: Mapping[str, str] = _NO_PARAMETERS
        self.query: Any = None
        self._id = ""
        self.client_side: ClientSide | None = None
        if ends.front is not None:
            self._read_with(ends.front)

    def _read_with(self, front: Front) -> None:
        peer = None if self.ends.client is None else self.ends.client[0]
        self.client_side = front.client_side(self.target, peer, self.ends.scheme, self.hosts, self.header_values)
        self.target = self.client_side.target

    @property
    def id(self) -> str:
        """Return the client's request id, or a new one if the client sent none."""
        if not self._id:
            self._id = request_id(self.headers.get(REQUEST_ID_HEADER, _NONE))
        return self._id

    @property
    def path(self) -> str:
        """Return the path as it was sent; the paths of prompt routes need no decoding."""
        return self.target.partition(b"?")[0].decode("latin1")

    @property
    def arguments(self) -> Arguments:
        """Return the query string, which needs no decoding if the route is prompt."""
        query = self.target.partition(b"?")[2]
        return parse_qs(query.decode("latin1"), keep_blank_values=True) if query else _NO_ARGUMENTS

    @property
    def input(self) -> ClientInput:
        """Return an input that does not end: a prompt reply does not wait for it."""
        return ClientInput()

    @property
    def scheme(self) -> str:
        return self.ends.scheme if self.client_side is None else self.client_side.scheme

    @property
    def local_address(self) -> str | None:
        return None if self.ends.server is None else self.ends.server[0]

    @property
    def client_address(self) -> str | None:
        if self.client_side is not None:
            return self.client_side.address
        return None if self.ends.client is None else self.ends.client[0]

    @property
    def hosts(self) -> list[str]:
        return self.header_values(b"host") if self.client_side is None else self.client_side.hosts

    @property
    def content_length(self) -> int | None:
        values = self.headers.get(b"content-length")
        return int(values[0]) if values else None

    @property
    def mimetype(self) -> str:
        return "application/json" if self.is_json else ""

    @property
    def is_json(self) -> bool:
        """Return whether Content-Type declares JSON, in one of the usual spellings."""
        return self.headers.get(b"content-type") in JSON_TYPES

    @property
    def is_coded(self) -> bool:
        """Return whether the request has Content-Encoding, so that the body may be compressed."""
        return b"content-encoding" in self.headers

    @property
    def expects_continue(self) -> bool:
        """Return whether the client waits for ``100 Continue`` before it sends the body; HTTP/1.0 lacks that reply."""
        values = self.headers.get(b"expect")
        return values is not None and self.http_version == "1.1" and b"100-continue" in map(bytes.lower, values)

    def header_values(self, name: bytes) -> list[str]:
        values = self.headers.get(name)
        return [] if values is None else [value.decode("latin1") for value in values]
