"""Half-closed connections: the client has ended its sending side, and may still read.

Clients half-close a connection after their last request (``nc -N``, scripts that use HTTP/1.0, some libraries). So the
end of the client's input is not a disconnect: complete requests are answered, and then the connection is closed.

In TCP, such a client looks like one that has closed its socket, until the server sends something: the kernel of a
client that is gone answers with a reset. So:

* A long reply (``?wait=``, ``?wait_for_room=``, a stream of tasks) goes on as long as the request allows.
* A stream of events sends a heartbeat at once, which is answered with a reset if the client is gone.
* Keep-alive probes detect a client that goes away meanwhile, usually within two minutes.

Under TLS a client ends its side with a ``close_notify``. If the TCP stream ends without one, the connection is broken:
anyone on the network path could have ended it, and nothing more can be sent.
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import Final

import trio

from ...limits import times

CHECK_SECONDS: Final = times.INPUT_CHECK_SECONDS
"""How often a half-closed connection is checked for a reset: no event wakes a reader after the end of its input."""

PROBE_SECONDS: Final = 15
PROBES_MAX: Final = 4


async def wait_for_reset(connection: trio.socket.SocketType) -> None:
    """Wait until the client of a half-closed connection is gone."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES_MAX)
    while not _is_reset(connection):  # noqa: ASYNC110  (a socket whose input has ended is always readable)
        await trio.sleep(CHECK_SECONDS)


def _is_reset(connection: trio.socket.SocketType) -> bool:
    """Return whether both directions have ended. The kernel reports that at once for a Unix socket, without a reset."""
    poll = select.poll()
    try:
        poll.register(connection.fileno(), 0)
    except ValueError:  # closed
        return True
    return bool(poll.poll(0))
