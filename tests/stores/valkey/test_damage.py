"""Keys and entries that are lost or changed: nodes live and start, and every task that is whole ends exactly once."""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import pytest
import trio

from pexecutor import PageRequest, Task
from pexecutor.errors import first_cause

from .node import ANode, a_node, eventually, eventually_runs
from .server import VALKEY, ValkeyServer

AT_ONCE: Final = 12
"""How many queues are tried at once."""

KEYS: Final = [
    *(
        "head",
        "meta",
        "tag",
        "task",
        "record",
        "names",
        "following",
        "pending",
        "later",
        "due",
        "running",
        "crashed",
        "history",
        "failures",
    ),
    *("expiry", "nodes", "leases", "node", "seen", "damaged", "moves", "seekers"),
]
NAMES: Final = frozenset({"run-1", "run-2", "wait-1", "wait-2", "wait-3", "later"})
ALL: Final = NAMES | {"follows"}
"""What is accepted; `follows` stands for the one that has the name of `run-1`."""


class Case(NamedTuple):
    """A damage, in the server's Lua: `k` is the key of the queue, `id` has ids by name; and which tasks it may cost."""

    damage: str
    costs: frozenset[str] = frozenset()
    is_noticed: bool = True
    """Whether it is noticed at once; otherwise when a node starts next."""


def key_cases() -> dict[str, Case]:
    """Each key is lost, and each is of another type."""
    costs = {"record": ALL, "task": ALL}
    lost = {f"{key} lost": Case(f"redis.call('DEL', k .. ':{key}')", costs.get(key, frozenset())) for key in KEYS}
    other = {
        f"{key} of another type": Case(
            f"redis.call('DEL', k .. ':{key}') redis.call('SADD', k .. ':{key}2', 1) "
            f"redis.call('RENAME', k .. ':{key}2', k .. ':{key}')"
            if key != "seen"
            else "redis.call('SET', k .. ':seen', 'x')",
            costs.get(key, frozenset()),
        )
        for key in KEYS
    }
    return lost | other


GARBAGE: Final = {
    "empty": "''",
    "text": "'garbage'",
    "no UTF-8": r"'\255\254\253'",
    "a list of other things": "cmsgpack.pack({1, 2, 3})",
    "fields of other types": r"'\158' .. string.rep('\192', 14)",
    "cut off": "string.sub(redis.call('HGET', k .. ':' .. key, id[name]), 1, 9)",
    "NaN": r"string.gsub(redis.call('HGET', k .. ':record', id[name]), '\203........', "
    r"'\203\127\248\0\0\0\0\0\0')",
}
BAD_TASKS: Final = {
    "empty": "''",
    "no JSON": "'{\"name\":'",
    "no UTF-8": r"""'{"name":"\255"}'""",
    "another name": """'{"name":"another"}'""",
    "no task": """'{"name":"' .. name .. '","priority":"high"}'""",
}


def entry_cases() -> dict[str, Case]:
    """Each kind of entry is lost or garbage, for a task in each state."""
    cases: dict[str, Case] = {}
    for name in ("run-1", "wait-1", "later", "follows", "done", "succeeded"):
        lost = ALL & {name}
        for key in ("record", "task"):
            cases[f"{key} of {name} lost"] = Case(f"redis.call('HDEL', k .. ':{key}', id['{name}'])", lost)
        for what, value in GARBAGE.items():
            script = (
                f"local key, name = 'record', '{name}' local v = {value} "
                "redis.call('HSET', k .. ':record', id[name], v)"
            )
            cases[f"record of {name}: {what}"] = Case(script, lost)
        for what, value in BAD_TASKS.items():
            script = f"local name = '{name}' redis.call('HSET', k .. ':task', id[name], {value})"
            cases[f"task of {name}: {what}"] = Case(script, lost)
    indexes = {
        "pending": "wait-1",
        "later": "later",
        "due": "later",
        "running": "run-1",
        "history": "succeeded",
        "failures": "done",
        "expiry": "done",
    }
    for index, name in indexes.items():
        cases[f"{index} without {name}"] = Case(f"redis.call('ZREM', k .. ':{index}', id['{name}'])")
        for member in ("0000000099999", "garbage", "wait-1", r"\255", ""):
            cases[f"{index} with {member!r}"] = Case(f"redis.call('ZADD', k .. ':{index}', -1, '{member}')")
        for other in ("wait-2", "run-2", "done"):
            cases[f"{index} with {other}"] = Case(f"redis.call('ZADD', k .. ':{index}', -1, id['{other}'])")
        script = f"redis.call('ZADD', k .. ':{index}', 'inf', id['{name}'])"
        cases[f"{index}: another place"] = Case(script, is_noticed=False)
    return cases


