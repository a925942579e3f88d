"""A store that many machines share: one queue on a Valkey or Redis server, from version 7 on.

``functions/`` is what runs on the server, and where all is decided. On a node, ``store.py`` makes of it the verbs of
the store contract, ``lease.py`` keeps the node's hold on what it runs, ``wire.py`` knows what crosses, ``link.py`` and
``line.py`` are the way there and alone know the driver, and ``doubts.py`` looks at the server's settings.

Roads not taken: a lock with a time to live beside each task, which leaks or lets go too early; here the record is the
lock, and one function changes both. Streams with consumer groups, which know neither names nor priorities nor a bound.
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
    """Say of a driver that cannot be imported in here how to get it."""
    try:
        yield
    except ImportError as error:
        raise ConfigError("a shared store needs a driver: install it with `pip install 'pexecutor[valkey]'`") from error


def make_store(address: ValkeyAddress, queue: str, *, durability: Durability = "aof", **settings: Any) -> ValkeyStore:
    """A node's side of a queue.

    Parameters:
        address: where the server is.
        queue: the queue's name.
        durability: how far an accepted task is kept before it is answered.
        settings: the others of ``ValkeyStore``.

    Raises:
        ConfigError: the driver is not installed.
    """
    with needs_driver():
        from .client import ValkeyLink
    link = ValkeyLink(address, queue, flushed=durability == "fsync")
    node = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    return ValkeyStore(link, node=node, durability=durability, **settings)
