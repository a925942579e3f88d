"""Whatever befalls the server: submits are told why, what runs ends and is recorded once, all goes on by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from .conftest import KEEPS_ALL
from .node import ANode, a_node, at_work, eventually, eventually_ended, eventually_runs, has_gone_on, holds
from .proxy import Proxy, proxy_to
from .server import ValkeyServer, free_port, valkey_server

Break = Callable[[ValkeyServer, Proxy], None]


def lose_primary(server: ValkeyServer, _: Proxy) -> None:
    """Be a replica of a primary that nobody knows; so it keeps its data."""
    assert server.command("REPLICAOF", "127.0.0.1", str(free_port())) == b"+OK\r\n"


def be_promoted(server: ValkeyServer, _: Proxy) -> None:
    assert server.command("REPLICAOF", "NO", "ONE") == b"+OK\r\n"


def refuse_stale_reads(server: ValkeyServer, proxy: Proxy) -> None:
    server.set("replica-serve-stale-data", "no")
    lose_primary(server, proxy)


SILENT = "cannot be reached: (the server does not respond|the connection broke)"
"""Why a silent server cannot be reached; the connection is broken already if a beat was the first to time out."""

FAULTS: dict[str, tuple[Break, Break, str]] = {
    "crash": (lambda server, _: server.kill(), lambda server, _: server.start(), "cannot be reached: "),
    "hang": (lambda server, _: server.pause(), lambda server, _: server.resume(), SILENT),
    "read_only": (lose_primary, be_promoted, "is a replica at present: wait until it is promoted, or check --store"),
    "master_down": (refuse_stale_reads, be_promoted, "is a replica at present"),
    "stalled_network": (lambda _, proxy: proxy.stall(), lambda _, proxy: proxy.mend(), SILENT),
    "closed_network": (lambda _, proxy: proxy.close(), lambda _, proxy: proxy.mend(), "cannot be reached: "),
}


@pytest.fixture
def own_server(program: str, tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server that the test may break."""
    with valkey_server(tmp_path / "server", *KEEPS_ALL, program=program) as server:
        yield server


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_server_that_cannot_be_asked_for_a_while(fault: str, own_server: ValkeyServer) -> None:
    breaks, mends, why = FAULTS[fault]
    async with proxy_to(own_server.port) as proxy, at_work(proxy.url) as node:
        breaks(own_server, proxy)
        assert re.search(why, await node.refusal("refused"))
        assert not await node.is_ready()
        node.gate.open()
        await eventually_ended(node, "one", "two")
        mends(own_server, proxy)
        await has_gone_on(node)


async def test_a_server_that_loads_its_data(tmp_path: Path, program: str) -> None:
    with valkey_server(tmp_path / "server", *KEEPS_ALL, "--enable-debug-command", "yes", program=program) as server:
        server.command("DEBUG", "POPULATE", "2000")
        server.command("BGREWRITEAOF")
        server.until("INFO persistence", b"aof_rewrite_in_progress:0")
        async with at_work(server.url) as node:
            server.kill()
            server.options += ("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024")
            server.launch()
            await eventually(lambda: says(node, "is loading its data: wait"))
            node.gate.open()
            await has_gone_on(node)


async def says(node: ANode, why: str) -> bool:
    return why in await node.refusal("refused")


async def test_a_server_that_is_out_of_memory_still_ends_what_it_has(own_server: ValkeyServer) -> None:
    async with proxy_to(own_server.port) as proxy, at_work(proxy.url) as node:
        own_server.set("maxmemory", "1mb")
        refusal = await node.refusal("refused")
        assert refusal.endswith("is out of memory (maxmemory): wait until tasks end, or give the server more memory")
        node.gate.open()
        await eventually(lambda: holds(node, dict.fromkeys(["one", "two", "waits"], "succeeded")))
        proxy.close()
        await eventually(lambda: is_unready(node))
        proxy.mend()
        await eventually(node.is_ready)
        assert "maxmemory" in await node.refusal("refused")
        own_server.set("maxmemory", "0")
        await has_gone_on(node)


async def is_unready(node: ANode) -> bool:
    return not await node.is_ready()


async def test_tasks_that_end_make_room_in_its_memory(own_server: ValkeyServer) -> None:
    async with a_node(own_server.url, history_records_max=10) as node:
        await node.accept("first")
        used = re.search(rb"used_memory:(\d+)", own_server.command("INFO", "memory"))
        assert used
        own_server.set("maxmemory", str(int(used[1]) + 200_000))
        batches = (tuple(f"{'x' * 200}-{batch}-{index}" for index in range(100)) for batch in count())
        while (await node.post(*next(batches)))[0] == 200:
            pass
        node.gate.open()
        await eventually(lambda: is_accepted(node, "more"))


async def is_accepted(node: ANode, name: str) -> bool:
    return (await node.post(name))[0] == 200


async def test_a_node_that_is_cancelled_gives_back_what_it_runs(server: ValkeyServer) -> None:
    queue = "cancelled"
    async with at_work(server.url, queue=queue, lease_seconds=60.0):
        pass
    async with a_node(server.url, queue=queue, pool_size=3) as node:
        await eventually_runs(node, "one", "two", "waits")


async def test_a_server_that_has_lost_the_queue_is_given_a_new_one(own_server: ValkeyServer) -> None:
    async with at_work(own_server.url) as node:
        lost = {record["id"] for record in await node.get("/tasks")}
        assert own_server.command("FLUSHALL") == b"+OK\r\n"
        assert "this node joins that queue" in await node.refusal("refused")
        await eventually(lambda: takes(node, "one"))
        assert lost.isdisjoint(record["id"] for record in await node.get("/tasks"))
        node.gate.open()
        await eventually(lambda: holds(node, {"one": "succeeded"}))


async def takes(node: ANode, name: str) -> bool:
    return (await node.post(name))[0] == 200
