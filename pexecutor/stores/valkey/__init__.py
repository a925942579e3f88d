"""A store that many hosts share: one queue on a Valkey or Redis server, version 7 or later.

``functions/`` runs on the server and makes all decisions. ``protocol.py``, ``wire.py`` and the rows define the names
that it shares with the nodes, and ``prelude.py`` writes them as Lua. On a node, ``store.py``, ``schedules.py`` and
``deliveries.py`` implement the store contract with these functions. ``lease.py`` keeps the node's lease on its running
tasks, ``wire.py`` encodes and decodes, ``client.py`` and ``connection.py`` reach the server (only these and
``flush.py`` use the driver), and ``server_checks.py`` checks the server's settings.

Roads not taken: a lock with a time to live beside each task is leaked or released too early; here the record is the
lock, and one function changes both. Streams with consumer groups have neither names nor priorities nor a bound.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...errors import ConfigError
from ..address import ValkeyAddress
from .server_checks import Durability
from .store import ValkeyStore

__all__ = ["ValkeyStore", "make_store", "needs_driver"]


@contextmanager
def needs_driver() -> Iterator[None]:
    """Turn an import error of the driver into a message about how to install it."""
    try:
        yield
    except ImportError as error:
        raise ConfigError("a shared store needs a driver: install it with `pip install 'pexecutor[valkey]'`") from error


def make_store(address: ValkeyAddress, queue: str, *, durability: Durability = "aof", **settings: Any) -> ValkeyStore:
    """Return a node's store for a queue.

    Parameters:
        address: the server.
        queue: the name of the queue.
        durability: how durable an accepted task is when ``submit`` returns.
        settings: the other parameters of ``ValkeyStore``.

    Raises:
        ConfigError: the driver is not installed.
    """
    with needs_driver():
        from .client import ValkeyLink
    link = ValkeyLink(address, queue, flushed=durability == "fsync")
    node = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    return ValkeyStore(link, node=node, durability=durability, **settings)
