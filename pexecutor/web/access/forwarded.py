"""The headers in which trusted proxies report the client, and the setting ``trusted_proxies``.

The address of the client is the rightmost one in ``X-Forwarded-For`` that is not a trusted proxy: each proxy appends
the address of its own peer, so everything to the left of that address is only what the client claims. For the other
headers, the value of the nearest proxy counts, which is the last one.

An invalid header of a trusted proxy is a fault, with which the gate answers 400. If the header were ignored, the proxy
would count as the client. The address of a proxy on this machine is a loopback one, so the server would take a remote
client for a local one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from ...errors import ConfigError
from ..api.client_side import ClientSide
from .origin import canonical_address, parse_authority

UNIX: Final = "unix"
"""The entry of ``trusted_proxies`` that stands for all clients of a Unix socket."""

FORWARDED_CHARACTERS_MAX: Final = 1024
PREFIX_CHARACTERS_MAX: Final = 255
PEERS_REMEMBERED_MAX: Final = 1024

_PREFIX: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+")
"""Paths with one spelling: no empty segments, no segments of dots, no final slash, nothing percent-encoded."""

_WITH_PORT: Final = re.compile(r"\[(?P<ipv6>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|(?P<ipv4>[0-9.]+):[0-9]{1,5}")

_FOR: Final = b"x-forwarded-for"

Address = IPv4Address | IPv6Address
HeaderValues = Callable[[bytes], list[str]]


class TrustedProxies:
    """The peers whose headers are trusted.

    Parameters:
        listed: addresses and networks, and ``unix`` for the clients of a Unix socket.

    Raises:
        ConfigError: an entry is invalid.
    """

    def __init__(self, listed: Sequence[str]) -> None:
        self._networks = [_network(text) for text in listed if text != UNIX]
        self._has_unix = UNIX in listed
        self._include = lru_cache(PEERS_REMEMBERED_MAX)(self._include_text)

    def include(self, peer: str | None) -> bool:
        """Return whether the peer at this address is trusted; ``None`` is a client of a Unix socket."""
        return self._has_unix if peer is None else self._include(peer)

    def _include_text(self, peer: str) -> bool:
        try:
            return self.include_address(ip_address(canonical_address(peer)))
        except ValueError:
            return False

    def include_address(self, address: Address) -> bool:
        """Return whether an address in canonical form is trusted."""
        return any(address in network for network in self._networks)


def with_reported(side: ClientSide, header_values: HeaderValues, trusted: TrustedProxies) -> ClientSide:
    """Return a request with what its trusted proxies report in its headers."""
    reported = {name: ",".join(values) for name in _READERS if (values := header_values(name))}
    for name, text in reported.items():
        try:
            if len(text) > FORWARDED_CHARACTERS_MAX:
                raise ValueError("too long")
            side = _READERS[name](side, text, trusted)
        except ValueError:
            return side._replace(is_remote=True, fault=_fault(name))
    if reported and _FOR not in reported:
        return side._replace(is_remote=True)  # a proxy passed the request on, and does not say for which client
    return side


def is_prefix(text: str) -> bool:
    """Return whether a text may come before the paths of this server."""
    return len(text) <= PREFIX_CHARACTERS_MAX and _PREFIX.fullmatch(text) is not None


def _read_for(side: ClientSide, text: str, trusted: TrustedProxies) -> ClientSide:
    is_remote = False
    for entry in reversed([entry for part in text.split(",") if (entry := part.strip())]):
        address = _address(entry)
        is_remote = is_remote or not address.is_loopback
        side = side._replace(address=str(address), is_remote=is_remote)
        if not trusted.include_address(address):
            return side
    if not text.strip(", \t"):
        raise ValueError("no address")
    return side


def _read_proto(side: ClientSide, text: str, _: TrustedProxies) -> ClientSide:
    scheme = _last(text).lower()
    if scheme not in ("http", "https"):
        raise ValueError("neither http nor https")
    return side._replace(scheme=scheme)


def _read_host(side: ClientSide, text: str, _: TrustedProxies) -> ClientSide:
    host = _last(text)
    if parse_authority(host) is None:
        raise ValueError("not a host")
    return side._replace(hosts=[host])


def _read_prefix(side: ClientSide, text: str, _: TrustedProxies) -> ClientSide:
    # The proxy has removed its prefix, so the client has to write it before the base path.
    prefix = _last(text).removesuffix("/")
    if prefix and not is_prefix(prefix):
        raise ValueError("not a prefix")
    return side._replace(prefix=prefix + side.prefix)


_READERS: Final[dict[bytes, Callable[[ClientSide, str, TrustedProxies], ClientSide]]] = {
    _FOR: _read_for,
    b"x-forwarded-proto": _read_proto,
    b"x-forwarded-host": _read_host,
    b"x-forwarded-prefix": _read_prefix,
}
"""The headers that count, each with a function that takes its value over; it raises ``ValueError`` if it is invalid."""


def _last(text: str) -> str:
    return text.rpartition(",")[2].strip()


def _fault(name: bytes) -> str:
    shown = name.decode().title()
    return f"invalid {shown} header from a trusted proxy: check the settings of the proxy, or of trusted_proxies"


def _address(entry: str) -> Address:
    """Return the address in an entry of ``X-Forwarded-For``, which may have a port.

    Raises:
        ValueError: the entry is not an address.
    """
    match = _WITH_PORT.fullmatch(entry)
    address = ip_address(entry if match is None else match["ipv6"] or match["ipv4"])
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("a zone means nothing on another machine")
        return address.ipv4_mapped or address
    return address


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        if "%" in text:
            raise ValueError("an address has no zone here")
        network = ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"trusted_proxies: {text!r} is not an address or a network ({error}); write entries like 10.0.0.7,"
            " 10.0.0.0/8, fd00::/8 or unix"
        ) from error
    if isinstance(network, IPv6Network) and (mapped := network.network_address.ipv4_mapped) is not None:
        return IPv4Network((mapped, max(0, network.prefixlen - 96)))
    return network
