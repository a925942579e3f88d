"""What ``--store`` can say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pexecutor.errors import ConfigError
from pexecutor.stores.address import MemoryAddress, SqliteAddress, StoreAddress, ValkeyAddress, parse_store

LOCAL = (("127.0.0.1", 6379),)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("memory", MemoryAddress()),
        ("sqlite", SqliteAddress()),
        ("sqlite:/var/lib/jobs.db", SqliteAddress(Path("/var/lib/jobs.db"))),
        ("valkey://127.0.0.1", ValkeyAddress(LOCAL)),
        ("redis://127.0.0.1:6379/", ValkeyAddress(LOCAL)),
        ("valkey://[::1]:6380/3", ValkeyAddress((("::1", 6380),), database=3)),
        ("rediss://127.0.0.1/1", ValkeyAddress(LOCAL, database=1, tls=True)),
        ("valkey://:p%40ss@127.0.0.1", ValkeyAddress(LOCAL, password="p@ss")),
        ("valkey://me:p:q@127.0.0.1", ValkeyAddress(LOCAL, username="me", password="p:q")),
        ("valkey+sentinel://a,b:1/jobs", ValkeyAddress((("a", 26379), ("b", 1)), service="jobs")),
        ("valkeys+sentinel://a/jobs/2", ValkeyAddress((("a", 26379),), service="jobs", database=2, tls=True)),
    ],
)
def test_what_it_means(text: str, meant: StoreAddress) -> None:
    assert parse_store(text) == meant
    assert parse_store(meant.shown) == _without_secrets(meant), "what is shown can be given"


def _without_secrets(address: StoreAddress) -> StoreAddress:
    if isinstance(address, ValkeyAddress):
        return ValkeyAddress(address.hosts, address.service, address.database, tls=address.tls)
    return address


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "memory, sqlite"),
        ("sqlite:", "memory, sqlite"),
        ("postgres://x", "'postgres'"),
        ("valkey://", "host is missing"),
        ("valkey://a,b", "only an address with sentinels"),
        ("valkey://a:x", "a port is a number"),
        ("valkey://a:0", "a port is a number"),
        ("valkey://a:65536", "a port is a number"),
        ("valkey://a/b", "not a number"),
        ("valkey://a/0/1", "may only be a database"),
        ("valkey://a/0?b=c", "nothing may follow the database"),
        ("valkey+sentinel://a", "needs a service"),
    ],
)
def test_what_it_cannot_say(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_store(text)


@pytest.mark.parametrize(
    "text",
    [
        "valkey://me:secret@127.0.0.1/x",
        "valkey://me:secret/@127.0.0.1",
        "valkey://me:/secret@127.0.0.1",
        "valkey://me:secret#@127.0.0.1",
        "valkey://me:?secret@127.0.0.1",
        "valkey:me:secret@127.0.0.1",
        "valkey://me:secret@[127.0.0.1",
    ],
)
def test_a_password_is_in_no_complaint(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_store(text)
    assert "secret" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    address = parse_store("valkey://me:secret@127.0.0.1")
    assert "secret" not in f"{address!r} {address.shown}"
