"""On a cluster, all keys of a queue lie on one of its nodes, whichever node is named."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from pexecutor.conformance import GUARANTEES, Standing, try_all
from pexecutor.conformance.shared import ValkeySubject

from .conftest import KEEPS_ALL
from .node import address_of, at_work, has_gone_on
from .server import ValkeyServer, free_port, valkey_server

CLUSTERED = (*KEEPS_ALL, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
SLOTS = 16384


@pytest.fixture(scope="module")
def halves(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ValkeyServer]]:
    """A cluster of two, each of which has half of the slots."""
    folder = tmp_path_factory.mktemp("cluster")
    # By default the nodes talk to each other on the port of the clients plus 10,000, which may be in use.
    first_bus, second_bus = str(free_port()), str(free_port())
    with (
        valkey_server(folder / "first", *CLUSTERED, "--cluster-port", first_bus, program=program) as first,
        valkey_server(folder / "second", *CLUSTERED, "--cluster-port", second_bus, program=program) as second,
    ):
        first.command("CLUSTER", "ADDSLOTSRANGE", "0", str(SLOTS // 2 - 1))
        second.command("CLUSTER", "ADDSLOTSRANGE", str(SLOTS // 2), str(SLOTS - 1))
        second.command("CLUSTER", "SET-CONFIG-EPOCH", "2")
        first.command("CLUSTER", "MEET", "127.0.0.1", str(second.port), second_bus)
        for server in (first, second):
            server.until("CLUSTER INFO", b"cluster_state:ok")
        yield [first, second]


async def test_every_promise_is_kept(halves: list[ValkeyServer]) -> None:
    subject = ValkeySubject(address_of(halves[0].url))
    async with subject.opened():
        findings = await try_all(subject, GUARANTEES)
    assert [finding for finding in findings if finding.standing is not Standing.HOLDS] == []
    assert [server.command("DBSIZE") for server in halves] == [b":0\r\n", b":0\r\n"], "nothing is left of it"


async def test_whichever_node_is_named(halves: list[ValkeyServer]) -> None:
    named, other = halves
    queue = next(f"jobs-{n}" for n in count() if slot_of(named, f"pexecutor:{{jobs-{n}}}") >= SLOTS // 2)
    async with at_work(named.url, queue=queue, durability="fsync") as node:
        node.gate.open()
        await has_gone_on(node)
    assert other.command("EXISTS", f"pexecutor:{{{queue}}}:meta") == b":1\r\n"


def slot_of(server: ValkeyServer, key: str) -> int:
    return int(server.command("CLUSTER", "KEYSLOT", key)[1:])
