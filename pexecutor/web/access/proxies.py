"""The proxies in front of this server: its base path, and the peers that are trusted to report their clients.

A request is read here before it is routed, whichever server has parsed it. The result is the request as its client sent
it: with the client's address, scheme and host, and with the part of the client's path that this server routes.

* **base_path** is what the paths of all requests begin with, if a proxy serves this server at a path and passes the
  path on. Requests outside of it are answered 404, except probes of the server itself.
* **X-Forwarded-For, -Proto, -Host and -Prefix** count only if the peer, which is the other end of the connection, is
  one of ``trusted_proxies``. Any client can send these headers, so from other peers they have no effect at all.

Without these settings, ``Proxies.front_of`` returns ``None``, and requests are taken as they are.

Road not taken: the middlewares of Hypercorn and Werkzeug (``ProxyFix``). They count proxies and do not look at the
peer, so a client that reaches the port without the proxy can choose its address. They do not cover the fast listener,
and they neither check the values nor bound them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...config import Config
from ...errors import ConfigError
from ..api.client_side import ClientSide
from .forwarded import HeaderValues, TrustedProxies, is_prefix, with_reported

NOWHERE: Final = b"/ "
"""The path that replaces one outside of the base path. No route has it, so the request is answered 404."""


class Proxies:
    """The proxies that the settings declare.

    Parameters:
        config: the settings.
        anywhere: the paths that are also answered outside of the base path.

    Raises:
        ConfigError: the base path or a proxy is invalid.
    """

    def __init__(self, config: Config, anywhere: Iterable[str]) -> None:
        base_path = BasePath(config.base_path, anywhere)
        self._trusted = TrustedProxies(config.trusted_proxies)
        self._of_others = Front(base_path, None) if config.base_path else None
        self._of_trusted = Front(base_path, self._trusted) if config.trusted_proxies else self._of_others

    def front_of(self, peer: str | None) -> Front | None:
        """Return how the requests of a peer are read, or ``None`` if they are taken as they are.

        Parameters:
            peer: the address of the other end of the connection, or ``None`` for a Unix socket.
        """
        if self._of_trusted is self._of_others:
            return self._of_others
        return self._of_trusted if self._trusted.include(peer) else self._of_others


class BasePath:
    """The path below which this server is served.

    Parameters:
        path: the path; empty to serve at the root.
        anywhere: the paths that are also answered outside of it.

    Raises:
        ConfigError: the path is invalid.
    """

    def __init__(self, path: str, anywhere: Iterable[str]) -> None:
        if path and not is_prefix(path):
            raise ConfigError(
                f"base_path cannot be {path!r}: write a path like /tasks-api, which begins with a slash, does not end"
                " with one, and has only letters, digits, -, ., _ and ~ between its slashes; leave it out to serve"
                " at the root"
            )
        self.text: str = path
        self._path = path.encode()
        self._begin = self._path + b"/"
        self._anywhere = {path.encode() for path in anywhere}

    def below(self, target: bytes) -> tuple[bytes, bool]:
        """Return the part of a target that is routed, and whether the target lacks the slash after the base path."""
        if target.startswith(self._begin):
            return target[len(self._path) :], False
        path, mark, query = target.partition(b"?")
        if path == self._path:
            return b"/" + mark + query, True
        return target if path in self._anywhere else NOWHERE, False


class Front:
    """Reads the requests of one kind of peers.

    Parameters:
        base_path: the base path.
        trusted: the trusted proxies, if the peers are among them, else ``None``.
    """

    def __init__(self, base_path: BasePath, trusted: TrustedProxies | None) -> None:
        self._base_path = base_path
        self._trusted = trusted

    def client_side(
        self, target: bytes, peer: str | None, scheme: str, hosts: list[str], header_values: HeaderValues
    ) -> ClientSide:
        """Return a request as its client sent it.

        Parameters:
            target: the path and the query, as received.
            peer: the address of the other end of the connection, or ``None`` for a Unix socket.
            scheme: the scheme of the connection.
            hosts: every host that the received request names.
            header_values: returns the values of the headers with a name, which is in lower case.
        """
        below, lacks_slash = self._base_path.below(target)
        side = ClientSide(below, self._base_path.text, peer, scheme, hosts, lacks_slash=lacks_slash)
        return side if self._trusted is None else with_reported(side, header_values, self._trusted)
