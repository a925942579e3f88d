"""Keys and entries of deliveries that are lost or changed: a damaged one is set aside, and every other one goes on."""

from __future__ import annotations

import secrets
from typing import Final

import pytest

from pexecutor import Ending, Outcome, Task
from pexecutor.conformance.asking import accept, start, until
from pexecutor.stores import Watcher
from pexecutor.stores.valkey import ValkeyStore
from pexecutor.task import Brings

from .server import ValkeyServer
from .test_damaged_schedules import a_store, do_damage

NAMES: Final = ["a", "b", "c"]
WITHOUT_B: Final = ["a", "c"]

NOTICE: Final = "{type = 'skipped', schedule = 's', name = 'n', handler = 'h', reason = 'late', at = 1}"


def replaced_by(*values: str) -> str:
    """Return the damage that replaces the second delivery by a list of these values."""
    return f"redis.call('HSET', k .. ':delivery', id, cmsgpack.pack({{{', '.join(values)}}}))"


DAMAGES: Final[dict[str, tuple[str, list[str]]]] = {
    "b lost": ("redis.call('HDEL', k .. ':delivery', id)", WITHOUT_B),
    "b is text": ("redis.call('HSET', k .. ':delivery', id, 'garbage')", WITHOUT_B),
    "b is empty": ("redis.call('HSET', k .. ':delivery', id, '')", WITHOUT_B),
    "b has no notice": (replaced_by("'ops'", "1", "2", "0"), WITHOUT_B),
    "b has another notice": (replaced_by("'ops'", "1", "2", "0", "{type = 'x'}"), WITHOUT_B),
    "b has a notice without words": (replaced_by("'ops'", "1", "2", "0", NOTICE.replace("'n'", "7")), WITHOUT_B),
    "b has a notice of bytes": (replaced_by("'ops'", "1", "2", "0", NOTICE.replace("'n'", r"'\255'")), WITHOUT_B),
    "b has a reason that is none": (replaced_by("'ops'", "1", "2", "0", NOTICE.replace("late", "x")), WITHOUT_B),
    "b has a target of bytes": (replaced_by(r"'\255'", "1", "2", "0", NOTICE), WITHOUT_B),
    "b has a time that is none": (replaced_by("'ops'", "0 / 0", "2", "0", NOTICE), WITHOUT_B),
    "b has half an attempt": (replaced_by("'ops'", "1", "2", "0.5", NOTICE), WITHOUT_B),
    "age of b lost": ("redis.call('ZREM', k .. ':deliveries', id)", NAMES),
    "age of none": ("redis.call('ZADD', k .. ':deliveries', 1, '0000000000099', 2, 'x')", NAMES),
    "ages lost": ("redis.call('DEL', k .. ':deliveries')", NAMES),
    "targets lost": ("redis.call('DEL', k .. ':deliveries:targets')", NAMES),
    "due times lost": ("redis.call('DEL', k .. ':deliveries:due')", NAMES),
    "targets of none": (
        r"redis.call('ZADD', k .. ':deliveries:targets', 0, '00003:ops0000000000000', 0, '\255')",
        NAMES,
    ),
    "due times of none": (
        r"redis.call('ZADD', k .. ':deliveries:due', 0, '00003:ops0000000000000000000000000000001', 0, '', 0, '\255')",
        NAMES,
    ),
    "deliveries lost": ("redis.call('DEL', k .. ':delivery')", []),
    "deliveries of another type": ("redis.call('SET', k .. ':delivery', 'x')", []),
    "ages of another type": ("redis.call('SET', k .. ':deliveries', 'x')", NAMES),
    "targets of another type": ("redis.call('SET', k .. ':deliveries:targets', 'x')", NAMES),
    "due times of another type": ("redis.call('SET', k .. ':deliveries:due', 'x')", NAMES),
    "a number that is none": ("redis.call('HSET', k .. ':head', 'deliveries', 'x')", NAMES),
    "a wrong number": ("redis.call('HSET', k .. ':head', 'deliveries', 7)", NAMES),
    "head lost": ("redis.call('DEL', k .. ':head')", NAMES),
}
"""Each damage in the server's Lua, where `k` is the key of the queue and `id` the second delivery; and what is left."""

