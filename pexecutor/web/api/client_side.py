"""A request as its client sent it, before proxies changed it (see ``access/proxies.py``)."""

from __future__ import annotations

from typing import NamedTuple


class ClientSide(NamedTuple):
    """A request as its client sent it.

    Parameters:
        target: the path below the base path, and the query; ``/ `` for a path outside of the base path.
        prefix: what the client has to write before each path of this server.
        address: the address of the client, or ``None`` for a client of a Unix socket.
        scheme: the scheme that the client used.
        hosts: every host that the client named.
        is_remote: whether a proxy passed the request on for a client that is not on this machine, or is unknown.
        lacks_slash: whether the client requested exactly the base path, without the slash after it.
        fault: why the headers of a trusted proxy are invalid; empty if they are valid.
    """

    target: bytes
    prefix: str
    address: str | None
    scheme: str
    hosts: list[str]
    is_remote: bool = False
    lacks_slash: bool = False
    fault: str = ""
