"""Store addresses: the values of ``--store``.

    memory
    sqlite                                          the file in the data directory
    sqlite:/var/lib/jobs.db                         that file
    valkey://[user[:password]@]host[:6379][/0]      a server; valkeys:// with TLS
    valkey+sentinel://host[:26379],host/service/0   the primary that these sentinels name; valkeys+sentinel:// with TLS

``redis`` and ``rediss`` are other names for ``valkey`` and ``valkeys``. Characters that a URL cannot hold are
percent-encoded (RFC 3986). A password is never shown.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from ..errors import ConfigError

SERVER_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
DATABASES_MAX: Final = 2**31 - 1

ACCEPTED: Final = (
    "memory, sqlite, sqlite:PATH, valkey://HOST:PORT/DATABASE, valkey+sentinel://HOST:PORT,HOST:PORT/SERVICE"
)

_SCHEME: Final = re.compile(r"(?:valkey|redis)(s?)(\+sentinel)?")
_WORD: Final = re.compile(r"[\w+.-]*")


class MemoryAddress(msgspec.Struct, frozen=True):
    """The address of a store in the memory of the process."""

    @property
    def shown(self) -> str:
        """The address as messages show it."""
        return "memory"


class SqliteAddress(msgspec.Struct, frozen=True):
    """The address of a store in a file; ``None`` stands for the file in the data directory."""

    file: Path | None = None

    @property
    def shown(self) -> str:
        """The address as messages show it."""
        return "sqlite" if self.file is None else f"sqlite:{self.file}"


class ValkeyAddress(msgspec.Struct, frozen=True):
    """The address of a store on a Valkey or Redis server.

    Parameters:
        hosts: the server, or the sentinels that name it.
        service: the name that the sentinels have for the server; ``None`` when ``hosts`` is the server itself.
        database: the number of the database on the server.
        username, password: the credentials for the server.
        tls: whether to connect with TLS.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False

    @property
    def shown(self) -> str:
        """The address as messages show it: without the password."""
        scheme = ("valkeys" if self.tls else "valkey") + ("" if self.service is None else "+sentinel")
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{scheme}://{hosts}" + ("" if self.service is None else f"/{self.service}") + f"/{self.database}"

    def __repr__(self) -> str:
        return f"<ValkeyAddress {self.shown}>"


StoreAddress = MemoryAddress | SqliteAddress | ValkeyAddress


def parse_store(text: str) -> StoreAddress:
    """Parse a store address.

    Raises:
        ConfigError: the address is invalid; the message says why, and lists the valid forms.
    """
    if text == "memory":
        return MemoryAddress()
    if text == "sqlite":
        return SqliteAddress()
    if text.startswith("sqlite:") and text != "sqlite:":
        return SqliteAddress(Path(text.removeprefix("sqlite:")))
    scheme, separator, _ = text.partition("://")
    match = _SCHEME.fullmatch(scheme)
    if not separator or match is None:
        shown = repr(scheme) if _WORD.fullmatch(scheme) else "this value"  # the text may contain a password
        raise ConfigError(f"the store cannot be {shown}: use one of {ACCEPTED}")
    try:
        return _parse_server(urlsplit(text), tls=bool(match[1]), by_sentinels=bool(match[2]))
    except ValueError as error:
        raise ConfigError(f"invalid store URL, {error}: write it as {ACCEPTED.rpartition('PATH, ')[2]}") from None


def _parse_server(url: SplitResult, *, tls: bool, by_sentinels: bool) -> ValkeyAddress:
    if url.query or url.fragment:
        raise ValueError("nothing may follow the database")
    who, _, where = url.netloc.rpartition("@")
    username, _, password = who.partition(":")
    port = SENTINEL_PORT if by_sentinels else SERVER_PORT
    hosts = tuple(_parse_host(host, port) for host in where.split(","))
    if len(hosts) > 1 and not by_sentinels:
        raise ValueError("only an address with sentinels may name several hosts")
    *service, database = [unquote(part) for part in url.path.strip("/").split("/")]
    if by_sentinels and not service:
        service, database = [database], "0"
    if len(service) != (1 if by_sentinels else 0) or not all(service):
        raise ValueError(
            "an address with sentinels needs a service" if by_sentinels else "the path may only be a database number"
        )
    return ValkeyAddress(
        hosts,
        service[0] if service else None,
        _parse_database(database),
        unquote(username) or None,
        unquote(password) or None,
        tls,
    )


def _parse_host(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("the host is missing")
    return parts.hostname, _parse_port(parts) or default_port


def _parse_port(parts: SplitResult) -> int | None:
    """Return the port, or ``None`` if none is given. Errors do not quote the text: it may be part of a password."""
    with suppress(ValueError):
        if parts.port != 0:
            return parts.port
    raise ValueError("a port is a number from 1 to 65535 (in a password, write / as %2F, # as %23 and ? as %3F)")


def _parse_database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and int(text) <= DATABASES_MAX):
        raise ValueError(f"the database is not a number from 0 to {DATABASES_MAX}")
    return int(text or 0)
