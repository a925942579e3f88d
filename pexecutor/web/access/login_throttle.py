"""A limit on failed attempts to authenticate: a bounded number of tries for each client address.

The limit does not protect the tokens, since 256 bits cannot be guessed. It bounds the cost of failures, each of which
writes a line to the log, and it makes a client with a wrong token notice. A known token is always accepted, even from
an address that has used up its tries. Otherwise one client behind a proxy could lock out all the others, which share
its address.

Each address has a bucket of tries that fills up again with time. An IPv6 network of 64 bits counts as one address,
because a client that has one of its addresses usually has them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

import trio

TRIES_MAX: Final = 10
SECONDS_PER_TRY: Final = 6.0
PEERS_MAX: Final = 10_000
IPV6_PREFIX_BITS: Final = 64


class FailedAttempts:
    """Counts failed attempts by client address.

    Parameters:
        now: a clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = trio.current_time) -> None:
        self._now = now
        # The time when each peer will have all its tries again. The peer that failed longest ago comes first, and is
        # forgotten first.
        self._full_at: dict[str, float] = {}

    def count(self, peer: str) -> int:
        """Count one more failure; return how many seconds the peer has to wait, 0 while it has tries left."""
        key, now = _network(peer), self._now()
        full_at = max(self._full_at.pop(key, now), now)
        wait = full_at + SECONDS_PER_TRY - (now + TRIES_MAX * SECONDS_PER_TRY)
        self._full_at[key] = full_at if wait > 0 else full_at + SECONDS_PER_TRY
        if len(self._full_at) > PEERS_MAX:
            del self._full_at[next(iter(self._full_at))]
        return math.ceil(max(0.0, wait))

    def __len__(self) -> int:
        return len(self._full_at)


def _network(peer: str) -> str:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Network((address, IPV6_PREFIX_BITS), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
