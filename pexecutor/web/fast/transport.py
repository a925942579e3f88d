"""The socket of a connection, read and written with one system call each where possible.

Trio's own streams begin each call with a turn of the scheduler, and they read before they wait. Here that first read
nearly always fails, because the next request comes after the reply to the last one. So a plain socket first waits and
then reads. It writes at once, and waits only if the socket is full. Under TLS, Trio's stream is used unchanged.

Reading is always a checkpoint. Writing is one only if it has to wait.
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
"""The errors of reading and writing when the client is gone, or the socket was closed here."""


class Transport(Protocol):
    """A stream of bytes in both directions; ``receive`` and ``send`` raise one of ``GONE``."""

    socket: trio.socket.SocketType
    fd: int | None
    """The descriptor of the socket if the rounds may read and write it directly, or ``None`` under TLS."""

    async def receive(self) -> bytes:
        """Return some bytes, or ``b""`` at the end of the input."""

    async def send(self, data: bytes) -> None:
        """Send all the data."""

    def end_sending(self) -> None:
        """End the sending side, so that the client sees the end of the reply."""

    def close(self) -> None:
        """Close the socket at once."""


class PlainTransport:
    """A socket without TLS."""

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
        """Do nothing: TLS cannot half-close a connection."""

    def close(self) -> None:
        self.socket.close()


def transport_of(stream: Stream) -> Transport:
    """Return the transport of a connection."""
    return SecuredTransport(stream) if isinstance(stream, trio.SSLStream) else PlainTransport(stream)
