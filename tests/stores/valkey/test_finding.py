"""Pages with filters and steps of many changes, on a real server."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import trio

from pexecutor import Ending, Finished, Outcome, PageRequest, Record, Running, State, Task
from pexecutor.conformance.asking import until
from pexecutor.limits.defaults import STEP_RECORDS_MAX
from pexecutor.stores import Watcher, valkey
from pexecutor.stores.find import Filter
from pexecutor.stores.valkey import ValkeyStore, protocol
from pexecutor.task import Brings, Rare, parse_task_id

from .server import ValkeyServer
from .test_conformance import address_of

FAR = datetime(2100, 1, 1, tzinfo=UTC)
ERRORS = [
    *(None, "", "broken pipe", 'a "quoted" one', "two\nlines", "back\\slash", "a/b", "Zoë", "bell\x07"),
    '","retryable":',
]


@pytest.fixture
def queue() -> str:
    return f"test-{secrets.token_hex(4)}"


@asynccontextmanager
async def node(server: ValkeyServer, queue: str, **settings: Any) -> AsyncIterator[ValkeyStore]:
    store = valkey.make_store(address_of(server), queue, lease_seconds=3.0, queue_size=5000, **settings)
    async with store.opened():
        yield store


async def pages(store: ValkeyStore, request: Filter, *, limit: int = 1000, **bounds: Any) -> list[list[Record]]:
    """Return the records of all pages of a filter."""
    found: list[list[Record]] = []
    criteria = {name: getattr(request, name) for name in Filter.__struct_fields__}
    cursor = None
    while True:
        page = await store.page(PageRequest(**criteria, limit=limit, cursor=cursor, **bounds))
        assert len(page.records) <= limit
        found.append(page.records)
        if (cursor := page.next_cursor) is None:
            return found


async def every(store: ValkeyStore, request: Filter, **settings: Any) -> list[Record]:
    return [record for page in await pages(store, request, **settings) for record in page]


def ids(records: Sequence[Record | None]) -> list[str | None]:
    return [None if record is None else record.id for record in records]


async def fill(store: ValkeyStore) -> list[Record]:
    """Make records of each state with a variety of properties; return them in listing order."""
    ended = [Task(f"end-{number}", handler="sleep" if number % 2 else "http", tags=("old",)) for number in range(12)]
    await store.submit(ended)
    running: list[Running] = []
    while len(running) < len(ended):
        running += await store.claim(100)
    outcomes = [*Outcome, *Outcome, *Outcome]
    errors = [ERRORS[number % len(ERRORS)] for number in range(12)]
    await store.finish([(one, Ending(*how)) for one, *how in zip(running, outcomes, errors, strict=False)])
    await store.submit([Task("runs", tags=("a", 'odd "tag"')), Task("runs-too", handler="http")])
    assert len(await store.claim(2)) == 2
    await store.submit(
        [
            *[Task(f"wait-{number}", priority=number % 3, tags=("a", "b")[: number % 3]) for number in range(9)],
            Task("later", run_at=FAR, tags=("b",)),
            Task("runs", on_conflict="latest", params={"text": '"a"'}, tags=("bé",)),
        ]
    )
    return await every(store, Filter())


def filters(records: Sequence[Record]) -> list[Filter]:
    """Return filters with one criterion, and with two."""
    times = sorted({record.submitted_at for record in records})
    ends = sorted({record.finished_at for record in records if isinstance(record, Finished)})
    criteria: list[dict[str, Any]] = [
        *[{"state": state} for state in State],
        *[{"outcome": outcome} for outcome in Outcome],
        *[{"name": name} for name in ("runs", "end-1", "wait-4", "later", "none")],
        *[{"name_prefix": prefix} for prefix in ("", "runs", "wait-", "none")],
        *[{"handler": handler} for handler in ("sleep", "http", "none")],
        *[{"tags": tags} for tags in (("a",), ("a", "b"), ("b", "a"), ('odd "tag"',), ("bé",), ("none",))],
        *[{"since": at} for at in (times[0], times[-1], times[-1] + 1)],
        *[{"until": at} for at in (times[0], times[-1])],
        *[{"finished_since": at} for at in (ends[0], ends[-1], ends[-1] + 1)],
        *[{"error": error} for error in ("", "pipe", '"quoted"', "n", "\n", "\\", "/", "ë", "\x07", "retryable")],
    ]
    return [Filter(**one) for one in criteria] + [
        Filter(**one | another)
        for one in criteria[::3]
        for another in criteria[1::3]
        if not one.keys() & another.keys()
    ]


async def test_a_filter_matches_what_it_says(server: ValkeyServer, queue: str) -> None:
    async with node(server, queue) as store:
        records = await fill(store)
        assert {record.state for record in records} == set(State)
        for one in filters(records):
            expected = ids([record for record in records if one.matches(record)])
            assert ids(await every(store, one)) == expected, one
            assert ids(await every(store, one, limit=2)) == expected, one


async def test_a_page_examines_a_bounded_number_of_records(
    server: ValkeyServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(protocol.NUMBERS["LIMIT"], "page_examined_max", 5)
    async with node(server, queue) as store:
        records = await fill(store)
        for one in filters(records):
            found = await pages(store, one)
            assert ids([record for page in found for record in page]) == ids([r for r in records if one.matches(r)]), (
                one
            )
        found = await pages(store, Filter(name_prefix="none"))
        assert [len(page) for page in found] == [0] * -(-len(records) // 5)


async def test_a_page_ends_when_it_has_many_bytes(
    server: ValkeyServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(protocol.NUMBERS["LIMIT"], "page_bytes_max", 3000)
    async with node(server, queue) as store:
        await store.submit([Task(f"task-{number}", params={"text": "x" * 1000}) for number in range(10)])
        found = await pages(store, Filter())
        assert [len(page) for page in found[:3]] == [3, 3, 3]
        assert len([record for page in found for record in page]) == 10


async def test_later_tasks_are_left_out(server: ValkeyServer, queue: str) -> None:
    async with node(server, queue) as store:
        assert (await store.page(PageRequest())).serial_last == 0
        [first] = await store.submit([Task("first")])
        last = (await store.page(PageRequest(limit=1))).serial_last
        await store.submit([Task("second")])
        records = await every(store, Filter(), serial_max=last)
        assert (ids(records), last) == ([first.record.id], first.record.serial)  # type: ignore[union-attr]
        assert await every(store, Filter(), serial_max=0) == []
        assert len(await every(store, Filter(), serial_max=1 << 80)) == 2


async def submit(store: ValkeyStore, *tasks: Task) -> list[str]:
    return [verdict.record.id for verdict in await store.submit(tasks)]  # type: ignore[union-attr]


async def test_many_are_cancelled_in_one_step(server: ValkeyServer, queue: str) -> None:
    changed: list[Record] = []
    async with node(server, queue) as store, node(server, queue) as other:
        cancelled: list[int] = []
        other.watch(Watcher(cancel=cancelled.append))

        async def is_notified() -> bool:
            await trio.lowlevel.checkpoint()
            return cancelled == [running.serial]

        store.watch(Watcher(changed.extend))
        [runs] = await submit(store, Task("runs"))
        with trio.fail_after(5):
            [running] = await other.claim(1)
        waiting = await submit(
            store, Task("runs", on_conflict="latest"), Task("waits"), Task("waits-too"), Task("later", run_at=FAR)
        )
        changed.clear()
        results = await store.cancel_many([waiting[1], runs, "ffffff-1", "nonsense", waiting[1], *waiting])
        assert ids(results) == [waiting[1], runs, None, None, None, waiting[0], None, *waiting[2:]]
        assert [getattr(record, "outcome", None) for record in results if record] == [
            *(Outcome.CANCELLED, None),
            *[Outcome.CANCELLED] * 3,
        ]
        assert ids(changed) == [waiting[1], waiting[0], *waiting[2:]]
        await until(is_notified, "the node is notified")
        assert await store.cancel_many([]) == []
        await other.finish([(running, Ending(Outcome.CANCELLED))])


async def test_a_delivery_counts_as_a_change(server: ValkeyServer, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(protocol.NUMBERS["LIMIT"], "changes_max", 4)
    brings = Brings(cancelled=("ops", "dev"), failed=("ops", "dev", "more"))
    async with node(server, queue) as store:
        store.watch(Watcher(brings=lambda _: brings))
        tasks = await submit(store, *[Task(f"waits-{number}") for number in range(3)])
        assert ids(await store.cancel_many(tasks)) == tasks[:1], "three changes; six do not fit"
        assert store.statistics().deliveries == 2
        monkeypatch.setitem(protocol.NUMBERS["LIMIT"], "changes_max", 2)
    async with node(server, queue) as store:
        assert ids(await store.cancel_many(tasks[1:])) == tasks[1:2], "one is always changed"


async def test_a_follower_counts_as_a_change(server: ValkeyServer, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(protocol.NUMBERS["LIMIT"], "changes_max", 4)
    async with node(server, queue) as store:
        holders = await submit(store, *[Task(f"name-{number}") for number in range(3)])
        running = await store.claim(3)
        followers = await submit(store, *[Task(f"name-{number}", on_conflict="latest") for number in range(3)])
        await store.release(running)
        assert ids(await store.cancel_many(holders)) == holders[:2]
        assert ids(await every(store, Filter(name_prefix="name-", state=State.SCHEDULED))) == followers[2:]


async def test_a_step_ends_when_it_has_many_bytes(
    server: ValkeyServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(protocol.NUMBERS["LIMIT"], "step_bytes_max", 2500)
    async with node(server, queue) as store:
        tasks = await submit(store, *[Task(f"task-{number}", params={"text": "x" * 1000}) for number in range(5)])
        assert ids(await store.cancel_many(tasks)) == tasks[:3]
        assert ids(await store.change_many(tasks[3:], priority=2)) == tasks[3:]


async def test_a_long_list_is_changed_in_steps(server: ValkeyServer, queue: str) -> None:
    async with node(server, queue) as store:
        tasks = await submit(store, *[Task(f"task-{number}") for number in range(STEP_RECORDS_MAX + 2)])
        assert ids(await store.cancel_many(tasks)) == tasks[:STEP_RECORDS_MAX]
        assert ids(await store.cancel_many(tasks[STEP_RECORDS_MAX:])) == tasks[STEP_RECORDS_MAX:]
        assert store.statistics().pending == 0


async def test_many_get_another_priority(server: ValkeyServer, queue: str) -> None:
    changed: list[Record] = []
    async with node(server, queue) as store:
        [runs] = await submit(store, Task("runs"))
        await store.claim(1)
        store.watch(Watcher(changed.extend))
        first, second, later = await submit(store, Task("first"), Task("second"), Task("later", run_at=FAR))
        changed.clear()
        results = await store.change_many([second, runs, "nonsense", later, second], priority=7)
        assert ids(results) == [second, None, None, later, second]
        assert {record.task.priority for record in results if record} == {7}
        assert ids(changed) == [second, later]
        assert ids(await store.claim(2)) == [second, first]


async def test_a_record_keeps_the_task_that_it_repeats(server: ValkeyServer, queue: str) -> None:
    async with node(server, queue, crashes_max=5) as store:
        first = parse_task_id((await submit(store, Task("first")))[0])
        assert first is not None
        [again, plain] = await store.submit([Task("again"), Task("plain")], retry_of=[first, 0])
        assert (again.record.rare, plain.record.rare) == (Rare(retry_of=first), None)  # type: ignore[union-attr]
        found = {record.task.name: record.rare for record in await every(store, Filter())}
        assert found == {"first": None, "again": Rare(retry_of=first), "plain": None}
        [renewed] = await store.submit([Task("plain", on_conflict="latest")], retry_of=[first])
        assert renewed.record.rare == Rare(retry_of=first)  # type: ignore[union-attr]
    async with node(server, queue) as store:
        running = {one.task.name: one.rare for one in await store.claim(3)}
        assert running["again"] == Rare(retry_of=first)
