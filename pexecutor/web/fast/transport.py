"""The socket of a connection: read and written with one call of the system each, where that does.

Trio's own streams begin each call with a turn of the scheduler, and read before they wait, which here is nearly always
one read too many: the next request comes after the reply to the last. So a plain socket is waited for first and then
read, and written at once, and waited for only when it takes no more. Under TLS the stream does as it does.

Reading is a checkpoint always, writing only when it has to wait.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Final, Protocol

import trio

from ..serving.listener import Stream

BYTES_AT_ONCE: Final = 64 * 1024

GONE: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What reading and writing raise when the other end is gone, or ours was closed."""


class Transport(Protocol):
    """Bytes in and out; both ways raise one of ``GONE``."""

    socket: trio.socket.SocketType
    fd: int | None
    """The descriptor of the socket, where others may read and write it too: under TLS they may not."""

    async def receive(self) -> bytes:
        """Some bytes, or none at the end."""

    async def send(self, data: bytes) -> None:
        """Send all of them."""

    def end_sending(self) -> None:
        """Let the client know that nothing follows."""

    def close(self) -> None:
        """Close the socket, at once."""


class PlainTransport:
    """A socket as it is."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.socket: trio.socket.SocketType = stream.socket
        self.fd: int | None = stream.socket.fileno()

    async def receive(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self.socket)
            with suppress(BlockingIOError):
                return os.read(self.socket.fileno(), BYTES_AT_ONCE)

    async def send(self, data: bytes) -> None:
        try:
            sent = os.write(self.socket.fileno(), data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            await self._send_the_rest(memoryview(data)[sent:])

    async def _send_the_rest(self, data: memoryview) -> None:
        while data:
            await trio.lowlevel.wait_writable(self.socket)
            with suppress(BlockingIOError):
                data = data[os.write(self.socket.fileno(), data) :]

    def end_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()


class SecuredTransport:
    """A socket under TLS."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream
        self.socket: trio.socket.SocketType = stream.transport_stream.socket
        self.fd: int | None = None

    async def receive(self) -> bytes:
        return bytes(await self._stream.receive_some(BYTES_AT_ONCE))

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    def end_sending(self) -> None:
        """There is no half of a connection to close."""

    def close(self) -> None:
        self.socket.close()


def transport_of(stream: Stream) -> Transport:
    """What a connection is read and written by."""
    return SecuredTransport(stream) if isinstance(stream, trio.SSLStream) else PlainTransport(stream)
