"""A primary that dies, and sentinels that name another one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from .node import at_work, eventually, eventually_ended, has_gone_on
from .server import ValkeyServer, valkey_server

SERVICE = """
sentinel monitor jobs 127.0.0.1 {port} 1
sentinel down-after-milliseconds jobs 500
sentinel failover-timeout jobs 3000
"""

QUICK = ("--repl-diskless-sync-delay", "0", "--shutdown-timeout", "0")

LEASE_SECONDS = 15.0
"""Two thirds of it are longer than a failover takes."""


@pytest.fixture
def primary(program: str, tmp_path: Path) -> Iterator[ValkeyServer]:
    with valkey_server(tmp_path / "primary", *QUICK, program=program) as server:
        yield server


@pytest.fixture
def replica(program: str, tmp_path: Path, primary: ValkeyServer) -> Iterator[ValkeyServer]:
    options = (*QUICK, "--replicaof", "127.0.0.1", str(primary.port))
    with valkey_server(tmp_path / "replica", *options, program=program) as server:
        server.until("INFO replication", b"master_link_status:up")
        yield server


@pytest.fixture
def sentinel(program: str, tmp_path: Path, primary: ValkeyServer, replica: ValkeyServer) -> Iterator[ValkeyServer]:
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(SERVICE.format(port=primary.port))
    with valkey_server(tmp_path / "sentinel", str(configuration), "--sentinel", program=program) as server:
        server.command("SENTINEL", "DEBUG", "INFO-PERIOD", "200")
        server.until("SENTINEL REPLICAS jobs", str(replica.port).encode())
        yield server


@pytest.fixture
def silent_sentinel() -> Iterator[int]:
    """The port of one that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


async def test_the_new_primary_is_found(
    primary: ValkeyServer, replica: ValkeyServer, sentinel: ValkeyServer, silent_sentinel: int
) -> None:
    url = f"valkey+sentinel://127.0.0.1:{silent_sentinel},127.0.0.1:{sentinel.port}/jobs/0"
    async with at_work(url, queue="jobs", lease_seconds=LEASE_SECONDS) as node:
        replica.until("ZCARD pexecutor:{jobs}:running", b":2")
        primary.kill()
        assert "cannot be reached" in await node.refusal("refused")
        node.gate.open()
        await eventually_ended(node, "one", "two")
        await has_gone_on(node)
    assert accepted(replica) >= 4


async def test_a_primary_that_was_replaced_is_left_while_it_still_takes_writes(
    primary: ValkeyServer, replica: ValkeyServer, sentinel: ValkeyServer
) -> None:
    url = f"valkey+sentinel://127.0.0.1:{sentinel.port}/jobs/0"
    async with at_work(url, queue="jobs", lease_seconds=LEASE_SECONDS) as node:
        replica.until("ZCARD pexecutor:{jobs}:running", b":2")
        await eventually_says(sentinel, "SENTINEL FAILOVER jobs", b"+OK")
        await eventually_says(replica, "CLIENT LIST", b"name=pexecutor")
        assert b"master" in primary.command("ROLE")
        node.gate.open()
        await has_gone_on(node)
    assert accepted(replica) == 4


async def eventually_says(server: ValkeyServer, command: str, answer: bytes) -> None:
    """As ``server.until``, while the node goes on."""

    async def says() -> bool:
        await trio.lowlevel.checkpoint()
        return answer in server.command(*command.split())

    await eventually(says)


def accepted(server: ValkeyServer) -> int:
    """How many tasks it knows of."""
    return int(server.command("HLEN", "pexecutor:{jobs}:record").removeprefix(b":"))
