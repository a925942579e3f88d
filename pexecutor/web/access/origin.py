"""The names of this server, and the origins of its own pages.

Two attacks use the browser of a user who can reach this server:

* **DNS rebinding**: ``evil.example`` changes its DNS record to point to this machine, so its page has the same origin
  as the server. The Host header still contains ``evil.example``, which is not a name of this server. The server's names
  are the loopback's, the address that it is bound to, the address at which the connection arrived, and
  ``allowed_hosts``. Other IP addresses are not accepted, because ``0.0.0.0`` also reaches the loopback.
* **Cross-site request forgery**: a page of another origin sends a request, with the user's cookie or from the user's
  machine. Browsers report the page's origin in ``Origin``, and newer browsers also in ``Sec-Fetch-Site``. A request is
  refused if either header reports another site.

The port is part of an origin but not of a name. So a page of another program on this machine counts as another site.
``X-Forwarded-Host`` is ignored, because any client can send it.
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
"""How many parsed hosts are cached; the same few come with every request."""

_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<ipv6>[0-9a-f:.]{2,45})\]|(?P<name>[a-z0-9._-]{1,255}))(?::(?P<port>[0-9]{0,5}))?",
    re.ASCII | re.IGNORECASE,
)
_ORIGIN: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>.+)", re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Authority(NamedTuple):
    """A host in canonical form, and the port if one was given."""

    name: str
    port: int | None

    def port_under(self, scheme: str) -> int:
        """Return the port, or the default port of the scheme."""
        return _DEFAULT_PORTS[scheme] if self.port is None else self.port


def parse_authority(text: str) -> Authority | None:
    """Return the host and port in a text, or ``None`` if the text is invalid, as it is with a user or a zone."""
    return _parse(text) if len(text) <= AUTHORITY_CHARACTERS_MAX else None


@lru_cache(REMEMBERED_MAX)
def _parse(text: str) -> Authority | None:
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    try:
        # One final dot makes a name absolute but does not change it, so it is removed. Two final dots are invalid.
        name = _formatted(IPv6Address(match["ipv6"])) if match["ipv6"] else _canonical(match["name"].removesuffix("."))
    except ValueError:
        return None
    return Authority(name, int(match["port"]) if match["port"] else None)


@lru_cache(REMEMBERED_MAX)
def is_loopback(host: str) -> bool:
    """Return whether a name or an address is a loopback one."""
    name = canonical_address(host)
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def canonical_address(text: str) -> str:
    """Return a socket's address in canonical form, without a zone; a name is only put in lower case."""
    return _canonical(text.partition("%")[0])


def _canonical(name: str) -> str:
    try:
        return _formatted(ip_address(name))
    except ValueError:
        return name.lower()


def _formatted(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


class ServerNames:
    """The hosts and origins of this server.

    Parameters:
        bound: the host that the settings tell the server to listen on.
        allowed: further hosts, with or without a port.

    Raises:
        ConfigError: an allowed host is invalid.
    """

    def __init__(self, bound: str, allowed: Sequence[str]) -> None:
        self._allowed = {_allowed(text) for text in allowed}
        self._names = {authority.name for authority in self._allowed if authority.port is None}
        name = canonical_address(bound)
        if not _is_wildcard(name):
            self._names.add(name)

    def include(self, host: Authority, local_address: str | None) -> bool:
        """Return whether a request for this host is meant for this server.

        Parameters:
            local_address: the server's address on the connection, or ``None`` for a Unix socket.
        """
        if is_loopback(host.name) or host.name in self._names or host in self._allowed:
            return True
        return local_address is not None and host.name == canonical_address(local_address)

    def include_origin(self, origin: str, host: Authority | None, scheme: str) -> bool:
        """Return whether pages of this origin belong to this server.

        Parameters:
            host: the host of the request.
            scheme: the scheme of the request. With ``http``, an ``https`` origin is accepted as well, because a proxy
                may have ended TLS.
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
    if authority is None or _is_wildcard(authority.name):
        raise ConfigError(
            f"allowed_hosts: {text!r} is not a valid host; write it like tasks.example.org or 192.0.2.1:8080"
        )
    return authority


def _is_wildcard(name: str) -> bool:
    return name in ("0.0.0.0", "::")
