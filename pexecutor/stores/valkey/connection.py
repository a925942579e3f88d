"""``Line``: a connection to the primary that is replaced whenever it breaks.

The primary is located for each connection: by asking the sentinels, or by following ``MOVED`` replies of a cluster. All
keys of a queue are on one node, so one connection at a time is enough there too. A caller calls ``drop`` if its reply
shows that another server, or the same server after loading our functions, has to be used; then the next connection is
made.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Final

import trio
from coredis.connection import TCPConnection, TCPLocation
from coredis.exceptions import BusyLoadingError, MovedError, ReadOnlyError, RedisError
from coredis.exceptions import ConnectionError as BrokenConnectionError

from ...limits.times import CONNECT_SECONDS_MAX, SENTINEL_SECONDS_MAX
from ..address import ValkeyAddress

RECONNECT_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
"""The waits between attempts, in seconds; the last one is repeated."""


SENTINEL_SECONDS: Final = 1.0
"""How often the sentinels are asked whether the primary was replaced, in seconds."""

ELSEWHERE: Final = (BrokenConnectionError, ReadOnlyError, MovedError, BusyLoadingError)
"""The errors after which a call is repeated on another connection."""


class Line:
    """The current connection, and its replacement.

    Parameters:
        address: the server, or its sentinels.
        prepare: called with each new connection before any caller gets it.
        hear: called with each push message of the server.
    """

    def __init__(
        self,
        address: ValkeyAddress,
        *,
        prepare: Callable[[TCPConnection], Awaitable[None]],
        hear: Callable[[Sequence[object]], None] = lambda _: None,
    ) -> None:
        self.trouble: str | None = f"{address.shown} has not answered yet"
        self._address = address
        self._prepare = prepare
        self._hear = hear
        self._tls = ssl.create_default_context() if address.tls else None
        self._moved_to: tuple[str, int] | None = None
        self._sentinels = list(address.hosts)  # the next one to ask comes first; silent ones are moved to the end
        self._connection: TCPConnection | None = None
        self._connected = trio.Event()

    async def stay_connected(self) -> None:
        """Connect, and reconnect whenever the connection breaks, until cancelled."""
        async with trio.open_nursery() as nursery:
            failures = 0
            while True:
                try:
                    await self._live(nursery)
                except (RedisError, OSError, trio.TooSlowError) as error:
                    self.trouble = reason(error, self._address.shown)
                failures = 0 if self._connected.is_set() else failures + 1
                self._have_none()
                await trio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])

    async def connection(self) -> TCPConnection:
        """Return the connection; wait until there is one."""
        while self._connection is None:
            await self._connected.wait()
        return self._connection

    def drop(self, connection: TCPConnection, error: Exception | None = None) -> None:
        """Give up a connection. The next one goes to the address in the error, if there is one."""
        if isinstance(error, MovedError):
            self._moved_to = (error.host, error.port)
        if self._connection is connection:
            self._have_none()
            if error is not None and not isinstance(error, MovedError):
                self.trouble = reason(error, self._address.shown)
        connection.invalidate()

    def _have_none(self) -> None:
        self._connection = None
        if self._connected.is_set():  # otherwise callers already wait for this event
            self._connected = trio.Event()

    async def _live(self, nursery: trio.Nursery) -> None:
        """Open one connection, and use it until it ends."""
        with trio.fail_after(CONNECT_SECONDS_MAX):
            place = await self._locate(nursery)
            connection = self._open(*place)
            await nursery.start(connection.run)
        watch = trio.CancelScope()
        try:
            with trio.fail_after(CONNECT_SECONDS_MAX):
                await self._prepare(connection)
            self.trouble = None
            self._connection = connection
            self._connected.set()
            if self._address.service is not None:
                nursery.start_soon(self._leave_when_replaced, place, connection, nursery, watch)
            async with aclosing(connection.push_messages) as pushes:
                async for push in pushes:
                    self._hear(push)
        finally:
            watch.cancel()
            connection.invalidate()

    async def _leave_when_replaced(
        self, place: tuple[str, int], connection: TCPConnection, nursery: trio.Nursery, watch: trio.CancelScope
    ) -> None:
        """Leave a replaced primary. It accepts writes for some seconds after its replacement, and they are lost."""
        with watch:
            while True:
                await trio.sleep(SENTINEL_SECONDS)
                with suppress(RedisError, OSError, trio.TooSlowError):
                    if await self._locate(nursery) != place:
                        self.drop(connection)
                        return

    def _open(self, host: str, port: int, *, database: int | None = None) -> TCPConnection:
        return TCPConnection(
            TCPLocation(host, port),
            socket_keepalive=True,
            connect_timeout=CONNECT_SECONDS_MAX,
            username=self._address.username,
            password=self._address.password,
            db=self._address.database if database is None else database,
            client_name="pexecutor",
            ssl_context=self._tls,
        )

    async def _locate(self, nursery: trio.Nursery) -> tuple[str, int]:
        """Return the address of the primary."""
        if self._address.service is None:
            moved_to, self._moved_to = self._moved_to, None
            return moved_to or self._address.hosts[0]
        problem: Exception = BrokenConnectionError("no sentinel replies")
        for sentinel in list(self._sentinels):
            try:
                with trio.fail_after(SENTINEL_SECONDS_MAX):
                    return await self._ask(sentinel, self._address.service, nursery)
            except (RedisError, OSError, trio.TooSlowError) as error:
                problem = error
                self._sentinels.remove(sentinel)
                self._sentinels.append(sentinel)
        raise problem

    async def _ask(self, sentinel: tuple[str, int], service: str, nursery: trio.Nursery) -> tuple[str, int]:
        connection = TCPConnection(TCPLocation(*sentinel), connect_timeout=SENTINEL_SECONDS_MAX)
        try:
            await nursery.start(connection.run)
            found = await connection.create_request(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service)
        finally:
            connection.invalidate()
        if not isinstance(found, list):
            raise BrokenConnectionError(f"the sentinels do not know the service {service!r}")
        return bytes(found[0]).decode(), int(found[1])


def reason(error: BaseException, server: str) -> str:
    """Return why a server cannot be used, and what to do."""
    text = str(error)
    if isinstance(error, BusyLoadingError):
        return f"{server} is loading its data: wait until it is ready"
    if isinstance(error, ReadOnlyError) or text.startswith("MASTERDOWN"):
        return f"{server} is a replica at present: wait until it is promoted, or check --store"
    if "maxmemory" in text:
        return f"{server} is out of memory (maxmemory): wait until tasks end, or give the server more memory"
    if isinstance(error, RedisError) and not isinstance(error, BrokenConnectionError):
        return f"{server} refused the call: {text}"
    return f"{server} cannot be reached: {plain(error)}"


def plain(error: BaseException) -> str:
    """Return the message of the error's first cause."""
    while (cause := error.__cause__) is not None:
        error = cause
    if isinstance(error, trio.TooSlowError | TimeoutError):
        return "the server does not respond"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return str(error) or "the connection broke"
