"""The operations on schedules: put, pause, remove, and one occurrence on request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from pexecutor import Accepted, Draining, Duplicate, Executor, Full, LocalStore, Task
from pexecutor.errors import (
    InvalidScheduleError,
    OwnedScheduleError,
    TooManySchedulesError,
    UnknownScheduleError,
)
from pexecutor.schedules.declaration import ScheduleDeclaration
from pexecutor.stores.schedules import Fired, NextTime, Schedule, ScheduleBounds

from ..conftest import EPOCH, RunHere, virtual_now
from ..fakes import Gate

NIGHTLY = ScheduleDeclaration(Task("dump"), cron="0 3 * * *")


def every(ms: int = 3_600_000, **fields: Any) -> ScheduleDeclaration:
    return ScheduleDeclaration(fields.pop("task", Task("task")), every=ms, **fields)


@pytest.fixture
async def executor(run_here: RunHere, autojump_clock: MockClock) -> Executor:
    return await run_here()


async def test_a_new_schedule_has_its_next_time(executor: Executor, autojump_clock: MockClock) -> None:
    stored = await executor.schedules.put("nightly", NIGHTLY)

    assert stored.is_new
    assert stored.schedule == await executor.schedules.get("nightly")
    assert stored.schedule.owner == "api"
    assert not stored.schedule.paused
    assert stored.schedule.next is not None
    assert datetime.fromtimestamp(stored.schedule.next.at, UTC).strftime("%H:%M:%S") == "03:00:00"


async def test_an_equal_definition_changes_nothing(executor: Executor, autojump_clock: MockClock) -> None:
    first = await executor.schedules.put("nightly", NIGHTLY)
    await trio.sleep(86_400 / 2)
    second = await executor.schedules.put("nightly", NIGHTLY)

    assert not second.is_new
    assert second.schedule == first.schedule


async def test_an_interval_begins_at_the_first_put(executor: Executor, autojump_clock: MockClock) -> None:
    first = (await executor.schedules.put("s", every())).schedule
    await trio.sleep(600)
    same = (await executor.schedules.put("s", every())).schedule
    changed = (await executor.schedules.put("s", every(task=Task("other")))).schedule

    assert first.next == NextTime(EPOCH + 3600, EPOCH + 3600)
    assert same == first
    assert changed.definition.start_at == first.definition.start_at == datetime.fromtimestamp(EPOCH, UTC)
    assert changed.next == first.next
    assert changed.generation > first.generation


async def test_a_given_start_is_the_first_occurrence(executor: Executor, autojump_clock: MockClock) -> None:
    start = datetime.fromtimestamp(EPOCH, UTC) + timedelta(minutes=5)
    await executor.schedules.put("s", every())
    schedule = (await executor.schedules.put("s", every(start_at=start))).schedule

    assert schedule.next == NextTime(EPOCH + 300, EPOCH + 300)


async def test_a_cron_schedule_that_becomes_an_interval_begins_then(
    executor: Executor, autojump_clock: MockClock
) -> None:
    await executor.schedules.put("s", NIGHTLY)
    await trio.sleep(60)
    schedule = (await executor.schedules.put("s", every())).schedule

    assert schedule.next == NextTime(EPOCH + 60 + 3600, EPOCH + 60 + 3600)


async def test_a_changed_expression_changes_the_next_time(executor: Executor, autojump_clock: MockClock) -> None:
    first = (await executor.schedules.put("s", NIGHTLY)).schedule
    second = (await executor.schedules.put("s", ScheduleDeclaration(Task("dump"), cron="0 4 * * *"))).schedule

    assert first.next is not None
    assert second.next is not None
    assert second.next.at == first.next.at + 3600


async def test_the_start_is_a_whole_millisecond(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(LocalStore(now=lambda: EPOCH + 0.000_9))
    schedule = (await executor.schedules.put("s", every())).schedule

    assert schedule.definition.start_at == datetime.fromtimestamp(EPOCH, UTC)


@pytest.mark.parametrize(
    ("declaration", "field", "message"),
    [
        (ScheduleDeclaration(Task("t"), cron="61 * * * *"), "cron", "for example"),
        (ScheduleDeclaration(Task("t"), cron="0 3 * * *", timezone="Mars"), "timezone", "'Mars' is unknown"),
        (ScheduleDeclaration(Task("t", handler="dump"), cron="0 3 * * *"), "task.handler", "unknown handler `dump`"),
        (ScheduleDeclaration(Task("t", handler="sleep", params={"a": 1}), cron="0 3 * * *"), "task.params", "`params`"),
        (
            ScheduleDeclaration(Task("t", run_at=datetime(2030, 1, 1, tzinfo=UTC)), cron="0 3 * * *"),
            "task.run_at",
            "`task.delay` instead",
        ),
        (ScheduleDeclaration(Task("t"), every=1000, start_at=datetime(9999, 1, 1, tzinfo=UTC)), "start_at", "9000"),
    ],
)
async def test_an_invalid_schedule_is_refused(
    executor: Executor, autojump_clock: MockClock, declaration: ScheduleDeclaration, field: str, message: str
) -> None:
    with pytest.raises(InvalidScheduleError, match=message) as caught:
        await executor.schedules.put("s", declaration)
    assert caught.value.field == field
    assert await executor.schedules.page(10) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\nb", "ü" * 128])
async def test_a_name_that_no_path_can_hold_is_refused(
    executor: Executor, autojump_clock: MockClock, name: str
) -> None:
    with pytest.raises(InvalidScheduleError, match="name"):
        await executor.schedules.put(name, NIGHTLY)


async def test_params_may_not_become_too_long(executor: Executor, autojump_clock: MockClock) -> None:
    params = {"times": ["{scheduled_for}"] * 3400}
    with pytest.raises(InvalidScheduleError, match="65536 bytes") as caught:
        await executor.schedules.put("s", ScheduleDeclaration(Task("t", params=params), cron="0 3 * * *"))
    assert caught.value.field == "task.params"


async def test_a_put_keeps_the_pause_unless_it_says_otherwise(executor: Executor, autojump_clock: MockClock) -> None:
    await executor.schedules.put("s", every(paused=True))
    assert (await executor.schedules.put("s", every(task=Task("other")))).schedule.paused
    assert not (await executor.schedules.put("s", every(paused=False))).schedule.paused


async def test_a_pause_raises_the_generation_once(executor: Executor, autojump_clock: MockClock) -> None:
    first = (await executor.schedules.put("s", every())).schedule
    paused = await executor.schedules.pause("s", paused=True)
    again = await executor.schedules.pause("s", paused=True)

    assert paused.paused
    assert paused.generation > first.generation
    assert paused.next == first.next
    assert again == paused


async def test_a_time_that_was_missed_is_made_up_for_with_the_new_task(autojump_clock: MockClock) -> None:
    executor = Executor(LocalStore(now=virtual_now))
    first = (await executor.schedules.put("s", every())).schedule
    await trio.sleep(5000)
    changed = (await executor.schedules.put("s", every(task=Task("other")))).schedule

    assert changed.next == first.next


async def test_removing_touches_no_task(executor: Executor, autojump_clock: MockClock) -> None:
    await executor.schedules.put("s", every(task=Task("task", delay=1000)))
    submitted = await executor.schedules.run_now("s")
    await executor.schedules.remove("s")

    assert isinstance(submitted.verdict, Accepted)
    assert (await executor.get(submitted.verdict.record.id)).task.name == "task"
    with pytest.raises(UnknownScheduleError, match="no schedule has the name 's'"):
        await executor.schedules.get("s")


async def test_what_does_not_exist_cannot_be_changed(executor: Executor, autojump_clock: MockClock) -> None:
    for call in (
        lambda: executor.schedules.remove("s"),
        lambda: executor.schedules.pause("s", paused=True),
        lambda: executor.schedules.run_now("s"),
    ):
        with pytest.raises(UnknownScheduleError):
            await call()


async def test_a_schedule_of_a_file_can_only_be_paused_and_run(executor: Executor, autojump_clock: MockClock) -> None:
    await executor.schedules.put("s", every(), owner="file")
    with pytest.raises(OwnedScheduleError, match=r"change `\[schedules.s\]` there"):
        await executor.schedules.put("s", NIGHTLY)
    with pytest.raises(OwnedScheduleError, match="settings file"):
        await executor.schedules.remove("s")
    assert (await executor.schedules.pause("s", paused=True)).owner == "file"
    assert isinstance((await executor.schedules.run_now("s")).verdict, Accepted)
    await executor.schedules.remove("s", force=True)
    assert await executor.schedules.page(10) == []


async def test_more_schedules_than_the_bound_are_refused(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(LocalStore(now=virtual_now, schedule_bounds=ScheduleBounds(1)))
    await executor.schedules.put("a", every())
    with pytest.raises(TooManySchedulesError):
        await executor.schedules.put("b", every())


async def test_schedules_are_listed_by_name(executor: Executor, autojump_clock: MockClock) -> None:
    for name in ("c", "a", "b"):
        await executor.schedules.put(name, every())
    assert [schedule.name for schedule in await executor.schedules.page(2)] == ["a", "b"]
    assert [schedule.name for schedule in await executor.schedules.page(2, "b")] == ["c"]


# Occurrences on request


async def test_an_occurrence_on_request_keeps_the_next_time(executor: Executor, autojump_clock: MockClock) -> None:
    before = (await executor.schedules.put("s", every(paused=True))).schedule
    await trio.sleep(60)
    submitted = await executor.schedules.run_now("s")
    after = await executor.schedules.get("s")

    assert isinstance(submitted.verdict, Accepted)
    assert after.next == before.next
    assert after.occurrences == (Fired(EPOCH + 60, submitted.verdict.record.id),)
    assert executor.statistics().submitted == 1
    assert executor.statistics().occurrences == {"s": {"fired": 1}}


async def test_an_occurrence_on_request_fills_in_its_time(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(handler=_AnyParams())
    params = {"at": "{scheduled_for}", "deep": [{"at": "{scheduled_for}", "text": "at {scheduled_for}"}]}
    await executor.schedules.put("s", every(task=Task("t", params=params, delay=1000)))
    await trio.sleep(1.5)
    task = (await executor.schedules.run_now("s")).task
    assert task is not None

    time = "2027-01-15T08:00:01.500Z"
    assert task.params == {"at": time, "deep": [{"at": time, "text": "at {scheduled_for}"}]}


class _AnyParams(Gate):
    """A handler that refuses nothing."""

    def check(self, task: Task) -> None:
        return None


async def test_an_occurrence_on_request_gets_every_verdict_of_a_submit(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    gate = Gate()
    executor = await run_here(queue_size=1, pool_size=1, handler=gate)
    await executor.schedules.put("s", every())
    assert isinstance((await executor.schedules.run_now("s")).verdict, Accepted)
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance((await executor.schedules.run_now("s")).verdict, Duplicate)
    await executor.submit([Task("waiting")])
    await executor.schedules.put("full", every(task=Task("other")))
    assert isinstance((await executor.schedules.run_now("full")).verdict, Full)
    statistics = executor.statistics()
    assert (statistics.submitted, statistics.duplicates, statistics.rejected) == (2, 1, 1)
    executor.drain()
    assert isinstance((await executor.schedules.run_now("s")).verdict, Draining)


async def test_an_occurrence_on_request_supersedes(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handler=gate)
    await executor.schedules.put("s", every(task=Task("task", on_conflict="supersede")))
    for _ in range(2):
        await executor.schedules.run_now("s")
        await trio.testing.wait_all_tasks_blocked()
    assert gate.started == ["task", "task"]


async def test_an_occurrence_on_request_is_part_of_the_callers_trace(
    executor: Executor, autojump_clock: MockClock
) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    await executor.schedules.put("s", every())
    submitted = await executor.schedules.run_now("s", traceparent=trace)
    assert submitted.task is not None
    assert submitted.task.traceparent == trace


# Callers that are faster


class Hasty:
    """The schedules of a store, in which another caller is faster before each of the first puts, fires and removes."""

    def __init__(self, schedules: Any, times: int) -> None:
        self._schedules = schedules
        self._left = times

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._schedules, name)
        return self._later(operation) if name in ("put", "fire", "remove") else operation

    def _later(self, operation: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def after_another(given: Any, *more: Any) -> Any:
            if self._left:
                self._left -= 1
                await self._put_another(given if isinstance(given, str) else given.name)
            return await operation(given, *more)

        return after_another

    async def _put_another(self, name: str) -> None:
        try:
            seen = await self._schedules.get(name)
        except UnknownScheduleError:
            seen = Schedule(name, NIGHTLY.definition, next=NextTime(EPOCH, EPOCH))
        assert await self._schedules.put(msgspec.structs.replace(seen, paused=not seen.paused)) is not None


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_change_is_made_anew_if_another_caller_was_faster(autojump_clock: MockClock, times: int) -> None:
    store = LocalStore(now=virtual_now)
    executor = Executor(store)
    real: Any = store.schedules

    def hasten() -> None:
        executor.clock.schedules = Hasty(real, times)

    hasten()
    stored = await executor.schedules.put("s", every(paused=True))
    assert not stored.is_new
    assert stored.schedule == await real.get("s")
    assert (stored.schedule.definition.every, stored.schedule.paused) == (3_600_000, True)
    hasten()
    assert not (await executor.schedules.pause("s", paused=False)).paused
    assert not (await real.get("s")).paused
    hasten()
    await executor.schedules.remove("s")
    assert await real.page(10) == []


async def test_an_occurrence_on_request_has_the_latest_definition(run_here: RunHere, autojump_clock: MockClock) -> None:
    store = LocalStore(now=virtual_now)
    executor = await run_here(store)
    await executor.schedules.put("s", every())
    executor.clock.schedules = Hasty(store.schedules, 2)
    assert isinstance((await executor.schedules.run_now("s")).verdict, Accepted)
    assert executor.statistics().submitted == 1


@pytest.mark.parametrize("change", ["put", "pause"])
async def test_a_change_does_not_bring_back_a_time_that_fires_meanwhile(
    run_here: RunHere, autojump_clock: MockClock, change: str
) -> None:
    executor = await run_here(LocalStore(now=virtual_now))
    real = executor.clock.schedules.put
    await executor.schedules.put("s", every(60_000, paused=False))

    async def put_late(schedule: Schedule) -> Schedule | None:
        await trio.sleep(61)
        executor.clock.schedules.put = real  # type: ignore[method-assign]
        return await real(schedule)

    executor.clock.schedules.put = put_late  # type: ignore[method-assign]
    if change == "put":
        await executor.schedules.put("s", every(60_000, late_max=50_000))
    else:
        await executor.schedules.pause("s", paused=True)
    await trio.sleep(1)
    times = [occurrence.at - EPOCH for occurrence in (await executor.schedules.get("s")).occurrences]
    assert times == [60]
