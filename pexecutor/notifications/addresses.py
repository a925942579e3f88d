"""Find the addresses of a receiver, and refuse those that belong to a private network or to this machine.

A name is looked up once for each attempt. The connection is made to one of the addresses that this look-up gave and
that were checked here, not to the name. So a name that gives another address at the next look-up ("DNS rebinding")
reaches nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import trio

ADDRESSES_TRIED_MAX: Final = 4
"""How many addresses of a name one attempt tries."""

_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""The addresses that a gateway translates to IPv4 (RFC 6052)."""


class PrivateAddressError(Exception):
    """Every address of a receiver is private, and ``allow_private`` is false. The operator must change the settings."""


async def addresses_of(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Return the addresses of a host to which a connection may be made, at most ``ADDRESSES_TRIED_MAX``.

    Raises:
        OSError: the name is unknown, or the look-up failed.
        PrivateAddressError: all addresses are private.
    """
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    allowed = addresses if allow_private else list(filter(is_public, addresses))
    if addresses and not allowed:
        raise PrivateAddressError
    return allowed[:ADDRESSES_TRIED_MAX]


def is_public(text: str) -> bool:
    """Return whether an address belongs to the public network, also if it is an IPv4 address within an IPv6 one."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return all(map(_is_public, _meant(address)))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _meant(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """Yield the addresses that a packet to an address may reach: itself, or the IPv4 addresses that it stands for."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _TRANSLATED:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    else:
        yield address
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield from address.teredo
