"""``Network``: one server, the ways of many nodes to it, and what goes wrong with both.

A connection carries each way in order, and late. When it breaks, what was under way to the server may be lost, or be
done much later, when nobody waits for it any more; what was under way from it is lost. A way that is cut off is not
broken: what was sent arrives when it is mended. The server can die, and has forgotten what it had not written; and it
can stall.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import trio

from ...stores.valkey.fake import FakeValkey, RefusedCall

KEY: Final = "pexecutor:{test}"
AFTERWARDS_SECONDS_MAX: Final = 30.0
"""How late what was sent over a connection that broke can be done."""

ON_THE_WAY_SECONDS_MAX: Final = 55.0
"""And at most, with all else; less than answers are kept."""

STEP_SECONDS: Final = 1e-6
"""Between two things that arrive one after the other."""

Message = str
Reply = bytes | Mapping[str, str] | RefusedCall


class Peer(Protocol):
    """Who is at the other end."""

    name: str
    dead: bool
    has_descriptors: bool

    async def awake(self) -> None:
        """Return when the node is not paused."""

    def calls_server(self) -> None:
        """One of its calls is about to be done."""


class Call(NamedTuple):
    """A call under way. ``reply`` has one value once ``answered`` is set, unless the connection broke."""

    command: bytes
    words: Sequence[Any]
    answered: trio.Event
    reply: list[Reply]


class Connection:
    """One connection of a node; it never comes back."""

    def __init__(self, network: Network, peer: Peer, hear: Callable[[str], None]) -> None:
        self.peer = peer
        self.broken = trio.Event()
        self._network = network
        self._life = network.life
        self._hear = hear
        self._calls: list[Call] = []  # without an answer
        self._to_server, self._from_node = trio.open_memory_channel[tuple[float, Call]](math.inf)
        self._to_node, self._from_server = trio.open_memory_channel[tuple[float, Call | Message]](math.inf)
        self._last_arrivals = [0.0, 0.0]
        network.nursery.start_soon(self._carry_to_server)
        network.nursery.start_soon(self._carry_to_node)

    def send(self, command: bytes, words: Sequence[Any]) -> Call:
        """Send the server a command."""
        call = Call(command, words, trio.Event(), [])
        self._calls.append(call)
        self._to_server.send_nowait((self._arrival(0), call))
        return call

    def push(self, message: Message) -> None:
        """Have the node hear a message; the empty one says that from here on it hears all."""
        self._to_node.send_nowait((self._arrival(1), message))

    def break_off(self) -> None:
        """Be of no use any more."""
        if not self.broken.is_set():
            self.broken.set()
            self._network.connections.remove(self)
            self._network.subscribed.pop(self, None)
            self._to_server.close()
            self._to_node.close()
            for call in self._calls:
                call.answered.set()

    def _arrival(self, way: int) -> float:
        arrival = max(self._last_arrivals[way] + STEP_SECONDS, trio.current_time() + self._network.delay())
        self._last_arrivals[way] = arrival
        return arrival

    async def _carry_to_server(self) -> None:
        async for arrival, call in self._from_node:
            await trio.sleep_until(arrival)
            await self._network.passable(self.peer)
            if self.broken.is_set():
                if self._network.chance.random() < 0.3:
                    return  # and all behind it
                await trio.sleep(self._network.chance.choice([0, 0.01, 0.5, 5, AFTERWARDS_SECONDS_MAX]))
            await self._network.able()
            if self._network.life != self._life or trio.current_time() > arrival + ON_THE_WAY_SECONDS_MAX:
                return
            reply = self._network.do(self, call)
            if not self.broken.is_set() and reply is not None:
                call.reply.append(reply)
                self._to_node.send_nowait((self._arrival(1), call))

    async def _carry_to_node(self) -> None:
        async for arrival, item in self._from_server:
            await trio.sleep_until(arrival)
            await self._network.passable(self.peer)
            await self.peer.awake()
            if self.broken.is_set():
                return
            if isinstance(item, Call):
                self._calls.remove(item)
                item.answered.set()
            else:
                self._hear(item)


class Network:
    """One server and all that have a connection to it.

    Parameters:
        nursery: where what is under way travels.
        chance: decides how long everything takes.
        delays: how many seconds a way may take.
        now: the server's clock.
        look: called after each call of a function.
        settings: the server's own.
        say: writes the trace.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        chance: Random,
        *,
        delays: list[float],
        now: Callable[[], float],
        look: Callable[[], None],
        settings: Mapping[str, str],
        say: Callable[[str, str], None],
    ) -> None:
        self.nursery = nursery
        self.chance = chance
        self.server = FakeValkey(now)
        self.server.listeners.append(self._publish)
        self.connections: list[Connection] = []
        self.subscribed: dict[Connection, None] = {}  # in the order in which they have subscribed
        self.life = 1  # of the server
        self.delays = delays
        self._look = look
        self._settings = settings
        self._say = say
        self._cut_until: dict[str, float] = {}  # by a node's name
        self._able_from = 0.0

    def delay(self) -> float:
        """How long it takes from one end to the other."""
        return self.chance.choice(self.delays)

    def do(self, connection: Connection, call: Call) -> Reply | None:
        """Do a command; its reply, unless it has none."""
        match call.command:
            case b"FCALL":
                connection.peer.calls_server()
                return self._call_function(connection.peer, *call.words)
            case b"SUBSCRIBE":
                if not connection.broken.is_set():
                    self.subscribed[connection] = None
                    connection.push("")
                return None
            case b"INFO":
                return self.server._info("server").encode()
            case b"CONFIG GET":
                return self._settings
            case b"FUNCTION LOAD":
                return RefusedCall(b"Library already exists")  # the server of this simulation always has it
        raise NotImplementedError(call.command)

    def _call_function(self, peer: Peer, function: str, _keys: int, key: str, packed: bytes) -> bytes | RefusedCall:
        verb = function.split("_", 2)[2]
        reply: bytes | RefusedCall
        try:
            reply = self.server.fcall(verb, key, packed)
        except RefusedCall as refused:
            reply = refused
        if verb != "beat":
            self._say("server", f"does {verb} for {peer.name}: {msgspec.msgpack.decode(packed)[1:]}")
        self._look()
        return reply

    def _publish(self, message: str) -> None:
        for connection in self.subscribed:
            connection.push(message)

    async def connect(self, peer: Peer, hear: Callable[[str], None]) -> Connection:
        """Make a connection, as soon as there can be one."""
        await trio.sleep(self.delay())
        await self.passable(peer)
        await self.able()
        await peer.awake()
        connection = Connection(self, peer, hear)
        self.connections.append(connection)
        return connection

    async def passable(self, peer: Peer) -> None:
        """Return when the way from and to a node is not cut off."""
        while (until := self._cut_until.get(peer.name, 0.0)) > trio.current_time():  # noqa: ASYNC110  (it may be cut anew)
            await trio.sleep_until(until)

    async def able(self) -> None:
        """Return when the server lives and does not stall."""
        while self._able_from > trio.current_time():  # noqa: ASYNC110  (it may stall anew)
            await trio.sleep_until(self._able_from)

    # Trouble

    def cut(self, peer: Peer, seconds: float) -> None:
        """Have nothing pass from and to a node for so long."""
        self._cut_until[peer.name] = trio.current_time() + seconds

    def stall(self, seconds: float) -> None:
        """Have the server do nothing for so long."""
        self._able_from = max(self._able_from, trio.current_time() + seconds)

    def break_connections(self, peer: Peer) -> None:
        """Break what a node has."""
        for connection in [one for one in self.connections if one.peer is peer]:
            connection.break_off()

    def crash(self, seconds: float) -> None:
        """Have the server die, and come back after so long with what it had written."""
        for connection in list(self.connections):
            connection.break_off()
        self.server.crash()
        self.life += 1
        self.stall(seconds)