SECOND: Final = "local id = redis.call('ZRANGE', k .. ':deliveries', 1, 1)[1] "


async def end_task(store: ValkeyStore, name: str) -> None:
    """Run a task to its end, which makes a delivery."""
    await accept(store, Task(name))
    [running] = await start(store)
    await store.finish([(running, Ending(Outcome.SUCCEEDED))])


async def listed(store: ValkeyStore) -> list[str]:
    return [delivery.notice.name for delivery in await store.deliveries.page("ops", 100)]


async def is_whole(store: ValkeyStore) -> bool:
    await listed(store)
    return not store._calls.counts.mending


async def goes_on(store: ValkeyStore, left: list[str]) -> None:
    """What is left is listed, counted, taken and ended, and new ones are made."""

    async def is_mended() -> bool:
        return await listed(store) == left and store.statistics().deliveries == len(left)

    await until(is_mended, f"the deliveries are not {left}", seconds=15)
    await end_task(store, "new")
    taken = []

    async def are_taken() -> bool:
        taken.extend((await store.deliveries.take(["ops"], 60)).deliveries)
        return sorted(delivery.notice.name for delivery in taken) == sorted([*left, "new"])

    await until(are_taken, f"the taken deliveries are not {left}", seconds=15)
    await store.deliveries.end(taken)
    await until(lambda: is_whole(store), "the queue is still being mended", seconds=15)
    assert await listed(store) == []
    assert store.statistics().deliveries == 0


@pytest.mark.parametrize("is_found_at_the_start", [False, True], ids=["meanwhile", "at-the-start"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_every_other_delivery_goes_on(damage: str, is_found_at_the_start: bool, server: ValkeyServer) -> None:
    script, left = DAMAGES[damage]
    queue, damages = f"test-{secrets.token_hex(4)}", list[str]()
    async with a_store(server, queue, damages) as store:
        store.watch(Watcher(brings=lambda _: Brings(succeeded=("ops",))))
        for name in NAMES:
            await end_task(store, name)
        await until(lambda: is_whole(store), "the queue is still being mended")
        if not is_found_at_the_start:
            do_damage(server, queue, SECOND + script)
            await goes_on(store, left)
            assert damages or left == NAMES, "what is lost is noted; what can be derived is only restored"
    if is_found_at_the_start:
        do_damage(server, queue, SECOND + script)
        async with a_store(server, queue, damages) as store:
            store.watch(Watcher(brings=lambda _: Brings(succeeded=("ops",))))
            await goes_on(store, left)


RARE: Final[dict[str, str]] = {
    "a number": "7",
    "no targets": "{crashes = 0, handler = 'h', brings = {}}",
    "an outcome that is none": "{crashes = 0, handler = 'h', brings = {x = {'ops'}}}",
    "targets that are no list": "{crashes = 0, handler = 'h', brings = {failed = {a = 'ops'}}}",
    "a target of bytes": r"{crashes = 0, handler = 'h', brings = {failed = {'\255'}}}",
    "no handler": "{crashes = 0, brings = {failed = {'ops'}}}",
}
"""What a damaged record brings, in the server's Lua."""

SPOIL: Final = """
local id = redis.call('ZRANGE', k .. ':pending', 0, 0)[1]
local fields = {cmsgpack.unpack_limit(redis.call('HGET', k .. ':record', id), 16, 3)}
fields[16] = RARE
table.remove(fields, 1)
redis.call('HSET', k .. ':record', id, '\\220\\000\\016' .. cmsgpack.pack(unpack(fields)))
"""


@pytest.mark.parametrize("rare", RARE)
async def test_a_record_that_brings_what_cannot_be_read_is_set_aside(rare: str, server: ValkeyServer) -> None:
    queue, damages = f"test-{secrets.token_hex(4)}", list[str]()
    async with a_store(server, queue, damages) as store:
        await accept(store, Task("spoilt"), Task("whole"))
        do_damage(server, queue, SPOIL.replace("RARE", RARE[rare]))
        assert [running.task.name for running in await start(store)] == ["whole"]
        assert "cannot be read" in damages[0]
