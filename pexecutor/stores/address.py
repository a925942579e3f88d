"""What ``--store`` can say, and what is meant by it.

    memory
    sqlite                                          the file in the data directory
    sqlite:/var/lib/jobs.db                         that file
    valkey://[user[:password]@]host[:6379][/0]      a server; valkeys:// with TLS
    valkey+sentinel://host[:26379],host/service/0   the primary that these sentinels name; valkeys+sentinel:// with TLS

``redis`` and ``rediss`` mean the same as ``valkey`` and ``valkeys``. What a URL cannot hold as it is, is
percent-encoded (RFC 3986). A password is shown nowhere.
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
    """In the memory of the process."""

    @property
    def shown(self) -> str:
        """How it is shown."""
        return "memory"


class SqliteAddress(msgspec.Struct, frozen=True):
    """In a file; by default in the data directory."""

    file: Path | None = None

    @property
    def shown(self) -> str:
        """How it is shown."""
        return "sqlite" if self.file is None else f"sqlite:{self.file}"


class ValkeyAddress(msgspec.Struct, frozen=True):
    """On a server.

    Parameters:
        hosts: the server, or the sentinels that know which one it is.
        service: what the sentinels call it; ``None`` when ``hosts`` is the server itself.
        database: which of its databases.
        username, password: who we are there.
        tls: whether to speak TLS.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False

    @property
    def shown(self) -> str:
        """How it is shown: without the password."""
        scheme = ("valkeys" if self.tls else "valkey") + ("" if self.service is None else "+sentinel")
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{scheme}://{hosts}" + ("" if self.service is None else f"/{self.service}") + f"/{self.database}"

    def __repr__(self) -> str:
        return f"<ValkeyAddress {self.shown}>"


StoreAddress = MemoryAddress | SqliteAddress | ValkeyAddress


def parse_store(text: str) -> StoreAddress:
    """Read an address.

    Raises:
        ConfigError: it is none; says what is wrong with it, and what can be said.
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
        shown = repr(scheme) if _WORD.fullmatch(scheme) else "this"  # which may hold a password
        raise ConfigError(f"the store cannot be {shown}: give one of {ACCEPTED}")
    try:
        return _parse_server(urlsplit(text), tls=bool(match[1]), by_sentinels=bool(match[2]))
    except ValueError as error:
        raise ConfigError(
            f"the store's URL cannot be read, {error}: give it as {ACCEPTED.rpartition('PATH, ')[2]}"
        ) from None


def _parse_server(url: SplitResult, *, tls: bool, by_sentinels: bool) -> ValkeyAddress:
    if url.query or url.fragment:
        raise ValueError("it must end behind the database")
    who, _, where = url.netloc.rpartition("@")
    username, _, password = who.partition(":")
    port = SENTINEL_PORT if by_sentinels else SERVER_PORT
    hosts = tuple(_parse_host(host, port) for host in where.split(","))
    if len(hosts) > 1 and not by_sentinels:
        raise ValueError("there are several hosts and they are no sentinels")
    *service, database = [unquote(part) for part in url.path.strip("/").split("/")]
    if by_sentinels and not service:
        service, database = [database], "0"
    if len(service) != (1 if by_sentinels else 0) or not all(service):
        raise ValueError(
            "sentinels have to be asked for a service" if by_sentinels else "there is more than a database"
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
        raise ValueError("it names no host")
    return parts.hostname, _parse_port(parts) or default_port


def _parse_port(parts: SplitResult) -> int | None:
    """The port, without a word of what stands in its place: that may be the middle of a password."""
    with suppress(ValueError):
        if parts.port != 0:
            return parts.port
    raise ValueError("a port is a number from 1 to 65535 (in a password, / is written %2F, # %23 and ? %3F)")


def _parse_database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and int(text) <= DATABASES_MAX):
        raise ValueError("the database is not a number")
    return int(text or 0)
