"""Keys and entries of schedules that are lost or changed: a damaged one is set aside, and every other one goes on."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
import trio

from pexecutor import Task
from pexecutor.conformance.asking import until
from pexecutor.conformance.schedules import HOURLY, fire, put
from pexecutor.errors import TooManySchedulesError, UnknownScheduleError
from pexecutor.stores.schedules import DuePlace, Schedule, ScheduleBounds, definition_bytes
from pexecutor.stores.valkey import ValkeyStore
from pexecutor.stores.valkey.client import ValkeyLink

from .node import address_of
from .server import ValkeyServer

NAMES: Final = ("a", "b", "c", "later")
WITHOUT_B: Final = ["a", "c", "later"]

DAMAGES: Final[dict[str, tuple[str, list[str]]]] = {
    "state of b lost": ("redis.call('HDEL', k .. ':schedule', 'b')", WITHOUT_B),
    "state of b is text": ("redis.call('HSET', k .. ':schedule', 'b', 'garbage')", WITHOUT_B),
    "state of b is empty": ("redis.call('HSET', k .. ':schedule', 'b', '')", WITHOUT_B),
    "state of b is a list of other things": (
        "redis.call('HSET', k .. ':schedule', 'b', cmsgpack.pack({1, 'api', 'x', false, {}}))",
        WITHOUT_B,
    ),
    "state of b has occurrences that are none": (
        "redis.call('HSET', k .. ':schedule', 'b', cmsgpack.pack({1, 'api', false, false, {{1, 2, 'why', 1, ''}}}))",
        WITHOUT_B,
    ),
    "state of b has a time that is none": (
        "redis.call('HSET', k .. ':schedule', 'b', cmsgpack.pack({1, 'api', false, {1, 0 / 0}, {}}))",
        WITHOUT_B,
    ),
    "definition of b lost": ("redis.call('HDEL', k .. ':definition', 'b')", WITHOUT_B),
    "definition of b is no JSON": ("redis.call('HSET', k .. ':definition', 'b', '{')", WITHOUT_B),
    "definition of b is no UTF-8": (r"redis.call('HSET', k .. ':definition', 'b', '\255')", WITHOUT_B),
    "definition of b is deep": ("redis.call('HSET', k .. ':definition', 'b', string.rep('[', 100000))", WITHOUT_B),
    "definition of b has no start": (
        """redis.call('HSET', k .. ':definition', 'b', '{"task":{"name":"x"},"every":1000}')""",
        WITHOUT_B,
    ),
    "name of b lost": ("redis.call('ZREM', k .. ':schedules', 'b')", [*NAMES]),
    "time of b lost": (
        "redis.call('ZREM', k .. ':upcoming', redis.call('ZRANGE', k .. ':upcoming', 1, 1)[1])",
        [*NAMES],
    ),
    "time of b is another": ("redis.call('ZADD', k .. ':upcoming', 0, '000000000000001b')", [*NAMES]),
    "a time of no schedule": ("redis.call('ZADD', k .. ':upcoming', 0, '000000000000001x')", [*NAMES]),
    "a time that is none": (r"redis.call('ZADD', k .. ':upcoming', 0, '\255', 0, '', 0, '00')", [*NAMES]),
    "a name of no schedule": (r"redis.call('ZADD', k .. ':schedules', 0, 'x', 0, '\255', 0, '')", [*NAMES]),
    "a schedule with a name of bytes": (
        r"redis.call('HSET', k .. ':schedule', '\255', redis.call('HGET', k .. ':schedule', 'a'))",
        [*NAMES],
    ),
    "a definition of no schedule": ("redis.call('HSET', k .. ':definition', 'x', '{}')", [*NAMES]),
    "schedules lost": ("redis.call('DEL', k .. ':schedules')", [*NAMES]),
    "upcoming lost": ("redis.call('DEL', k .. ':upcoming')", [*NAMES]),
    "schedule lost": ("redis.call('DEL', k .. ':schedule')", []),
    "definition lost": ("redis.call('DEL', k .. ':definition')", []),
    "schedules of another type": ("redis.call('SET', k .. ':schedules', 'x')", [*NAMES]),
    "upcoming of another type": ("redis.call('SET', k .. ':upcoming', 'x')", [*NAMES]),
    "schedule of another type": ("redis.call('SET', k .. ':schedule', 'x')", []),
    "definition of another type": ("redis.call('SET', k .. ':definition', 'x')", []),
    "bytes that are no number": ("redis.call('HSET', k .. ':head', 'schedules_bytes', 'x')", [*NAMES]),
    "head lost": ("redis.call('DEL', k .. ':head')", [*NAMES]),
}
"""Each damage in the server's Lua, where `k` is the key of the queue; and the schedules that are left."""