OTHER_CASES: Final = (
    {
        "a name without its task": Case("redis.call('HDEL', k .. ':names', 'wait-1')"),
        "a name of no task": Case("redis.call('HSET', k .. ':names', 'free', '0000000099999')"),
        "a name of garbage": Case("redis.call('HSET', k .. ':names', 'free', 'garbage')"),
        "a name of another task": Case("redis.call('HSET', k .. ':names', 'free', id['wait-1'])"),
        "a name of a task that has ended": Case("redis.call('HSET', k .. ':names', 'free', id['done'])"),
        "following lost": Case("redis.call('HDEL', k .. ':following', id['run-1'])"),
        "following of no task": Case("redis.call('HSET', k .. ':following', id['wait-1'], '0000000099999')"),
        "following itself": Case("redis.call('HSET', k .. ':following', id['wait-1'], id['wait-1'])"),
        "followed is gone": Case(
            "redis.call('HDEL', k .. ':record', id['run-1']) redis.call('ZREM', k .. ':running', id['run-1'])",
            frozenset({"run-1"}),
        ),
        "a node of no fields": Case(
            "redis.call('ZADD', k .. ':nodes', 1e12, 'ghost') redis.call('HSET', k .. ':leases', 'ghost', 3)"
        ),
        "a node of bytes": Case(r"redis.call('ZADD', k .. ':nodes', 1, '\255')"),
        "fields of no node": Case(
            "redis.call('HSET', k .. ':node', 'ghost', 'x') redis.call('HSET', k .. ':leases', 'g', 'x')"
        ),
        "a lease that is none": Case(
            "for _, n in ipairs(redis.call('HKEYS', k .. ':leases')) do redis.call('HSET', k .. ':leases', n, 'x') end"
        ),
        "a node that says garbage": Case(
            "for _, n in ipairs(redis.call('HKEYS', k .. ':node')) do redis.call('HSET', k .. ':node', n, 'x') end"
        ),
        "a mark of a move": Case("redis.call('HSET', k .. ':moves', 'move', 'garbage')"),
        "claims of another type": Case(
            "for _, n in ipairs(redis.call('ZRANGE', k .. ':nodes', 0, -1)) do "
            "redis.call('SADD', k .. ':cancels:' .. n, 'garbage') redis.call('SET', k .. ':claim:' .. n, 'garbage') end"
        ),
        "a record under no id": Case(
            "redis.call('HSET', k .. ':record', 'garbage', redis.call('HGET', k .. ':record', id['wait-1']))"
        ),
        "a task under no id": Case("redis.call('HSET', k .. ':task', 'garbage', 'x')"),
    }
    | {
        f"head without {field}": Case(f"redis.call('HDEL', k .. ':head', '{field}')")
        for field in ("tag", "layout", "acceptances", "claims", "endings", "run_id", "quiet_until", "history_bytes")
    }
    | {
        f"head with a bad {field}": Case(f"redis.call('HSET', k .. ':head', '{field}', 'bad')")
        for field in (
            "tag",
            "acceptances",
            "claims",
            "endings",
            "run_id",
            "quiet_until",
            "history_bytes",
            "damaged",
            "mending",
        )
    }
)

