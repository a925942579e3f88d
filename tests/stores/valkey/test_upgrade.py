"""Queues of earlier versions open and are repaired, and a crash on the way costs nothing.

``layout-1.txt``, ``layout-4.txt`` and ``layout-5.txt`` are queues that the last programs of these layouts wrote, whose
nodes then died. That of layout 4, from before there were limits, has tasks in every state, a schedule, a remembered
answer and a delivery. That of layout 5, from before there were two parts of history, has tasks with every outcome.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from pexecutor import Ending, Finished, Outcome, PageRequest, Record, Running, State
from pexecutor.errors import UnusableStoreError
from pexecutor.server import unwrapped_unusable_store
from pexecutor.stores import Watcher, valkey
from pexecutor.stores.limits import AtLimit, LimitNumbers, handler_key
from pexecutor.stores.valkey import ValkeyStore, upgrade
from pexecutor.stores.valkey import client as links
from pexecutor.stores.valkey.calls import _DECODERS
from pexecutor.stores.valkey.client import ValkeyLink
from pexecutor.stores.valkey.library import read_functions
from pexecutor.stores.valkey.protocol import LAYOUT

from .conftest import KEEPS_ALL
from .node import WAIT_SECONDS_MAX, ANode, a_node, address_of, eventually
from .server import ValkeyServer, valkey_server

LAYOUT_1: Final = Path(__file__).with_name("layout-1.txt")
LAYOUT_4: Final = Path(__file__).with_name("layout-4.txt")
LAYOUT_5: Final = Path(__file__).with_name("layout-5.txt")
ENDED_OF_LAYOUT_4: Final = 3
LAYOUT_NOW: Final = b"$1\r\n%b\r\n" % LAYOUT.encode()
NODE: Final = "node-0000000001"
STEPS: Final = 12
"""Before so many calls an upgrade is cut short; some are done then."""

STEPS_MIN: Final = 4
"""How many calls it takes at least."""

BAD_ROWS: Final = r"""
local k = KEYS[1]
redis.call('HSET', k .. ':record', '0000000000001', 'garbage')
redis.call('HSET', k .. ':task', '0000000000002', '{"name":"\255"}')
redis.call('HSET', k .. ':task', '0000000000013', 'no JSON')
redis.call('HDEL', k .. ':record', '0000000000014')
redis.call('HDEL', k .. ':task', '0000000000015')
redis.call('ZADD', k .. ':pending', 1, '0000000000099')
redis.call('HSET', k .. ':names', 'held-by-nobody', '0000000000098')
"""
DAMAGED: Final = {"wait-0", "wait-1", "wait-2"}
WHOLE: Final = {"retried", "runs", "wait-3", "wait-4", "wait-5", "wait-6", "wait-7"}


def load(server: ValkeyServer, queue: str, fixture: Path = LAYOUT_1, *, lease_until: float = 1.0) -> None:
    """Make the queue, as it was when its node died."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        for line in fixture.read_text(encoding="utf-8").splitlines():
            words = [word.replace("{old}", f"{{{queue}}}").encode("latin-1") for word in json.loads(line)]
            head = b"*%d\r\n" % len(words)
            connection.sendall(head + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
            assert connection.recv(100).startswith((b":", b"+OK"))
    assert server.command("ZADD", f"pexecutor:{{{queue}}}:nodes", str(lease_until), NODE) == b":0\r\n"


def spoil(server: ValkeyServer, queue: str) -> None:
    answer = server.command("EVAL", BAD_ROWS, "1", f"pexecutor:{{{queue}}}")
    assert not answer.startswith(b"-"), answer


async def records_of(node: ANode) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in (await node.executor.page(PageRequest())).records:
        found.setdefault(record.task.name, []).append(record)
    return found


async def have_ended(node: ANode, names: set[str]) -> bool:
    records = await records_of(node)
    return all(name in records and all(isinstance(one, Finished) for one in records[name]) for name in names)


def outcomes(records: list[Record]) -> list[Outcome]:
    return [record.outcome for record in records if isinstance(record, Finished)]


def errors(record: Record) -> list[str]:
    assert isinstance(record, Finished)
    return [record.ending.error or "", *[attempt.error or "" for attempt in record.attempts]]


async def is_as_it_should_be(node: ANode, *, damaged: bool) -> None:
    """All that was whole has ended as it should, once; all else has failed, and nothing holds a name."""
    node.gate.open()
    lost = DAMAGED if damaged else set()
    gone = {"wait-1"} if damaged else set()
    await eventually(lambda: have_ended(node, (WHOLE | DAMAGED | {"runs-with-follower"}) - gone))
    records = await records_of(node)
    for name in (WHOLE | DAMAGED) - lost:
        assert outcomes(records[name]) == [Outcome.SUCCEEDED], records[name]
    assert outcomes(records["fails-once"]) == [Outcome.ABANDONED]
    assert sorted(outcomes(records["runs-with-follower"])) == [Outcome.SUCCEEDED] * 2
    assert records["runs"][0].crashes == 1
    assert records["wait-3"][0].crashes == 0
    assert errors(records["done-3"][0])[0] == "nan"
    for name in ("done-2", "retried"):
        assert max(len(error.encode()) for error in errors(records[name][0])) <= 8192
    long = errors(records["done-2"][0])[0]
    assert (long[:5], long[-5:]) == ("ééééé", "xxend")
    await node.accept("held-by-nobody", *DAMAGED)
    status, _, _ = await node.post("later")
    assert status == 200, "what is scheduled holds its name"


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
async def test_a_queue_of_the_version_before(damaged: bool, server: ValkeyServer) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    load(server, queue)
    if damaged:
        spoil(server, queue)
    damages: list[str] = []
    async with a_node(server.url, queue=queue, damages=damages) as node:
        await is_as_it_should_be(node, damaged=damaged)
        assert bool(damages) == damaged, damages
    key = f"pexecutor:{{{queue}}}"
    assert server.command("HGETALL", f"{key}:meta").startswith(b"*"), "programs of layout 1 look for it"
    assert server.command("HGET", f"{key}:meta", "layout") == LAYOUT_NOW
    assert server.command("HEXISTS", f"{key}:meta", "tag") == b":0\r\n"
    assert server.command("HGET", f"{key}:head", "layout") == LAYOUT_NOW


async def give_layout(layout: str, server: ValkeyServer, queue: str) -> None:
    """Make a queue of layout 2 to 5 with a pending task. It is one of today without the keys that are new."""
    async with a_node(server.url, queue=queue, pool_size=1) as node:
        await node.accept("runs", "waits")
    for key in ("head", "meta"):
        server.command("HSET", f"pexecutor:{{{queue}}}:{key}", "layout", layout)


@pytest.mark.parametrize("layout", ["2", "3", "4", "5"])
async def test_a_queue_that_only_lacks_keys(layout: str, server: ValkeyServer) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    await give_layout(layout, server, queue)
    async with a_node(server.url, queue=queue) as node:
        assert {"runs", "waits"} <= (await records_of(node)).keys()
    for key in ("head", "meta"):
        assert server.command("HGET", f"pexecutor:{{{queue}}}:{key}", "layout") == LAYOUT_NOW


@pytest.mark.parametrize("layout", ["2", "3", "4", "5"])
async def test_nodes_of_a_later_layout_are_named(layout: str, server: ValkeyServer) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    await give_layout(layout, server, queue)
    server.command("ZADD", f"pexecutor:{{{queue}}}:nodes", str(time.time() + 60), NODE)
    with (
        pytest.raises(UnusableStoreError, match=rf"1 node of an earlier version uses.*{NODE}"),
        unwrapped_unusable_store(),
    ):
        async with a_node(server.url, queue=queue):
            pass
    assert server.command("HGET", f"pexecutor:{{{queue}}}:head", "layout") == b"$1\r\n%b\r\n" % layout.encode()


async def test_nodes_of_the_version_before_are_named(server: ValkeyServer) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    load(server, queue, lease_until=time.time() + 60)
    before = server.command("HGETALL", f"pexecutor:{{{queue}}}:meta")
    with (
        pytest.raises(UnusableStoreError, match=rf"1 node of an earlier version uses.*{NODE}"),
        unwrapped_unusable_store(),
    ):
        async with a_node(server.url, queue=queue):
            pass
    assert server.command("HGETALL", f"pexecutor:{{{queue}}}:meta") == before
    assert server.command("EXISTS", f"pexecutor:{{{queue}}}:head") == b":0\r\n"


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert a record or two a call."""
    name, text = read_functions()
    assert "MENDED_AT_ONCE_MAX = 500" in text
    text = text.replace("MENDED_AT_ONCE_MAX = 500", "MENDED_AT_ONCE_MAX = 1").replace(name, f"{name}_small")
    monkeypatch.setattr(links, "read_functions", lambda: (f"{name}_small", text))


@pytest.fixture
def own_server(program: str, tmp_path: Path) -> Iterator[ValkeyServer]:
    options = (*KEEPS_ALL, "--hash-max-listpack-entries", "1", "--zset-max-listpack-entries", "1")
    with valkey_server(tmp_path / "server", *options, program=program) as server:
        yield server


async def upgrade_some(server: ValkeyServer, queue: str, steps: int) -> bool:
    """Make so many calls of an upgrade; whether it is done."""
    link = ValkeyLink(address_of(server.url), queue)
    more: Any = True
    async with link.opened(lambda _: None):
        for _ in range(steps):
            more = _DECODERS["upgrade"].decode(await link.call("upgrade")).result.more
    return not more


@pytest.mark.usefixtures("small_steps")
async def test_a_crash_at_any_step_of_an_upgrade(own_server: ValkeyServer) -> None:
    queues = [f"test-{steps}" for steps in range(STEPS)]
    for steps, queue in enumerate(queues):
        load(own_server, queue)
        spoil(own_server, queue)
        done = await upgrade_some(own_server, queue, steps)
        assert not (done and steps < STEPS_MIN), "it takes more calls"
    own_server.kill()
    own_server.start()

    async def go_on(queue: str) -> None:
        async with a_node(own_server.url, queue=queue, patience_seconds=4.0) as node:
            await is_as_it_should_be(node, damaged=True)

    async with trio.open_nursery() as nursery:
        for queue in queues:
            nursery.start_soon(go_on, queue)


# Limits


@asynccontextmanager
async def a_store(server: ValkeyServer, queue: str) -> AsyncIterator[ValkeyStore]:
    store = valkey.make_store(address_of(server.url), queue, lease_seconds=3.0)
    store.watch(Watcher(brings=lambda _: None))
    async with store.opened():
        yield store


async def obeys_limits(store: ValkeyStore) -> None:
    """The tasks that were accepted before there were limits start only as a number of their handler allows."""
    await store.limits.set_numbers({"api": 1}, {"sync": 2})
    started: list[Running] = []
    with trio.fail_after(WAIT_SECONDS_MAX):
        while len(started) < 4:
            started += await store.claim(20)
    assert sorted(record.task.name for record in started) == ["answered", "globex-runs", "runs", "sleeps"]
    assert (await store.limits.state()).slots == {handler_key("sync"): 2}
    pending = (await store.page(PageRequest(state=State.PENDING))).records
    assert {f"waits-{number}" for number in range(8)} <= {record.task.name for record in pending}
    holders = [
        record.id for record in sorted(started, key=lambda record: record.serial) if record.task.handler == "sync"
    ]
    assert AtLimit(handler_key("sync"), 2, tuple(holders)) in await store.limits.why(pending[0].id)
    runs = next(record for record in started if record.task.name == "runs")
    await store.finish([(runs, Ending(Outcome.SUCCEEDED))])
    assert [record.task.handler for record in await store.claim(20)] == ["sync"]


async def test_tasks_from_before_there_were_limits_obey_them(server: ValkeyServer) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    load(server, queue, LAYOUT_4)
    async with a_store(server, queue) as store:
        await obeys_limits(store)
        assert [schedule.name for schedule in await store.schedules.page(10)] == ["s"]
        await store.limits.pause("sync", "me")
    async with a_store(server, queue) as store:
        state = await store.limits.state()
        assert (state.numbers, [pause.handler for pause in state.pauses]) == (
            LimitNumbers({"api": 1}, {"sync": 2}),
            ["sync"],
        )


@pytest.mark.usefixtures("small_steps")
async def test_a_crash_at_any_step_of_the_upgrade_of_a_queue_without_limits(own_server: ValkeyServer) -> None:
    queues = [f"test-{steps}" for steps in range(ENDED_OF_LAYOUT_4 + 3)]
    for steps, queue in enumerate(queues):
        load(own_server, queue, LAYOUT_4)
        assert await upgrade_some(own_server, queue, steps) == (steps > ENDED_OF_LAYOUT_4)
    own_server.kill()
    own_server.start()
    for queue in queues:
        async with a_store(own_server, queue) as store:
            await obeys_limits(store)


async def test_a_program_of_the_layout_before_refuses_the_queue(
    server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    async with a_store(server, queue):
        pass
    name, text = read_functions()
    for newer, older in ((f"local LAYOUT = '{LAYOUT}'", "local LAYOUT = '5'"), (", ['5'] = true}", "}")):
        assert newer in text
        text = text.replace(newer, older)
    text = text.replace(name, f"{name}_older")
    monkeypatch.setattr(links, "read_functions", lambda: (f"{name}_older", text))
    monkeypatch.setattr(upgrade, "LAYOUT", "5")
    wanted = "has layout 6, and this version uses layout 5: use the version that"
    with pytest.raises(UnusableStoreError, match=wanted), unwrapped_unusable_store():
        async with a_store(server, queue):
            pass
    assert server.command("HGET", f"pexecutor:{{{queue}}}:head", "layout") == LAYOUT_NOW


# Two parts of history


ENDED: Final = {
    **{f"done-{number}": Outcome.SUCCEEDED for number in (0, 2, 5, 7)},
    "done-1": Outcome.FAILED,
    "done-3": Outcome.TIMED_OUT,
    "done-4": Outcome.CANCELLED,
    "done-6": Outcome.ABANDONED,
    "cancelled-0": Outcome.CANCELLED,
}
"""The tasks that have ended in the queue of layout 5, in the order of their acceptance, and their outcomes."""

IN_ORDER: Final = ["cancelled-0", *[f"done-{number}" for number in reversed(range(8))]]


def members(server: ValkeyServer, queue: str, key: str) -> list[int]:
    """Return the numbers of the tasks in a sorted set, in its order."""
    answer = server.command("ZRANGE", f"pexecutor:{{{queue}}}:{key}", "0", "-1")
    return [int(line) for line in answer.split(b"\r\n")[2::2]]


async def has_two_parts(node: ANode, server: ValkeyServer, queue: str) -> None:
    """The tasks that have ended are in their parts, listed as one, and the others run."""
    page = await node.executor.page(PageRequest(state=State.FINISHED))
    ended = [record for record in page.records if record.task.name in ENDED]
    assert [record.task.name for record in ended] == IN_ORDER
    assert {record.task.name: record.outcome for record in ended if isinstance(record, Finished)} == ENDED
    assert members(server, queue, "history")[:4] == [1, 3, 6, 8]
    assert members(server, queue, "failures")[:5] == [2, 4, 5, 7, 9]
    node.gate.open()
    await eventually(lambda: have_ended(node, {"waits", "notifies", "runs"}))
    assert server.command("HGET", f"pexecutor:{{{queue}}}:head", "layout") == LAYOUT_NOW
    assert server.command("HGET", f"pexecutor:{{{queue}}}:meta", "layout") == LAYOUT_NOW


async def test_a_history_is_divided(server: ValkeyServer) -> None:
    queue = f"test-{secrets.token_hex(4)}"
    load(server, queue, LAYOUT_5)
    damages: list[str] = []
    async with a_node(server.url, queue=queue, damages=damages) as node:
        await has_two_parts(node, server, queue)
    assert damages == []


@pytest.mark.usefixtures("small_steps")
async def test_a_queue_is_sealed_while_its_history_is_divided(own_server: ValkeyServer) -> None:
    load(own_server, "half", LAYOUT_5)
    assert not await upgrade_some(own_server, "half", 3)
    key = "pexecutor:{half}:head"
    assert own_server.command("HGET", key, "layout") == b"$1\r\n5\r\n", "the new number comes last"
    assert b"start a node of the newer version" in own_server.command("HGET", key, "sealed")
    assert own_server.command("HEXISTS", key, "converting") == b":0\r\n", "a program of layout 5 would continue that"


@pytest.mark.usefixtures("small_steps")
async def test_a_crash_while_a_history_is_divided(own_server: ValkeyServer) -> None:
    queues = [f"divided-{steps}" for steps in range(12)]
    for steps, queue in enumerate(queues):
        load(own_server, queue, LAYOUT_5)
        assert await upgrade_some(own_server, queue, steps) == (steps > len(ENDED))
    own_server.kill()
    own_server.start()

    async def go_on(queue: str) -> None:
        async with a_node(own_server.url, queue=queue, patience_seconds=4.0) as node:
            await has_two_parts(node, own_server, queue)

    async with trio.open_nursery() as nursery:
        for queue in queues:
            nursery.start_soon(go_on, queue)