@asynccontextmanager
async def a_store(
    server: ValkeyServer, queue: str, damages: list[str] | None = None, **settings: Any
) -> AsyncIterator[ValkeyStore]:
    store = ValkeyStore(
        ValkeyLink(address_of(server.url), queue),
        node=f"node-{secrets.token_hex(3)}",
        on_damage=(damages if damages is not None else []).append,
        **settings,
    )
    async with store.opened():
        yield store


def do_damage(server: ValkeyServer, queue: str, script: str) -> None:
    answer = server.command("EVAL", f"local k = KEYS[1] {script}", "1", f"pexecutor:{{{queue}}}")
    assert not answer.startswith(b"-"), answer


async def listed(store: ValkeyStore) -> list[str]:
    names, after = list[str](), None
    while page := await store.schedules.page(2, after):
        names += [schedule.name for schedule in page]
        after = names[-1]
    return names


async def due(store: ValkeyStore) -> list[Schedule]:
    schedules, after = list[Schedule](), None
    while page := (await store.schedules.due(2, after)).schedules:
        schedules += page
        assert page[-1].next
        after = DuePlace(page[-1].next.due_at, page[-1].name)
    return schedules


async def is_whole(store: ValkeyStore) -> bool:
    await listed(store)
    return not store._calls.counts.mending


async def goes_on(store: ValkeyStore, left: list[str]) -> None:
    """What is left is listed, is due and fires, and new ones are taken, within the bounds."""

    async def is_mended() -> bool:
        names, due_names = await listed(store), [schedule.name for schedule in await due(store)]
        return names == left and due_names == [name for name in left if name != "later"]

    await until(is_mended, f"the schedules are not {left}", seconds=15)
    for number, schedule in enumerate(await due(store)):
        await fire(store, schedule, Task(f"task-{number}"))
    assert await due(store) == []
    generations = {(await store.schedules.get(name)).generation for name in left}
    for name in set(NAMES) - set(left):
        with pytest.raises(UnknownScheduleError):
            await store.schedules.get(name)
        generations.add((await put(store, name)).generation)
    assert len(generations) == len(NAMES)
    with pytest.raises(TooManySchedulesError, match="at most 4 schedules"):
        await put(store, "one more")


@pytest.mark.parametrize("is_found_at_the_start", [False, True], ids=["meanwhile", "at-the-start"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_every_other_schedule_goes_on(damage: str, is_found_at_the_start: bool, server: ValkeyServer) -> None:
    script, left = DAMAGES[damage]
    queue, damages = f"test-{secrets.token_hex(4)}", list[str]()
    bounds = ScheduleBounds(len(NAMES))
    async with a_store(server, queue, damages, schedule_bounds=bounds) as store:
        for name, due_in in zip(NAMES, (-9.0, -8.0, -7.0, 600.0), strict=True):
            await put(store, name, due_in=due_in)
        await until(lambda: is_whole(store), "the queue is still being mended")
        if not is_found_at_the_start:
            do_damage(server, queue, script)
            await goes_on(store, left)
            assert damages or left == [*NAMES], "what is lost is noted; what can be derived is only restored"
    if is_found_at_the_start:
        do_damage(server, queue, script)
        async with a_store(server, queue, damages, schedule_bounds=bounds) as store:
            await goes_on(store, left)


async def test_bytes_are_counted_anew(server: ValkeyServer) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    bounds = ScheduleBounds(10, 250)
    async with a_store(server, queue, schedule_bounds=bounds) as store:
        first = await put(store, "a")
        do_damage(server, queue, "redis.call('HSET', k .. ':head', 'schedules_bytes', 240)")
        with pytest.raises(TooManySchedulesError, match="at most 250 bytes"):
            await put(store, "b")
        assert await store.schedules.put(first)
    async with a_store(server, queue, schedule_bounds=bounds) as store:
        await until(lambda: counts(server, queue, definition_bytes(HOURLY)), "the bytes are not counted anew")
        await put(store, "b")


async def counts(server: ValkeyServer, queue: str, wanted: int) -> bool:
    await trio.sleep(0.02)
    return server.command("HGET", f"pexecutor:{{{queue}}}:head", "schedules_bytes").endswith(b"\n%d\r\n" % wanted)


async def test_a_definition_that_cannot_be_read_is_noted(server: ValkeyServer) -> None:
    queue, damages = f"test-{secrets.token_hex(4)}", list[str]()
    async with a_store(server, queue, damages) as store:
        await put(store, "a")
        do_damage(server, queue, DAMAGES["definition of b is no JSON"][0].replace("'b'", "'a'"))
        with pytest.raises(UnknownScheduleError):
            await store.schedules.get("a")
        assert store.statistics().damaged == 1
    assert damages[0].startswith("the definition of a schedule cannot be read: ")
