"""``SimulatedLink``: a node's own ``ValkeyLink`` and ``Line``, on connections of the simulated network.

What a node does when a connection breaks, cannot be made or is refused is the program's own code. Only the connection
below is simulated: it answers as many of the server's commands as the link sends.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Generator
from typing import Any, Final, cast

import trio
from coredis.connection import TCPConnection
from coredis.exceptions import ConnectionError as BrokenConnectionError
from coredis.exceptions import ResponseError

from pexecutor.errors import StoreUnavailableError
from pexecutor.stores.address import ValkeyAddress, parse_store
from pexecutor.stores.valkey.client import ValkeyLink
from pexecutor.stores.valkey.connection import Line

from ...stores.valkey.fake import RefusedCall
from ..deeds import no_descriptors
from .network import Call, Connection, Message, Network, Peer

QUEUE: Final = "test"


class SimulatedLink(ValkeyLink):
    """A node's link to the server.

    Parameters:
        network: makes the connections.
        peer: the node.
    """

    def __init__(self, network: Network, peer: Peer) -> None:
        address = parse_store("valkey://simulated")
        assert isinstance(address, ValkeyAddress)
        super().__init__(address, QUEUE)
        self._peer = peer
        self._line = _SimulatedLine(address, network, peer, self)

    async def call(self, verb: str, *arguments: Any) -> bytes:
        """Call a function, unless the node is dead; return the reply once the node is not paused."""
        await self._peer.awake()
        reply: bytes | StoreUnavailableError
        try:
            reply = await super().call(verb, *arguments)
        except StoreUnavailableError as error:
            reply = error
        await self._peer.awake()
        _demand_alive(self._peer)
        if isinstance(reply, StoreUnavailableError):
            raise reply
        return reply


class _SimulatedLine(Line):
    """The line of a node, whose connections are simulated."""

    def __init__(self, address: ValkeyAddress, network: Network, peer: Peer, link: SimulatedLink) -> None:
        super().__init__(address, prepare=link._prepare, hear=link._sort)
        self._network = network
        self._peer = peer

    async def connection(self) -> TCPConnection:
        """Return the connection as soon as there is one; a dead node gets none."""
        _demand_alive(self._peer)
        return await super().connection()

    def _open(self, host: str, port: int, *, database: int | None = None) -> TCPConnection:
        return cast(TCPConnection, ClientConnection(self._network, self._peer))


def _demand_alive(peer: Peer) -> None:
    if peer.dead:
        raise StoreUnavailableError("the node is dead")


class ClientConnection:
    """What the link sees of a connection, with the same methods as coredis's ``TCPConnection``.

    Parameters:
        network: makes the connection.
        peer: the node whose connection it is.
    """

    def __init__(self, network: Network, peer: Peer) -> None:
        self._network = network
        self._peer = peer
        self._connection: Connection | None = None
        self._pushed, self._pushes = trio.open_memory_channel[list[bytes]](math.inf)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Connect, and end when the connection breaks.

        Raises:
            BrokenConnectionError: no connection can be made.
        """
        if not self._peer.has_descriptors:
            await trio.lowlevel.checkpoint()
            raise BrokenConnectionError("Unable to establish a connection") from no_descriptors()
        connection = self._connection = await self._network.connect(self._peer, self._hear)
        task_status.started()
        try:
            await connection.broken.wait()
        finally:
            self.invalidate()
            self._pushed.close()

    def invalidate(self) -> None:
        """Break the connection."""
        if self._connection is not None:
            self._connection.break_off()

    def create_request(self, command: bytes, *words: Any, decode: bool = False) -> Request:
        """Send a command; the reply is to be awaited."""
        return Request(self._usable().send(command, words))

    def send_command(self, command: bytes, *words: Any) -> None:
        """Send a command that has no reply."""
        self._usable().send(command, words)

    @property
    def push_messages(self) -> AsyncIterator[list[bytes]]:
        """What the server sends unasked, until the connection breaks."""
        return self._receive_pushes()

    async def _receive_pushes(self) -> AsyncIterator[list[bytes]]:
        async for push in self._pushes:
            yield push
        raise BrokenConnectionError("Connection lost while waiting for push messages")

    def _usable(self) -> Connection:
        if self._connection is None or self._connection.broken.is_set():
            raise BrokenConnectionError("Connection not usable")
        return self._connection

    def _hear(self, message: Message) -> None:
        self._pushed.send_nowait([b"message", b"", message.encode()] if message else [b"subscribe"])


class Request:
    """A command under way."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._result().__await__()

    async def _result(self) -> Any:
        await self._call.answered.wait()
        if not self._call.reply:
            raise BrokenConnectionError("Connection lost!")
        [reply] = self._call.reply
        if isinstance(reply, RefusedCall):
            raise ResponseError(str(reply))
        return reply