CASES: Final = key_cases() | entry_cases() | OTHER_CASES


@asynccontextmanager
async def populated(server: ValkeyServer, queue: str) -> AsyncIterator[tuple[ANode, dict[str, str]]]:
    """A node with tasks in every state, and their ids as the keys have them."""
    async with a_node(server.url, queue=queue, lease_seconds=3.0, patience_seconds=4.0) as node:
        ids: dict[str, str] = {}
        node.gate.open()
        await node.accept("succeeded")
        await eventually(lambda: have_succeeded(node, frozenset({"succeeded"})))
        node.gate.close()
        await node.executor.submit([Task("run-1"), Task("run-2")])
        await eventually_runs(node, "run-1", "run-2")
        tasks = [Task("done"), Task("wait-1"), Task("wait-2"), Task("wait-3"), Task("later", delay=1500)]
        for verdict in await node.executor.submit([*tasks, Task("run-1", on_conflict="latest")]):
            assert verdict.verdict == "accepted"
            ids[verdict.record.task.name] = as_key(verdict.record.id)
        await node.executor.cancel(next(r.id for r in await listed(node) if r.task.name == "done"))
        ids["follows"] = ids["run-1"]
        ids |= {r.task.name: as_key(r.id) for r in await listed(node) if r.task.name in ("run-1", "run-2", "succeeded")}
        yield node, ids


def as_key(task_id: str) -> str:
    return f"{int(task_id.split('-')[1]):013d}"


async def listed(node: ANode) -> list[Any]:
    return (await node.executor.page(PageRequest())).records


def do_damage(server: ValkeyServer, queue: str, ids: dict[str, str], script: str) -> None:
    words = [word for one in ids.items() for word in one]
    prelude = "local k, id = KEYS[1], {} for i = 1, #ARGV, 2 do id[ARGV[i]] = ARGV[i + 1] end "
    answer = server.command("EVAL", prelude + script, "1", f"pexecutor:{{{queue}}}", *words)
    assert not answer.startswith(b"-"), (script, answer)


async def comes_to_its_end(node: ANode, costs: frozenset[str]) -> None:
    """All that is whole ends as it should, and every name is free then."""
    node.gate.open()
    wanted = NAMES - costs
    await eventually(lambda: have_succeeded(node, wanted))
    await eventually(node.is_ready)
    await eventually(lambda: is_mended(node))
    for name in ("wait-1", "run-1", "later", "free", "done"):
        await eventually(partial(is_accepted, node, name))
    await eventually(lambda: is_idle(node))


async def have_succeeded(node: ANode, wanted: frozenset[str]) -> bool:
    succeeded = [r.task.name for r in await listed(node) if r.state == "finished" and r.outcome == "succeeded"]
    runs_1 = succeeded.count("run-1") if "run-1" in wanted else 1
    assert runs_1 <= 2
    assert all(succeeded.count(name) <= 1 for name in wanted - {"run-1"}), succeeded
    return wanted <= set(succeeded)


async def is_accepted(node: ANode, name: str) -> bool:
    status, reply, _ = await node.post(name)
    return status == 200 and reply["SubmittedTasks"] == 1


async def is_idle(node: ANode) -> bool:
    await listed(node)
    store = node.executor.statistics().store
    return not (store.pending or store.scheduled or store.running)


async def is_mended(node: ANode) -> bool:
    await listed(node)
    return not node.executor._store._calls.counts.mending  # type: ignore[attr-defined]


async def live_through(server: ValkeyServer, case: Case) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    async with populated(server, queue) as (node, ids):
        do_damage(server, queue, ids, case.damage)
        if not case.is_noticed:
            async with a_node(server.url, queue=queue, patience_seconds=4.0):
                await trio.sleep(1)
        await comes_to_its_end(node, case.costs)
    async with a_node(server.url, queue=queue, patience_seconds=4.0) as node:
        node.gate.open()
        await node.accept("once more")


