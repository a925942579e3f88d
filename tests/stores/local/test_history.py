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


async def finish_as(
    store: LocalStore, name: str, outcome: Outcome, result: bytes | None = None, keep: int | None = None
) -> str:
    await store.submit([Task(name, keep=keep)])
    [running] = await store.claim(1)
    [finished] = await store.finish([(running, Ending(outcome, "so", retryable=False, result=result))])
    assert finished is not None
    return finished.id


async def test_successes_do_not_displace_other_outcomes() -> None:
    store = LocalStore(history_records_max=2, history_failed_records_max=3)
    for number, outcome in enumerate([Outcome.FAILED, Outcome.CANCELLED, *[Outcome.SUCCEEDED] * 3, Outcome.TIMED_OUT]):
        await finish_as(store, f"{number}", outcome)
    assert await names(store) == ["5", "4", "3", "1", "0"]
    assert store.statistics().history == 5
    await finish_as(store, "6", Outcome.FAILED)
    assert await names(store) == ["6", "5", "4", "3", "1"]
    assert await names(store, outcome=Outcome.SUCCEEDED) == ["4", "3"]
    assert await names(store, outcome=Outcome.TIMED_OUT) == ["5"]


async def test_pages_of_both_parts_are_one_listing() -> None:
    store = LocalStore()
    for number in range(9):
        await finish_as(store, f"{number}", Outcome.FAILED if number % 3 else Outcome.SUCCEEDED)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.page(PageRequest(State.FINISHED, limit=2, cursor=cursor))
        found += [record.task.name for record in page.records]
        if (cursor := page.next_cursor) is None:
            break
    assert found == [f"{number}" for number in range(9)][::-1]


async def test_each_part_has_its_age() -> None:
    now = EPOCH
    store = LocalStore(history_seconds_max=60, history_failed_seconds_max=600, now=lambda: now)
    await finish_as(store, "succeeded", Outcome.SUCCEEDED)
    await finish_as(store, "failed", Outcome.FAILED)
    await finish_as(store, "failed-for-less", Outcome.FAILED, keep=100_000)
    for seconds, kept in ((59, 3), (2, 2), (38, 2), (2, 1), (498, 1), (2, 0)):
        now += seconds
        assert store.statistics().history == kept


async def test_over_the_bytes_successes_go_first_and_the_latest_stays() -> None:
    store = LocalStore(history_bytes_max=3500)
    await finish_as(store, "f", Outcome.FAILED, b"1" * 1000)
    await finish_as(store, "a", Outcome.SUCCEEDED, b"1" * 1000)
    await finish_as(store, "b", Outcome.SUCCEEDED, b"1" * 1000)
    assert await names(store) == ["b", "a", "f"]
    await finish_as(store, "g", Outcome.FAILED, b"1" * 1000)
    assert await names(store) == ["g", "b", "f"]
    await finish_as(store, "c", Outcome.SUCCEEDED, b"1" * 2500)
    assert await names(store) == ["c"]
    await finish_as(store, "h", Outcome.FAILED, b"1" * 5000)
    assert await names(store) == ["h"]
    await finish_as(store, "d", Outcome.SUCCEEDED)
    assert await names(store) == ["d"]
