"""Actions on many tasks: what they change, what they leave, and where they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from msgspec import UNSET
from trio.testing import MockClock

from pexecutor import Executor, Finished, LocalStore, Outcome, PageRequest, Record, State, StoreUnavailableError, Task
from pexecutor.core.bulk import IDS_LISTED_MAX, STEP_TASKS_MAX, BulkRequest
from pexecutor.handlers import Context
from pexecutor.stores.find import Filter

from ..conftest import RunHere, virtual_now
from ..fakes import Doing, Gate

ALL = 100_000
OURS = Filter(name_prefix="our-")


def ours(number: int, **fields: Any) -> list[Task]:
    return [Task(f"our-{index}", **fields) for index in range(number)]


async def fail(context: Context, task: Task) -> None:
    raise RuntimeError("disk full")


async def failed(run_here: RunHere, number: int, **settings: Any) -> Executor:
    """Return an executor with failed tasks."""
    executor = await run_here(handler=Doing(fail), pool_size=50, **settings)
    for first in range(0, number, 1000):
        await executor.submit(ours(number)[first : first + 1000])
        while executor.statistics().store.history < min(first + 1000, number):  # noqa: ASYNC110
            await trio.sleep(0.01)
    return executor


async def records(executor: Executor, state: State) -> list[Record]:
    found: list[Record] = []
    cursor = None
    while True:
        page = await executor.page(PageRequest(state, cursor=cursor))
        found += page.records
        if (cursor := page.next_cursor) is None:
            return found


async def test_a_cancel_ends_what_matches_and_nothing_else(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, pool_size=1)
    await executor.submit([*ours(3), Task("our-late", delay=1000), Task("other"), Task("other-late", delay=1000)])
    await trio.testing.wait_all_tasks_blocked()

    result = await executor.bulk.run(BulkRequest(action="cancel", filter=OURS, tasks_max=ALL))

    assert (result.matched, result.changed, result.unchanged, result.more) == (4, 4, 0, False)
    assert len(set(result.ids)) == 4
    await trio.testing.wait_all_tasks_blocked()
    ended = await records(executor, State.FINISHED)
    assert {record.task.name for record in ended} == {"our-0", "our-1", "our-2", "our-late"}
    assert {record.outcome for record in ended if isinstance(record, Finished)} == {Outcome.CANCELLED}
    assert executor.statistics().store.scheduled == 1
    assert gate.at_work == {"other"}


async def test_a_dry_run_counts_what_the_run_changes(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(handler=Gate(), queue_size=5000, pool_size=1)
    await executor.submit(ours(1201))

    counted = await executor.bulk.run(BulkRequest(action="cancel", filter=OURS, tasks_max=ALL, dry_run=True))

    assert (counted.matched, counted.changed, counted.unchanged, counted.more) == (1201, 0, 0, False)
    assert len(counted.ids) == IDS_LISTED_MAX
    assert executor.statistics().store.history == 0
    done = await executor.bulk.run(BulkRequest(action="cancel", filter=OURS, tasks_max=ALL))
    assert (done.matched, done.changed, done.ids) == (1201, 1201, counted.ids)


@pytest.mark.parametrize(("most", "more"), [(1, True), (999, True), (1000, False), (1001, False)])
async def test_a_bulk_ends_at_its_bound(run_here: RunHere, autojump_clock: MockClock, most: int, more: bool) -> None:
    executor = await run_here(handler=Gate(), queue_size=5000, pool_size=1)
    await executor.submit([Task("runs"), *ours(1000)])

    result = await executor.bulk.run(BulkRequest(action="cancel", filter=OURS, tasks_max=most))

    assert (result.matched, result.changed, result.more) == (min(most, 1000), min(most, 1000), more)


async def test_a_retry_of_what_fails_again_at_once_ends(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await failed(run_here, 1300, queue_size=5000)

    result = await executor.bulk.run(
        BulkRequest(action="retry", filter=Filter(outcome=Outcome.FAILED, error="disk"), tasks_max=ALL)
    )

    assert (result.matched, result.changed, result.more) == (1300, 1300, False)
    await trio.sleep(1)
    ended = await records(executor, State.FINISHED)
    assert len(ended) == 2600
    first = {record.serial for record in ended if record.rare is None}
    assert {record.rare.retry_of for record in ended if record.rare is not None} == first


async def test_a_retry_has_no_delay_and_meets_held_names(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await failed(run_here, 2)
    await executor.submit([Task("our-late", delay=5000)])
    await trio.sleep(10)
    await executor.submit([Task("our-1", delay=60_000)])

    result = await executor.bulk.run(BulkRequest(action="retry", filter=OURS, tasks_max=ALL))

    assert (result.matched, result.changed, result.unchanged) == (3, 2, 1)
    await trio.sleep(0.1)
    assert executor.statistics().store.history == 5, "nothing waits for its delay again"


async def test_a_retry_waits_for_room(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await failed(run_here, 700, queue_size=1000)
    blocking = [Task(f"blocks-{number}", delay=30_000) for number in range(900)]
    await executor.submit(blocking)

    result = await executor.bulk.run(BulkRequest(action="retry", filter=OURS, tasks_max=ALL))

    assert (result.matched, result.changed, result.more) == (700, 700, False)


async def test_a_retry_that_finds_no_room_says_that_more_is_left(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await failed(run_here, 700, queue_size=1000)
    await executor.submit([Task(f"blocks-{number}", delay=3_600_000) for number in range(1000)])

    result = await executor.bulk.run(BulkRequest(action="retry", filter=OURS, tasks_max=ALL))

    assert (result.matched, result.changed, result.unchanged, result.more) == (0, 0, 0, True)
    assert result.stopped == "full"


async def test_a_caller_who_stops_ends_the_wait_for_room(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await failed(run_here, 10, queue_size=1000)
    await executor.submit([Task(f"blocks-{number}", delay=3_600_000) for number in range(1000)])
    began = trio.current_time()

    result = await executor.bulk.run(
        BulkRequest(action="retry", filter=OURS, tasks_max=ALL), stops=lambda: trio.current_time() > began + 2
    )

    assert (result.changed, result.more) == (0, True)
    assert trio.current_time() < began + 5


async def test_of_several_failures_of_one_name_one_is_repeated(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await failed(run_here, 3)
    for _ in range(2):
        await executor.submit(ours(3))
        await trio.sleep(1)
    latest = {record.task.name: record.serial for record in reversed(await records(executor, State.FINISHED))}

    result = await executor.bulk.run(BulkRequest(action="retry", filter=OURS, tasks_max=ALL))

    assert (result.matched, result.changed, result.unchanged) == (9, 3, 6)
    await trio.sleep(1)
    again = {
        record.task.name: record.rare.retry_of for record in await records(executor, State.FINISHED) if record.rare
    }
    assert again == latest


async def test_a_retry_leaves_out_what_its_handler_refuses_by_now(run_here: RunHere, autojump_clock: MockClock) -> None:
    store = LocalStore(now=virtual_now)
    async with trio.open_nursery() as nursery:
        executor = await run_here(store, handler=Doing(fail))
        await executor.submit(ours(3))
        await trio.sleep(1)
        executor.handlers._handlers["sleep"] = Refusing(fail)  # as after a restart with other settings

        result = await executor.bulk.run(BulkRequest(action="retry", filter=OURS, tasks_max=ALL))

        assert (result.matched, result.changed, result.unchanged, result.more) == (3, 0, 3, False)
        nursery.cancel_scope.cancel()


class Refusing(Doing):
    def check(self, task: Task) -> tuple[str, str] | None:
        return "params", "refused"


async def test_a_lower_priority_is_given_once_to_each(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(handler=Gate(), queue_size=5000, pool_size=1)
    await executor.submit([Task("runs"), *ours(1100), Task("other", priority=-5)])

    result = await executor.bulk.run(BulkRequest(action="priority", filter=OURS, tasks_max=ALL, priority=-10))

    assert (result.matched, result.changed, result.more) == (1100, 1100, False)
    waiting = await records(executor, State.PENDING)
    assert [record.task.name for record in waiting] == ["other", *(f"our-{index}" for index in range(1100))]


async def test_ids_name_the_tasks(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(handler=Gate(), pool_size=1)
    verdicts = await executor.submit(ours(4))
    ids = [verdict.record.id for verdict in verdicts if verdict.verdict == "accepted"]

    named = [ids[3], ids[1], ids[1], "nothing", "123456-99"]
    result = await executor.bulk.run(BulkRequest(action="cancel", task_ids=named, tasks_max=ALL))

    assert (result.matched, result.changed, result.ids) == (2, 2, [ids[3], ids[1]])
    assert result.unknown == 2
    assert (await executor.bulk.run(BulkRequest(action="cancel", filter=OURS, tasks_max=ALL))).unknown is UNSET


async def test_the_id_of_a_task_that_is_no_longer_kept_is_unknown(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(LocalStore(history_failed_records_max=1, now=virtual_now), handler=Doing(fail))
    verdicts = await executor.submit(ours(3))
    accepted = [verdict.record.id for verdict in verdicts if verdict.verdict == "accepted"]
    await trio.sleep(1)

    request = BulkRequest(action="retry", task_ids=accepted, tasks_max=ALL, dry_run=True)
    result = await executor.bulk.run(request)

    assert (result.matched, result.unknown) == (1, 2)


async def test_a_caller_stops_a_bulk_between_two_steps(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(handler=Gate(), queue_size=5000, pool_size=1)
    await executor.submit([Task("runs"), *ours(1400)])
    steps = iter([False, False, True])

    result = await executor.bulk.run(
        BulkRequest(action="cancel", filter=OURS, tasks_max=ALL), stops=lambda: next(steps)
    )

    assert (result.changed, result.more) == (2 * STEP_TASKS_MAX, True)
    assert executor.statistics().store.history == 2 * STEP_TASKS_MAX


async def test_other_tasks_get_their_turn_between_two_steps(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(handler=Gate(), queue_size=5000, pool_size=1)
    await executor.submit([Task("runs"), *ours(2000)])
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(executor.statistics().store.history)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await executor.bulk.run(BulkRequest(action="cancel", filter=OURS, tasks_max=ALL))
        nursery.cancel_scope.cancel()

    assert {STEP_TASKS_MAX, 2 * STEP_TASKS_MAX, 3 * STEP_TASKS_MAX} <= set(seen)


class Failing(LocalStore):
    """A store whose steps fail after some."""

    good = 1

    async def cancel_many(self, task_ids: Sequence[str]) -> Any:
        if self.good == 0:
            raise StoreUnavailableError("the disk is full")
        self.good -= 1
        return await super().cancel_many(task_ids)


async def test_a_store_that_fails_later_ends_the_bulk_with_what_was_done(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    store = Failing(queue_size=5000, now=virtual_now)
    executor = await run_here(store, handler=Gate(), pool_size=1)
    await executor.submit([Task("runs"), *ours(1400)])

    result = await executor.bulk.run(BulkRequest(action="cancel", filter=OURS, tasks_max=ALL))

    assert (result.changed, result.more) == (STEP_TASKS_MAX, True)
    with pytest.raises(StoreUnavailableError):
        await executor.bulk.run(BulkRequest(action="cancel", filter=OURS, tasks_max=ALL))


@pytest.mark.parametrize(
    ("request_fields", "why"),
    [
        ({"action": "cancel"}, "no task is named"),
        ({"action": "cancel", "filter": Filter()}, "no task is named"),
        ({"action": "cancel", "filter": OURS, "task_ids": ["000000-1"]}, "exclude each other"),
        ({"action": "cancel", "filter": Filter(State.FINISHED)}, "matches no scheduled or pending or running task"),
        ({"action": "cancel", "filter": Filter(outcome=Outcome.FAILED)}, "matches no scheduled or pending or running"),
        ({"action": "retry", "filter": Filter(State.RUNNING)}, "matches no finished task"),
        ({"action": "priority", "filter": Filter(State.RUNNING)}, "matches no scheduled or pending task"),
    ],
)
def test_a_bulk_without_sense_is_refused(request_fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        BulkRequest(tasks_max=1, **request_fields)
