"""Limits on a real server: the cost of a claim, the mending of lanes and slots, and moves of numbers and pauses."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from pexecutor import Ending, Outcome, Task
from pexecutor.conformance.asking import until
from pexecutor.conformance.limits import expect_slots, limit, limit_keys, starts, watch
from pexecutor.limits.keys import LimitKey
from pexecutor.stores import Watcher, valkey
from pexecutor.stores.moves.move import Terms, move
from pexecutor.stores.valkey import ValkeyStore

from ..moves.test_move import serving
from .server import VALKEY, ValkeyServer
from .test_conformance import address_of
from .test_moving import sides

pytestmark = pytest.mark.parametrize("program", [VALKEY], ids=["valkey"], scope="module")


SUCCEEDED = Ending(Outcome.SUCCEEDED)


@pytest.fixture
def queue() -> str:
    return f"test-{secrets.token_hex(4)}"


@asynccontextmanager
async def node(server: ValkeyServer, queue: str) -> AsyncIterator[ValkeyStore]:
    store = valkey.make_store(address_of(server), queue, lease_seconds=3.0, queue_size=5000)
    async with store.opened():
        yield store


def commands(server: ValkeyServer) -> int:
    """Return how many commands the server has executed, without those of beats."""
    calls = re.findall(rb"cmdstat_(\w+)(?:\|\w+)?:calls=(\d+)", server.command("INFO", "commandstats"))
    return sum(int(count) for name, count in calls if name not in (b"info", b"publish"))


async def count_claim(server: ValkeyServer, store: ValkeyStore) -> int:
    """Return the commands of a claim that starts one task; the least of some, because beats count too."""
    counts = []
    for _ in range(5):
        await store.submit([Task(secrets.token_hex(8), priority=-1)])
        before = commands(server)
        with trio.fail_after(5):
            await store.claim(1)
        counts.append(commands(server) - before)
    return min(counts)


@pytest.mark.parametrize("blocked", ["limit", "keys", "pause", "handler"])
async def test_a_claim_costs_the_same_however_many_tasks_are_blocked(
    blocked: str, server: ValkeyServer, queue: str
) -> None:
    def params_of(number: int) -> dict[str, str]:
        lanes = {"limit": {"api": "x"}, "keys": {"api": "x", "db": f"{number}"}}
        return lanes.get(blocked, {})

    async def block(first: int, end: int) -> None:
        handler = "other" if blocked in ("pause", "handler") else "sleep"
        await store.submit(
            [Task(f"{number}", handler=handler, params=params_of(number)) for number in range(first, end)]
        )

    async with node(server, queue) as store:
        await limit(store, {"api": 1}, {"other": 1})
        if blocked == "pause":
            await store.limits.pause("other", "me")
        await store.submit([Task("holder", params={"api": "x"}), Task("other", handler="other", priority=1)])
        await store.claim(2)
        await block(0, 5)
        few = await count_claim(server, store)
        await block(5, 2000)
        assert await count_claim(server, store) <= few + 3  # a beat may come in between


async def test_a_new_number_costs_nothing_for_the_tasks_that_wait_for_other_limits(
    server: ValkeyServer, queue: str
) -> None:
    async with node(server, queue) as store:
        await limit(store, {"api": 1, "db": 1})
        await store.submit([Task(f"{name}-{key}", params={"api": str(key)}) for key in range(50) for name in "ab"])
        await starts(store, *(f"a-{key}" for key in range(50)))
        counts = []
        for number in range(2, 6):
            before = commands(server)
            await store.limits.set_numbers({"api": 1, "db": number}, {"sleep": 100 + number})
            counts.append(commands(server) - before)
        assert min(counts) < 50  # beats count too
        await store.limits.set_numbers({"api": 2, "db": 5}, {})
        await starts(store, *(f"b-{key}" for key in range(50)))


def keeps_slots(server: ValkeyServer, queue: str) -> bool:
    """Return whether the queue has the mark that lanes and slots are kept, or slots."""
    mark = server.command("HEXISTS", f"pexecutor:{{{queue}}}:head", "limits")
    return (mark, server.command("EXISTS", f"pexecutor:{{{queue}}}:slots")) != (b":0\r\n", b":0\r\n")


async def test_slots_are_no_longer_kept_after_the_last_limit_or_pause(server: ValkeyServer, queue: str) -> None:
    async with node(server, queue) as store, node(server, queue) as other:
        await store.limits.pause(None, "me")
        await limit(store, {"api": 2})
        await store.submit([Task(name, params={"api": "x"}) for name in "abc"])
        await store.limits.resume(None)
        a, b = await starts(store, "a", "b")
        await until(lambda: knows(other, {"api": 2}), "the other node does not know the number")
        await store.limits.set_numbers({}, {})
        assert keeps_slots(server, queue), "the third task is in a lane"
        await starts(store, "c")
        await store.limits.set_numbers({"api": 1}, {})
        await store.limits.set_numbers({}, {})
        assert not keeps_slots(server, queue)
        await until(lambda: knows(other, {}), "the other node still knows a number")
        await store.submit([Task("d", params={"api": "x"})])
        await store.limits.set_numbers({"api": 3}, {})
        await expect_slots(store, {LimitKey("api", "x"): 3})
        await store.finish([(a, SUCCEEDED), (b, SUCCEEDED)])
        await starts(store, "d")


async def knows(store: ValkeyStore, limits: dict[str, int]) -> bool:
    return store.statistics().limits.numbers.limits == limits


async def test_slots_are_no_longer_kept_after_mending(server: ValkeyServer, queue: str) -> None:
    async with node(server, queue) as store:
        watch(store, frozenset({"sleep"}))
        await store.submit([Task("other", handler="other"), Task("sleeps")])
        [sleeps] = await starts(store, "sleeps")
        assert keeps_slots(server, queue), "the other task is in a lane"
        watch(store)
        await starts(store, "other")
        await store.finish([(sleeps, SUCCEEDED)])
        server.command("HSET", f"pexecutor:{{{queue}}}:head", "mending", "keys")

        async def are_gone() -> bool:
            return not keeps_slots(server, queue)

        await until(are_gone, "slots are still kept")


async def test_lost_indexes_are_restored_from_the_records(server: ValkeyServer, queue: str) -> None:
    async with node(server, queue) as store:
        await limit(store, {"api": 2})
        await store.submit([Task(name, params={"api": "x"}) for name in "abcd"])
        await starts(store, "a", "b")
        for lost in ("slots", "laned", "waits", "queues", "handlers", "lanes:sleep"):
            server.command("DEL", f"pexecutor:{{{queue}}}:{lost}")
        server.command("HDEL", f"pexecutor:{{{queue}}}:head", "limits")
        server.command("HSET", f"pexecutor:{{{queue}}}:head", "mending", "keys")

        async def are_restored() -> bool:
            return (await store.limits.state()).slots == {LimitKey("api", "x"): 2}

        await until(are_restored, "the slots are not restored")
        await store.limits.set_numbers({"api": 3}, {})
        await starts(store, "c")


async def test_a_number_that_is_not_valid_is_set_aside(server: ValkeyServer, queue: str) -> None:
    async with node(server, queue) as store:
        await limit(store, {"api": 2, "db": 1})
        await store.limits.pause("other", "me")
        server.command("HSET", f"pexecutor:{{{queue}}}:limits", "limit:api", "many", "pause:other", "x")
        state = await store.limits.state()
        assert (state.numbers.limits, state.pauses) == ({"db": 1}, ())
        assert store.statistics().damaged == 2


async def test_numbers_pauses_and_keys_move_both_ways(server: ValkeyServer, queue: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here.sqlite", tmp_path / "there.sqlite"
    async with serving(here) as store:
        store.watch(Watcher(limit_keys=limit_keys))
        await store.limits.set_numbers({"api": 1}, {"sleep": 2})
        await store.limits.pause("other", "me")
        await store.submit([Task(name, params={"api": "x"}) for name in ("a", "b")])
        state = await store.limits.state()
    async with sides(here, server, queue) as (file, shared):
        await move(file, shared, Terms())
    async with node(server, queue) as store:
        watch(store)
        assert await store.limits.state() == state
        [running] = await starts(store, "a")
        await expect_slots(store, {LimitKey("api", "x"): 1, LimitKey("", "sleep"): 1})
        await store.release([running])
    async with sides(there, server, queue) as (file, shared):
        await move(shared, file, Terms())
    async with serving(there) as store:
        assert await store.limits.state() == state
        assert [record.task.name for record in await store.claim(2)] == ["a"]
