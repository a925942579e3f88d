"""Whose request is it: the names that this server has, and the pages that are its own.

Two attacks come through the browser of somebody who may reach this server:

* **DNS rebinding**: a page of ``evil.example`` has its name point to this machine, and is then of the same origin as
  what it asks. The name is still in the Host, and it is none of ours. Ours are the loopback's, the address that was
  bound, the address that the connection came in at, and what ``allowed_hosts`` adds. Not any IP address: ``0.0.0.0``
  reaches the loopback too.
* **Cross-site request forgery**: a page of another origin sends a request, with the user's cookie or from the user's
  machine. Browsers say in ``Origin`` who asks, and the newer ones in ``Sec-Fetch-Site``. Neither may say another site.

The port is a part of an origin and no part of a name: another program's page on this machine is another site. What a
proxy says of an outer host (``X-Forwarded-Host``) anybody can say, so it is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from ...errors import ConfigError

AUTHORITY_CHARACTERS_MAX: Final = 255 + len(":65535")
REMEMBERED_MAX: Final = 256
"""How many texts are looked at once only: the same few come with every request."""

_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<ipv6>[0-9a-f:.]{2,45})\]|(?P<name>[a-z0-9._-]{1,255}))(?::(?P<port>[0-9]{0,5}))?",
    re.ASCII | re.IGNORECASE,
)
_ORIGIN: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>.+)", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Authority(NamedTuple):
    """A host, in the one way in which it is written here, and the port that was given."""

    name: str
    port: int | None

    def port_under(self, scheme: str) -> int:
        """The port that is meant."""
        return _DEFAULT_PORTS[scheme] if self.port is None else self.port


def parse_authority(text: str) -> Authority | None:
    """A host with or without a port; ``None`` when it is none. There is no user in it, and no zone."""
    return _parse(text) if len(text) <= AUTHORITY_CHARACTERS_MAX else None


@lru_cache(REMEMBERED_MAX)
def _parse(text: str) -> Authority | None:
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    try:
        # One dot at the end makes a name absolute, and no other name. Two are no name.
        name = _written(IPv6Address(match["ipv6"])) if match["ipv6"] else _canonical(match["name"].removesuffix("."))
    except ValueError:
        return None
    return Authority(name, int(match["port"]) if match["port"] else None)


@lru_cache(REMEMBERED_MAX)
def is_loopback(host: str) -> bool:
    """Whether a name or an address is of this machine alone."""
    name = canonical_address(host)
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def canonical_address(text: str) -> str:
    """An address as a socket has it, in the one way in which it is written here; a name stays as it is."""
    return _canonical(text.partition("%")[0])


def _canonical(name: str) -> str:
    try:
        return _written(ip_address(name))
    except ValueError:
        return name.lower()


def _written(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


class OwnNames:
    """The hosts and origins that are this server's.

    Parameters:
        bound: the host that was asked to be listened on.
        allowed: further hosts, with a port or without.

    Raises:
        ConfigError: one of the further ones is no host.
    """

    def __init__(self, bound: str, allowed: Sequence[str]) -> None:
        self._allowed = {_allowed(text) for text in allowed}
        self._names = {authority.name for authority in self._allowed if authority.port is None}
        name = canonical_address(bound)
        if not _is_everywhere(name):
            self._names.add(name)

    def have(self, host: Authority, local_address: str | None) -> bool:
        """Whether a request for this host is for us.

        Parameters:
            local_address: our end of the connection that it came over, if that has one.
        """
        if is_loopback(host.name) or host.name in self._names or host in self._allowed:
            return True
        return local_address is not None and host.name == canonical_address(local_address)

    def have_origin(self, origin: str, host: Authority | None, scheme: str) -> bool:
        """Whether a page of this origin is one of ours.

        Parameters:
            host: what the request is for.
            scheme: how the request came. A plain one may have come through a proxy that ends TLS.
        """
        match = _ORIGIN.fullmatch(origin)
        authority = None if match is None else parse_authority(match["authority"])
        if match is None or authority is None:
            return False
        theirs = match["scheme"].lower()
        if scheme == "https" and theirs != "https":
            return False
        return any(
            authority.name == own.name and authority.port_under(theirs) == own.port_under(theirs)
            for own in [*self._allowed, *([] if host is None else [host])]
        )


def _allowed(text: str) -> Authority:
    authority = parse_authority(text)
    if authority is None or _is_everywhere(authority.name):
        raise ConfigError(f"allowed_hosts: {text!r} is no host; write it like tasks.example.org or 192.0.2.1:8080")
    return authority


def _is_everywhere(name: str) -> bool:
    return name in ("0.0.0.0", "::")
