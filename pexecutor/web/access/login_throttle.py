"""How often somebody has failed to show a token: a bounded number of tries for each address.

What is bounded is not the guessing: nobody guesses 256 bits. It is what failing costs us, a line in the log each, and
what a client with a wrong token should notice. So a token that is right is always let in, also from an address that
has used up its tries: behind a proxy, everybody has the same one, and nobody could lock the others out.

A bucket of tries for each address fills up again with time. An IPv6 network of 64 bits is one address: whoever has one
of it has them all.
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
    """Counts failures.

    Parameters:
        now: a clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = trio.current_time) -> None:
        self._now = now
        # When each peer will have all its tries again; the one that failed longest ago is the first, and goes first.
        self._full_at: dict[str, float] = {}

    def count(self, peer: str) -> int:
        """One more failure; the seconds that the peer has to wait for its next try, 0 while it has one."""
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
