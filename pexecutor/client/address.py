"""The address of a server: checks of the URL and the token, and what they mean for the connection."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import httpx2

from ..errors import ConfigError
from ..limits.defaults import HOST, PORT

URL_VARIABLE: Final = "PEXECUTOR_URL"
TOKEN_VARIABLE: Final = "PEXECUTOR_TOKEN"
DEFAULT_URL: Final = f"http://{HOST}:{PORT}"

_UNIX: Final = "unix://"
_UNIX_BASE: Final = httpx2.URL("http://localhost")
"""The base of requests over a Unix socket: servers accept ``localhost`` as the name of the host."""


class ServerAddress(NamedTuple):
    """Where a server is.

    Parameters:
        shown: the URL for messages.
        base: the URL with which the URLs of requests begin.
        socket_path: the path of the Unix socket to connect to; ``None`` for TCP.
    """

    shown: str
    base: httpx2.URL
    socket_path: str | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine. A proxy cannot reach its loopback."""
        return self.socket_path is not None or _is_loopback(self.base.host)

    @property
    def is_plain(self) -> bool:
        """Whether requests need TCP alone: no TLS, no proxy and no Unix socket."""
        return self.socket_path is None and self.base.scheme == "http" and (self.is_loopback or not getproxies())


def address_of(url: str | None, environment: Mapping[str, str] = os.environ) -> ServerAddress:
    """Return the address that a URL gives, or else the variable ``PEXECUTOR_URL``, or else the default address.

    Raises:
        ConfigError: the URL is invalid.
    """
    given = url or environment.get(URL_VARIABLE) or DEFAULT_URL
    if given.startswith(_UNIX):
        return ServerAddress(given, _UNIX_BASE, _socket_path(given))
    shown = given.rstrip("/")
    return ServerAddress(shown, _checked(shown))


def verification(
    address: ServerAddress, ssl_context: ssl.SSLContext | None, environment: Mapping[str, str] = os.environ
) -> ssl.SSLContext | bool:
    """Return how the HTTP client checks the certificate of a server.

    For a server on this machine, the HTTP client ignores the environment because of proxies, and so also the variables
    of certificates. They are read here, because such a server is the one with a certificate of its own.

    Raises:
        ConfigError: the files that the variables name cannot be used.
    """
    if address.base.scheme != "https":
        return False  # loading the certificates takes long
    file, directory = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    if ssl_context is not None or not (file or directory):
        return ssl_context or True
    try:
        return ssl.create_default_context(cafile=file) if file else ssl.create_default_context(capath=directory)
    except OSError as error:
        named = f"SSL_CERT_FILE names {file}" if file else f"SSL_CERT_DIR names {directory}"
        raise ConfigError(f"{named}, which has no certificates: {error.strerror or error}") from error


def token_of(token: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return a token, or else the one in the variable ``PEXECUTOR_TOKEN``; an empty token means none.

    Raises:
        ConfigError: the token has characters that no header can have.
    """
    given = environment.get(TOKEN_VARIABLE) if token is None else token
    if given and not (given.isascii() and given.isprintable() and " " not in given):
        raise ConfigError("the token contains invalid characters")
    return given or None


def _socket_path(url: str) -> str:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or not path.strip("/") or parts.query or parts.fragment or "\0" in path:
        raise ConfigError(f"{url!r} is not the URL of a Unix socket: write it as in unix:///run/pexecutor.sock")
    return path


def _checked(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ConfigError(f"{url!r} is not a URL: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"{url!r} is not the URL of a server: write http:// or https:// and a host")
    if parsed.query or parsed.fragment:
        raise ConfigError(f"{url!r} is not the URL of a server: remove the query and the fragment")
    return parsed


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
