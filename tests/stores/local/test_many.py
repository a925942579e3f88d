"""Steps that cancel or change many tasks in memory, and records that name the task that they repeat."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor import Accepted, Ending, Finished, Following, LocalStore, Outcome, Pending, Running, Scheduled, Task
from pexecutor.limits.defaults import STEP_RECORDS_MAX
from pexecutor.stores import PageRequest, Watcher
from pexecutor.task import Brings, Rare, Record

SUCCEEDED = Ending(Outcome.SUCCEEDED)


async def accept(store: LocalStore, *tasks: Task) -> list[str]:
    verdicts = await store.submit(tasks)
    return [verdict.record.id for verdict in verdicts if isinstance(verdict, Accepted)]


async def run_one(store: LocalStore, task: Task) -> Running:
    await accept(store, task)
    [running] = await store.claim(1)
    return running


def kinds(records: Sequence[Record | None]) -> list[str]:
    return [type(record).__name__ for record in records]


async def test_each_task_of_a_list_has_the_result_of_a_single_cancel() -> None:
    store = LocalStore()
    running = await run_one(store, Task("runs"))
    [ended] = await store.finish([(await run_one(store, Task("ended")), SUCCEEDED)])
    assert ended is not None
    ids = await accept(store, Task("later", delay=60_000), Task("now"), Task("runs", on_conflict="latest"))
    results = await store.cancel_many([running.id, *ids, ended.id, "nonsense", ids[0]])
    assert kinds(results) == ["Running", "Finished", "Finished", "Finished", "NoneType", "NoneType", "NoneType"]
    assert results[0] is running
    assert {record.outcome for record in results if isinstance(record, Finished)} == {Outcome.CANCELLED}
    assert store.statistics().finished == {Outcome.SUCCEEDED: 1, Outcome.CANCELLED: 3}
    assert await store.submit([Task("later"), Task("now")])


@pytest.mark.parametrize("holder_first", [True, False])
async def test_a_task_and_its_follower_can_be_cancelled_in_one_step(holder_first: bool) -> None:
    store = LocalStore()
    running = await run_one(store, Task("a"))
    [follower] = await accept(store, Task("a", on_conflict="latest"))
    await store.release([running])
    ids = [running.id, follower]
    changes: list[Record] = []
    store.watch(Watcher(changes.extend))
    results = await store.cancel_many(ids if holder_first else ids[::-1])
    assert kinds(results) == ["Finished", "Finished"]
    assert sorted(record.id for record in changes) == sorted(ids)
    assert len(store.statistics().finished_by_handler) == 1
    assert isinstance((await store.submit([Task("a")]))[0], Accepted)


async def test_a_cancelled_task_passes_its_name_on() -> None:
    store = LocalStore()
    running = await run_one(store, Task("a"))
    [follower] = await accept(store, Task("a", on_conflict="latest"))
    await store.release([running])
    assert kinds(await store.cancel_many([running.id])) == ["Finished"]
    assert isinstance(await store.get(follower), Pending)


async def test_a_step_changes_a_bounded_number_of_records() -> None:
    store = LocalStore(queue_size=1000)
    ids = await accept(store, *[Task(f"task-{number}") for number in range(STEP_RECORDS_MAX + 100)])
    assert len(await store.cancel_many(ids)) == STEP_RECORDS_MAX
    assert len(await store.cancel_many(ids[STEP_RECORDS_MAX:])) == 100
    assert store.statistics().pending == 0


async def test_followers_and_deliveries_count_as_records() -> None:
    store = LocalStore(queue_size=1000)
    ids = await accept(store, *[Task(f"task-{number}") for number in range(200)])
    running = await store.claim(200)
    await accept(store, *[Task(f"task-{number}", on_conflict="latest") for number in range(200)])
    await store.release(running)
    store.watch(Watcher(brings=lambda _: Brings(cancelled=("one", "two"), failed=("one",))))
    more = await accept(store, *[Task(f"more-{number}") for number in range(200)])
    changes: list[Record] = []
    store.watch(Watcher(changes.extend))
    results = await store.cancel_many(more + ids)
    assert len(results) == STEP_RECORDS_MAX // 3
    assert len(changes) + store.statistics().deliveries <= STEP_RECORDS_MAX
    changes.clear()
    assert len(await store.cancel_many(ids)) == 200
    assert len(changes) == 400


async def test_a_task_that_alone_exceeds_the_bound_is_changed() -> None:
    store = LocalStore()
    targets = tuple(f"target-{number}" for number in range(STEP_RECORDS_MAX))
    store.watch(Watcher(brings=lambda _: Brings(cancelled=targets)))
    ids = await accept(store, Task("a"), Task("b"))
    assert kinds(await store.cancel_many(ids)) == ["Finished"]


async def test_cancelled_tasks_leave_room() -> None:
    store = LocalStore(queue_size=2)
    ids = await accept(store, Task("a"), Task("b"))
    await store.cancel_many(ids)
    assert await store.wait_for_room(2, 2) == 2


async def test_each_task_of_a_list_has_the_result_of_a_single_change() -> None:
    store = LocalStore()
    running = await run_one(store, Task("runs"))
    ids = await accept(
        store, Task("first"), Task("now"), Task("later", delay=60_000), Task("runs", on_conflict="latest")
    )
    results = await store.change_many([running.id, *ids[1:], "nonsense"], priority=5)
    assert kinds(results) == ["NoneType", "Pending", "Scheduled", "Following", "NoneType"]
    assert [record.task.priority for record in results if record is not None] == [5, 5, 5]
    assert [record.task.name for record in await store.claim(2)] == ["now", "first"]


async def test_a_change_of_many_is_bounded() -> None:
    store = LocalStore(queue_size=1000)
    ids = await accept(store, *[Task(f"task-{number}") for number in range(STEP_RECORDS_MAX + 1)])
    assert len(await store.change_many(ids, priority=1)) == STEP_RECORDS_MAX


async def test_a_record_keeps_the_task_that_it_repeats() -> None:
    store = LocalStore()
    running = await run_one(store, Task("held"))
    tasks = [Task("a"), Task("b", delay=60_000), Task("held", on_conflict="latest"), Task("c")]
    verdicts = await store.submit(tasks, retry_of=[7, 8, 9, 0])
    records = [verdict.record for verdict in verdicts if isinstance(verdict, Accepted)]
    assert [type(record) for record in records] == [Pending, Scheduled, Following, Pending]
    assert [record.rare for record in records] == [Rare(retry_of=7), Rare(retry_of=8), Rare(retry_of=9), None]
    await store.finish([(running, SUCCEEDED)])
    follower = await store.get(records[2].id)
    assert isinstance(follower, Pending)
    assert follower.rare == Rare(retry_of=9)


async def test_a_task_whose_content_is_replaced_repeats_what_the_new_content_repeats() -> None:
    store = LocalStore()
    latest = Task("a", on_conflict="latest")
    for retry_of in (7, 8, 0):
        [verdict] = await store.submit([latest], retry_of=[retry_of])
        assert isinstance(verdict, Accepted)
        assert verdict.record.rare == (Rare(retry_of=retry_of) if retry_of else None)
    [joined] = await store.submit([Task("a", on_conflict="join")], retry_of=[9])
    assert isinstance(joined, Accepted)
    assert joined.record.rare is None
    assert len((await store.page(PageRequest())).records) == 1


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(-1, 1), st.sampled_from([0, 5000])), max_size=30),
    st.sets(st.integers(0, 29)),
    st.sampled_from([None, -1, 0, 1]),
)
async def test_a_step_leaves_the_store_as_single_changes_do(
    tasks: list[tuple[str, int, int]], which: set[int], priority: int | None
) -> None:
    """``priority`` is the new one; ``None`` stands for a cancel."""
    now = 1e9
    one, many = (LocalStore(tag=1, now=lambda: now) for _ in range(2))
    submitted = [
        Task(f"task-{number}", handler=handler, priority=priority, delay=delay)
        for number, (handler, priority, delay) in enumerate(tasks)
    ]
    for store in (one, many):
        await store.submit([*submitted, Task("stays", delay=5000)])
    ids = [record.id for record in (await many.page(PageRequest())).records if record.task.name != "stays"]
    chosen = [task_id for number, task_id in enumerate(ids) if number in which]
    for task_id in chosen:
        await (one.cancel(task_id) if priority is None else one.change_waiting(task_id, priority=priority))
    if priority is None:
        assert len(await many.cancel_many(chosen)) == len(chosen)
    else:
        assert len(await many.change_many(chosen[::-1], priority=priority)) == len(chosen)
    for _ in range(2):
        assert await many.page(PageRequest()) == await one.page(PageRequest())
        assert many.statistics() == one.statistics()
        now += 10.0  # what was scheduled becomes due, except for the cancelled tasks
    assert await many.claim(50) == await one.claim(50)
