"""Half-closed connections: the client has ended its sending side, and may still read.

Clients do that after their last request (``nc -N``, scripts that speak HTTP/1.0, some libraries), so the end of what
they send is not a disconnect: requests that are whole are answered, and then the connection is closed.

TCP does not tell such a client from one that has closed its socket, until something is sent: the kernel of a client
that is gone answers with a reset. So:

* A reply that is sent at its end (``?wait=``, ``?wait_for_room=``, a stream of tasks) is waited for as long as the
  request allows.
* A stream of events sends a heartbeat at once, which is answered with a reset when nobody reads it.
* Keep-alive probes find a client that is gone meanwhile, usually within two minutes.

Under TLS a client ends its side with a ``close_notify``. One that ends its TCP stream without it has broken the
connection, since anybody in between could have done that, and cannot be sent anything.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import trio

CHECK_SECONDS: Final = 0.5
"""How often a half-closed connection is checked for a reset: nothing wakes a reader that has seen the end of input."""

PROBE_SECONDS: Final = 15
PROBES_MAX: Final = 4


class ClientInput:
    """What a client may still send; it says when that has ended."""

    def __init__(self) -> None:
        self.ended: bool = False
        # Owned by cut_short(): those who wait.
        self._waiting: set[trio.CancelScope] = set()

    def end(self) -> None:
        """Note that the client has ended its sending side, and wake those who wait for that."""
        self.ended = True
        for scope in self._waiting:
            scope.cancel()

    @contextmanager
    def cut_short(self, seconds_max: float) -> Iterator[None]:
        """Bound what is waited for in here: by a time, and by the end of the input unless that has come before."""
        with trio.move_on_after(seconds_max) as scope:
            if not self.ended:
                self._waiting.add(scope)
            try:
                yield
            finally:
                self._waiting.discard(scope)


async def wait_for_reset(connection: trio.socket.SocketType) -> None:
    """Wait until nobody is at the other end of a half-closed connection."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES_MAX)
    while not _is_reset(connection):  # noqa: ASYNC110  (a socket whose input has ended is always readable)
        await trio.sleep(CHECK_SECONDS)


def _is_reset(connection: trio.socket.SocketType) -> bool:
    """Whether both directions have ended. The kernel of a Unix socket reports that at once, without a reset."""
    poll = select.poll()
    try:
        poll.register(connection.fileno(), 0)
    except ValueError:  # closed
        return True
    return bool(poll.poll(0))
