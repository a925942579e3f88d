from __future__ import annotations

import pytest
from trio.testing import MockClock

from pexecutor import (
    Ending,
    ExpiredTaskError,
    InvalidCursorError,
    LocalStore,
    Outcome,
    PageRequest,
    State,
    Task,
    UnknownTaskError,
)

from ...conftest import EPOCH


async def finish(store: LocalStore, name: str) -> str:
    await store.submit([Task(name)])
    [running] = await store.claim(1)
    [finished] = await store.finish([(running, Ending(Outcome.SUCCEEDED))])
    assert finished is not None
    return finished.id


async def names(store: LocalStore, **request: object) -> list[str]:
    page = await store.page(PageRequest(**request))  # type: ignore[arg-type]
    return [record.task.name for record in page.records]


async def test_history_is_bounded_by_count() -> None:
    store = LocalStore(history_records_max=2)
    ids = [await finish(store, name) for name in "abc"]
    assert await names(store) == ["c", "b"]
    with pytest.raises(ExpiredTaskError):
        await store.get(ids[0])
    assert (await store.get(ids[1])).task.name == "b"


async def test_history_is_bounded_by_age() -> None:
    now = EPOCH
    store = LocalStore(history_seconds_max=60, now=lambda: now)
    first = await finish(store, "a")
    now += 61
    await finish(store, "b")
    assert await names(store) == ["b"]
    with pytest.raises(ExpiredTaskError):
        await store.get(first)


async def test_a_clock_that_is_set_back_loses_nothing() -> None:
    now = EPOCH
    store = LocalStore(history_seconds_max=60, now=lambda: now)
    await finish(store, "a")
    now -= 3600
    await finish(store, "b")
    assert await names(store) == ["b", "a"]


@pytest.mark.parametrize("task_id", ["", "x", "00000a-1", "000001-0", "000001-2", "000001-99999999999999", "000001-01"])
async def test_an_id_that_was_never_given_is_unknown(task_id: str) -> None:
    store = LocalStore(tag=1)
    await finish(store, "a")
    with pytest.raises(UnknownTaskError):
        await store.get(task_id)


async def test_each_task_that_stays_put_is_listed_exactly_once_while_others_come_and_go(
    autojump_clock: MockClock,
) -> None:
    store = LocalStore(queue_size=100)
    await store.submit([Task(f"old-{number}", priority=number % 3) for number in range(30)])
    expected = await names(store, limit=100)
    seen: list[str] = []
    cursor: str | None = None
    for turn in range(100):
        page = await store.page(PageRequest(limit=4, cursor=cursor))
        seen += [record.task.name for record in page.records]
        await store.submit([Task(f"new-{turn}", priority=1)])
        [running] = await store.claim(1)  # the first in order: seen already, or new
        expected = [name for name in expected if name != running.task.name]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [name for name in seen if name in expected] == expected


@pytest.mark.parametrize(
    "cursor", ["", "x", "pending.0", "pending.x.1", "finished.0.1", "nothing.0.1", "pending.0.1.2"]
)
async def test_a_cursor_of_another_listing_is_refused(cursor: str) -> None:
    store = LocalStore()
    with pytest.raises(InvalidCursorError):
        await store.page(PageRequest(state=State.PENDING, cursor=cursor))


async def test_a_listing_by_name_finds_the_holder_and_the_past_ones() -> None:
    store = LocalStore()
    await finish(store, "a")
    await finish(store, "b")
    await store.submit([Task("a"), Task("c")])
    page = await store.page(PageRequest(name="a"))
    assert [record.state for record in page.records] == [State.PENDING, State.FINISHED]
    page = await store.page(PageRequest(name="a", limit=1))
    assert page.next_cursor is not None
    page = await store.page(PageRequest(name="a", cursor=page.next_cursor))
    assert [record.state for record in page.records] == [State.FINISHED]
