"""The fast listener: the same app, HTTP/1.1 read by a parser in C, and hot routes answered before the framework.

* ``parser.py``: from bytes to requests, and what is refused already there.
* ``request.py``: one request, and its body as it comes.
* ``connection.py``: one connection: read, answer in order, write; its times and its end.
* ``rounds.py``: submits that come together, over many connections, answered together.
* ``hot.py``: the routes that are answered at once, by the very functions that the framework's views call.
* ``heads.py``: heads that have come before, which are neither parsed nor asked about again.
* ``accepted.py``: the reply to a submit that was accepted.
* ``exchange.py``: every other request, handed to the app.
* ``response.py``: the bytes of a reply.
* ``transport.py``: the socket, plain or under TLS, with as few calls of the system as there can be.
* ``server.py``: what all connections share.

On the hot way a request costs no Trio task, no cancel scope and no timer of its own, and a submit not even a turn: one
Trio task reads from all connections on which something has come, and another watches the times of all.

Roads not taken: a protocol of our own inside of Hypercorn, whose way from an event to the socket is most of what a
request costs there; and answering in the parser's callbacks, where nothing can be awaited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypercorn.typing import ASGIFramework

from ...errors import ConfigError
from .hot import HotRoutes

if TYPE_CHECKING:
    from .server import FastHttp

__all__ = ["HotRoutes", "make_fast"]


def make_fast(app: ASGIFramework, hot: HotRoutes, *, idle_seconds_max: float) -> FastHttp:
    """What speaks HTTP for this app; see ``FastHttp``.

    Raises:
        ConfigError: the parser is not installed.
    """
    try:
        from .server import FastHttp
    except ImportError as error:
        raise ConfigError(
            "the fast listener needs a parser: install it with `pip install 'pexecutor[fast]'`, or leave out --server"
        ) from error
    return FastHttp(app, hot, idle_seconds_max=idle_seconds_max)
