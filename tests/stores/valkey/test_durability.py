"""How much is kept is the server's to say: it is asked at the start, and with each submit where that was wanted."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from pexecutor.errors import StoreUnavailableError, UnusableStoreError
from pexecutor.server import unwrapped_unusable_store
from pexecutor.stores.valkey.client import ValkeyLink
from pexecutor.stores.valkey.flush import Flusher
from pexecutor.stores.valkey.server_checks import Durability

from .conftest import KEEPS_ALL
from .node import PATIENCE_SECONDS, ANode, a_node, address_of, eventually, has_gone_on
from .server import ValkeyServer, valkey_server

WITH_A_FILE = ("--appendonly", "yes")


def can_tell(server: ValkeyServer) -> bool:
    """Whether it can say what is on its disk."""
    return b"waitaof" in server.command("COMMAND", "INFO", "WAITAOF")


@pytest.mark.parametrize("policy", ["always", "everysec", "no"])
async def test_what_was_accepted_is_there_after_a_crash(tmp_path: Path, program: str, policy: str) -> None:
    with valkey_server(tmp_path / "server", *WITH_A_FILE, "--appendfsync", policy, program=program) as server:
        if policy == "no":
            await refuses(server, r"\(appendfsync no\).*: set `appendfsync always` on the server")
        elif policy == "always" or can_tell(server):
            async with a_node(server.url, durability="fsync") as node:
                await node.accept("one", "two", "waits")
                server.kill()
                server.start()
                node.gate.open()
                await has_gone_on(node)
        else:
            await refuses(server, r"cannot confirm what is on its disk .*: set `appendfsync always` on the server")


async def refuses(server: ValkeyServer, why: str) -> None:
    """See that no node starts which is asked for all, and that it says why."""
    with pytest.raises(UnusableStoreError, match=why), unwrapped_unusable_store():
        async with a_node(server.url, durability="fsync"):
            pass


async def test_without_a_file_nothing_can_be_kept(tmp_path: Path, program: str) -> None:
    with valkey_server(tmp_path / "server", program=program) as server:
        await refuses(server, r"no append-only file.*: set `appendonly yes` on the server")


async def test_a_submit_waits_for_the_disk(tmp_path: Path, program: str) -> None:
    with valkey_server(tmp_path / "server", *KEEPS_ALL, program=program) as server:
        async with a_node(server.url, durability="fsync") as node, a_node(server.url) as careless:
            server.set("appendonly", "no")
            reason = "appendonly is disabled" if can_tell(server) else "set `appendfsync always`"
            assert reason in await node.refusal("one")
            await careless.accept("one")
            server.set("appendonly", "yes")
            server.until("INFO persistence", b"aof_rewrite_in_progress:0")
            await eventually(lambda: is_held(node, "one"))


async def is_held(node: ANode, name: str) -> bool:
    """Whether a submit is answered again, and what it was that was taken before."""
    _, reply, _ = await node.post(name)
    return reply.get("DuplicateTasks") == 1


async def test_a_wait_is_shared_and_so_is_its_failure(tmp_path: Path, program: str) -> None:
    failures = 0

    async def wait(flusher: Flusher) -> None:
        nonlocal failures
        with pytest.raises(StoreUnavailableError, match=r"has not answered yet|does not respond"):
            await flusher.flush(b"")
        failures += 1

    with valkey_server(tmp_path / "server", *KEEPS_ALL, program=program) as server:
        flusher = Flusher(address_of(server.url), "key", patience_seconds=PATIENCE_SECONDS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flusher.keep_flushing)
            server.pause()
            with trio.fail_after(30 * PATIENCE_SECONDS):
                async with trio.open_nursery() as waiting:
                    for _ in range(100):
                        waiting.start_soon(wait, flusher)
            server.resume()
            nursery.cancel_scope.cancel()
    assert failures == 100


async def test_what_an_earlier_life_of_the_server_took_is_not_called_kept(tmp_path: Path, program: str) -> None:
    with valkey_server(tmp_path / "server", *KEEPS_ALL, program=program) as server:
        flusher = Flusher(address_of(server.url), "key", patience_seconds=10.0)
        link = ValkeyLink(address_of(server.url), "test")
        async with trio.open_nursery() as nursery, link.opened(lambda _: None):
            nursery.start_soon(flusher.keep_flushing)
            before = link.life
            await flusher.flush(before)
            server.kill()
            server.start()
            with pytest.raises(StoreUnavailableError, match="was restarted or replaced"):
                await flusher.flush(before)
            await link.call("marks")
            await flusher.flush(link.life)
            nursery.cancel_scope.cancel()


DOUBTS: dict[str, tuple[tuple[str, ...], Durability, list[str]]] = {
    "no_file": (("--appendonly", "no"), "aof", ["no append-only file"]),
    "no_file_as_wished": (("--appendonly", "no"), "none", []),
    "written_whenever": ((*WITH_A_FILE, "--appendfsync", "no"), "aof", ["appendfsync no"]),
    "written_each_second": ((*WITH_A_FILE, "--appendfsync", "everysec"), "aof", []),
    "written_at_once": (KEEPS_ALL, "fsync", []),
    "evicts": ((*WITH_A_FILE, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "aof", ["allkeys-lru"]),
    "would_evict": ((*WITH_A_FILE, "--maxmemory", "0", "--maxmemory-policy", "allkeys-lru"), "aof", []),
    "shows_nothing": ((*WITH_A_FILE, "--rename-command", "CONFIG", ""), "aof", ["does not show its settings"]),
}


@pytest.mark.parametrize("case", DOUBTS)
async def test_at_the_start_it_is_said_what_may_be_lost(tmp_path: Path, program: str, case: str) -> None:
    options, durability, wanted = DOUBTS[case]
    doubts: list[str] = []
    with valkey_server(tmp_path / "server", *options, program=program) as server:
        async with a_node(server.url, durability=durability, doubts=doubts) as node:
            await node.accept("one")
    assert len(doubts) == len(wanted), doubts
    assert all(words in doubt for words, doubt in zip(wanted, doubts, strict=True))