async def start_with(server: ValkeyServer, case: Case) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    async with populated(server, queue) as (_, ids):
        pass
    do_damage(server, queue, ids, case.damage)
    async with a_node(server.url, queue=queue, patience_seconds=4.0) as node:
        await comes_to_its_end(node, case.costs)


async def try_all(cases: dict[str, Case], try_one: Callable[[Case], Awaitable[None]]) -> dict[str, str]:
    """Try all, some at once; what was wrong, by case."""
    wrong: dict[str, str] = {}
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def attempt(name: str, case: Case) -> None:
        async with limiter:
            try:
                with trio.fail_after(25):
                    await try_one(case)
            except Exception as error:
                wrong[name] = repr(first_cause(error))

    async with trio.open_nursery() as nursery:
        for name, case in cases.items():
            nursery.start_soon(attempt, name, case)
    return wrong


def damage_by(seed: int) -> str:
    """Some damages, each of a key and an entry that the seed decides."""
    chance = random.Random(seed)
    return " ".join(one_damage(chance) for _ in range(chance.randint(1, 4)))


def one_damage(chance: random.Random) -> str:
    key = f"k .. ':{chance.choice(KEYS)}'"
    value = "'" + "".join(f"\\{chance.randrange(256)}" for _ in range(chance.choice([0, 1, 9, 40]))) + "'"
    field = chance.choice(["id['wait-1']", "id['run-1']", "id['later']", "id['done']", "'wait-2'", "'run-2'", value])
    return chance.choice(
        [
            f"redis.call('DEL', {key})",
            f"redis.pcall('HDEL', {key}, {field})",
            f"redis.pcall('ZREM', {key}, {field})",
            f"redis.pcall('HSET', {key}, {field}, {value})",
            f"redis.pcall('ZADD', {key}, {chance.choice([-1, 0, 7.5, 1e15])}, {field})",
            f"redis.call('SET', {key}, {value})",
            f"for _, f in ipairs(redis.pcall('HKEYS', {key})) do redis.call('HSET', {key}, f, {value}) end",
        ]
    )


async def goes_on(server: ValkeyServer, case: Case) -> None:
    """A node takes and runs tasks after it, and another one starts, whatever it was that was damaged."""
    queue = f"test-{secrets.token_hex(4)}"
    async with populated(server, queue) as (node, ids):
        do_damage(server, queue, ids, case.damage)
        node.gate.open()
        async with a_node(server.url, queue=queue, patience_seconds=4.0) as other:
            other.gate.open()
            for name in ("new", "wait-1", "run-1", "wait-2", "free"):
                await eventually(partial(is_accepted, other, name))
            await eventually(lambda: is_mended(other))
            await eventually(lambda: is_idle(other))
            await eventually(node.is_ready)
            records = await listed(other)
            assert len({record.id for record in records}) == len(records)
            assert not [
                r for r in records if r.state == "finished" and r.task.name == "new" and r.outcome != "succeeded"
            ]


async def test_nodes_go_on_after_any_damages(server: ValkeyServer) -> None:
    cases = {str(seed): Case(damage_by(seed)) for seed in range(60)}
    assert await try_all(cases, lambda case: goes_on(server, case)) == {}


@pytest.mark.parametrize("program", [VALKEY], ids=["valkey"], scope="module")
async def test_nodes_live_through_any_damage(server: ValkeyServer) -> None:
    assert await try_all(CASES, lambda case: live_through(server, case)) == {}


@pytest.mark.parametrize("program", [VALKEY], ids=["valkey"], scope="module")
async def test_nodes_start_with_any_damage(server: ValkeyServer) -> None:
    assert await try_all(CASES, lambda case: start_with(server, case)) == {}
