"""A client that works on raw sockets: it can send bytes that a well-behaved client never would.

``RawClient`` sends bytes and reads replies on one connection; ``request`` builds the bytes of a request.
``ended_within`` checks whether the server closes the connection.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import trio

JSON = "Content-Type: application/json"
NDJSON = "Content-Type: application/x-ndjson"
CHUNKED = "Transfer-Encoding: chunked"
LAST_CHUNK = b"0\r\n\r\n"


class RawReply(msgspec.Struct, frozen=True):
    """A reply as received; the names of its headers are in lower case."""

    status_code: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.content)


class RawClient:
    """One connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._received = bytearray()

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    def reset(self) -> None:
        """Close the connection with a reset, which differs from a half-closed connection."""
        assert isinstance(self.stream, trio.SocketStream)
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()

    async def ask(self, data: bytes) -> RawReply:
        await self.send(data)
        return await self.reply()

    async def reply(self, *, seconds_max: float = 5.0) -> RawReply:
        """Return the next reply.

        Raises:
            EOFError: the connection ended before the reply was complete.
        """
        with trio.fail_after(seconds_max):
            head = await self.head()
            content = await self._exactly(int(head.headers.get("content-length", 0)))
            return RawReply(head.status_code, head.headers, content)

    async def head(self) -> RawReply:
        """Return the next reply without its content."""
        head = (await self._until(b"\r\n\r\n")).decode("latin1")
        status_line, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return RawReply(int(status_line.split()[1]), headers, b"")

    async def chunk(self) -> bytes:
        """Return the next chunk of a chunked reply; the last chunk is empty."""
        size = int(await self._until(b"\r\n"), 16)
        return (await self._exactly(size + 2))[:-2]

    async def ended_within(self, seconds: float) -> bool:
        """Return whether the server closes the connection within this time. Discard the data that it still sends."""
        with trio.move_on_after(seconds):
            while await self.stream.receive_some(65536):
                pass
            return True
        return False

    async def trickle(self, data: bytes, *, interval_seconds: float = 0.05) -> None:
        """Send these bytes slowly and repeatedly until the server closes the connection."""
        with suppress(trio.BrokenResourceError):
            while True:
                await self.send(data)
                await trio.sleep(interval_seconds)

    async def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            await self._receive()
        return await self._exactly(self._received.index(end) + len(end))

    async def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            await self._receive()
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    async def _receive(self) -> None:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError(f"the connection ended after {bytes(self._received)!r}")
        self._received += data


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawClient]:
    """Open a connection to the loopback; close it at the end."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        yield RawClient(stream)


def request(line: str, *headers: str, body: bytes | None = None, host: str = "localhost") -> bytes:
    """Return the bytes of an HTTP/1.1 request, with a Content-Length if there is a body."""
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    head = "\r\n".join([f"{line} HTTP/1.1", f"Host: {host}", *headers, *length])
    return head.encode("latin1") + b"\r\n\r\n" + (body or b"")


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
