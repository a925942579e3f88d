"""Names that a test gives addresses to, and receivers on the loopback address."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from trio.abc import HostnameResolver, Stream

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Names(HostnameResolver):
    """Name servers: each name has the addresses that the test gives it, and other names are unknown."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.later: dict[str, list[str]] = {}
        """What a name has from its second look-up on."""
        self.looked_up: list[str] = []

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        await trio.lowlevel.checkpoint()
        name = (host or b"").decode()
        addresses = self.later.get(name) if name in self.looked_up and name in self.later else self.known.get(name)
        self.looked_up.append(name)
        if addresses is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, type, proto, "", (each, port, 0, 0))
            if ":" in each
            else (socket.AF_INET, type, proto, "", (each, port))
            for each in addresses
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


Answer = Callable[[Stream], Awaitable[None]]


class Receiver:
    """A server on the loopback address that notes each request, and answers as the test says."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[bytes] = []
        self.sent = 0
        """How many bytes it could send."""

    @property
    def heads(self) -> list[list[str]]:
        """The lines of the head of each request."""
        return [request.partition(b"\r\n\r\n")[0].decode().split("\r\n") for request in self.requests]

    async def read(self, stream: Stream) -> None:
        """Read a request, and note it."""
        request = b""
        while b"\r\n\r\n" not in request:
            if not (part := await stream.receive_some()):
                return
            request += part
        head, _, body = request.partition(b"\r\n\r\n")
        [length] = [int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
        while len(body) < length:
            body += await stream.receive_some()
        self.requests.append(head + b"\r\n\r\n" + body)


@asynccontextmanager
async def receiving(answer: bytes | Answer = OK, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver: it sends these bytes, or does what a function does."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    receiver = Receiver(listener.socket.getsockname()[1])

    async def serve(plain: trio.SocketStream) -> None:
        stream: Stream = plain if tls is None else trio.SSLStream(plain, tls, server_side=True)
        try:
            await receiver.read(stream)
            if isinstance(answer, bytes):
                await stream.send_all(answer)
            else:
                await answer(stream)
        except (trio.BrokenResourceError, ssl.SSLError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, [listener])
        yield receiver
        nursery.cancel_scope.cancel()
