"""The loop that fires schedules, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import Duplicate, LocalStore, Outcome, PageRequest, Record, Task
from pexecutor.schedules.changes import declare, pause
from pexecutor.schedules.clock import ScheduleClock
from pexecutor.stores.schedules import Definition, Fired, NextTime, Occurrence, Schedule, Skipped

from ..conftest import EPOCH, RunHere, virtual_now
from ..fakes import FakeJournal, Gate

MINUTE: Final = 60.0
HOUR: Final = 3600.0
MINUTELY: Final = "* * * * *"
TASK: Final = Task("report", duration=10)


class WallClock:
    """A clock that goes with the virtual one, and can be set."""

    def __init__(self) -> None:
        self.set_by = 0.0

    def __call__(self) -> float:
        return virtual_now() + self.set_by


def make_store(now: Callable[[], float] = virtual_now, **settings: Any) -> LocalStore:
    return LocalStore(now=now, **settings)


async def put(store: LocalStore, task: Task = TASK, *, cron: str = MINUTELY, **fields: Any) -> Schedule:
    return (await declare(store.schedules, "s", Definition(task, cron=cron, **fields))).schedule


async def occurrences(store: LocalStore) -> list[Occurrence]:
    """The occurrences of the schedule, the earliest first."""
    return list(reversed((await store.schedules.get("s")).occurrences))


def shown(found: list[Occurrence]) -> list[str]:
    """The occurrences as one word each, with the times in seconds from the beginning."""
    return [
        f"fired {one.at - EPOCH:g}"
        if isinstance(one, Fired)
        else f"{one.reason} {one.at - EPOCH:g}-{one.last_at - EPOCH:g} x{one.count}"
        for one in found
    ]


async def tasks(store: LocalStore) -> list[Record]:
    return (await store.page(PageRequest())).records


async def test_a_schedule_fires_at_its_times(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    await run_here(store)
    await put(store)
    await trio.sleep(10 * HOUR + 1)
    times = sorted(record.submitted_at - EPOCH for record in await tasks(store))
    assert len(times) == 600
    assert all(0 <= time - number * MINUTE < 0.01 for number, time in enumerate(times, 1))
    assert shown(await occurrences(store)) == [f"fired {number * 60}" for number in range(591, 601)]
    upcoming = (await store.schedules.get("s")).next
    assert upcoming == NextTime(EPOCH + 601 * MINUTE, EPOCH + 601 * MINUTE)


async def test_jitter_delays_the_task_and_not_the_next_times(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    await run_here(store)
    await put(store, jitter=30_000)
    await trio.sleep(2 * HOUR)
    times = sorted(record.submitted_at for record in await tasks(store))
    late = [time - EPOCH - MINUTE * number for number, time in enumerate(times, 1)]
    assert len(late) in (119, 120)
    assert all(0 <= seconds < 30.01 for seconds in late)
    assert max(late) > 20


async def test_a_held_name_is_a_skip(autojump_clock: MockClock, run_here: RunHere) -> None:
    skips: list[tuple[str, Skipped]] = []
    store = make_store()
    executor = await run_here(store, on_skip=lambda name, skipped: skips.append((name, skipped)))
    await executor.submit([Task("report", duration=200_000)])
    [holder] = await tasks(store)
    await put(store)
    await trio.sleep(4 * MINUTE + 1)
    found = await occurrences(store)
    assert shown(found) == ["held 60-180 x3", "fired 240"]
    assert getattr(found[0], "holder_id", None) == holder.id
    assert [(name, skipped.count) for name, skipped in skips] == [("s", 1), ("s", 2), ("s", 3)]
    assert executor.statistics().skipped == {"held": 3}
    assert executor.statistics().fired == 1


async def test_supersede_stops_the_running_task(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    executor = await run_here(store)
    await executor.submit([Task("report", duration=7_000_000)])
    [old] = await tasks(store)
    await put(store, Task("report", duration=10, on_conflict="supersede"))
    await trio.sleep(MINUTE + 1)
    ended = await executor.get(old.id)
    assert getattr(ended, "outcome", None) is Outcome.CANCELLED
    assert shown(await occurrences(store)) == ["fired 60"]
    assert len(await tasks(store)) == 2


async def test_latest_runs_once_more_afterwards(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    executor = await run_here(store)
    await executor.submit([Task("report", duration=200_000)])
    await put(store, Task("report", duration=10, on_conflict="latest"))
    await trio.sleep(230)
    assert shown(await occurrences(store)) == ["fired 60", "fired 120", "fired 180"]
    assert len(await tasks(store)) == 2, "the task that held the name, and one follower"


async def test_a_full_queue_is_tried_until_there_is_room(autojump_clock: MockClock, run_here: RunHere) -> None:
    store, gate = make_store(queue_size=1), Gate()
    executor = await run_here(store, handler=gate, pool_size=1)
    await executor.submit([Task("runs")])
    await wait_all_tasks_blocked()
    await executor.submit([Task("waits")])
    await put(store, cron="*/10 * * * *")
    await trio.sleep(10 * MINUTE + 30)
    assert await occurrences(store) == []
    gate.open()
    await trio.sleep(2)
    assert shown(await occurrences(store)) == ["fired 600"]
    assert executor.statistics().skipped == {}


async def test_a_full_queue_is_a_skip_once_it_is_too_late(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store(queue_size=1)
    executor = await run_here(store, handler=Gate(), pool_size=1)
    await executor.submit([Task("runs")])
    await wait_all_tasks_blocked()
    await executor.submit([Task("waits")])
    await put(store, cron="*/10 * * * *", late_max=90_000)
    await trio.sleep(10 * MINUTE + 89)
    assert await occurrences(store) == []
    await trio.sleep(3)
    assert shown(await occurrences(store)) == ["full 600-600 x1"]
    await trio.sleep(10 * MINUTE)
    assert shown(await occurrences(store)) == ["full 600-1200 x2"]


async def test_each_occurrence_of_a_busy_queue_waits_for_one_period(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    store, gate = make_store(queue_size=1), Gate()
    executor = await run_here(store, handler=gate, pool_size=1)
    await executor.submit([Task("runs")])
    await wait_all_tasks_blocked()
    await executor.submit([Task("waits")])
    await put(store)
    await trio.sleep(5 * MINUTE + 30)
    assert shown(await occurrences(store)) == ["full 60-240 x4"]
    gate.open()
    await trio.sleep(2)
    assert shown(await occurrences(store)) == ["full 60-240 x4", "fired 300"]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, ["fired 60", "fired 36000", "fired 36060"]),
        ({"catch_up": "none"}, ["fired 60", "late 120-36000 x1", "fired 36060"]),
        ({"late_max": 60_000}, ["fired 60", "fired 36000", "fired 36060"]),
        ({"late_max": 10_000}, ["fired 60", "late 120-36000 x1", "fired 36060"]),
    ],
)
async def test_times_that_were_missed(
    autojump_clock: MockClock, run_here: RunHere, fields: dict[str, Any], wanted: list[str]
) -> None:
    store = make_store()
    executor = await run_here(store)
    await put(store, **fields)
    await trio.sleep(MINUTE + 10)
    executor.drain()
    await executor.stopped.wait()
    await trio.sleep(36_030 - MINUTE - 10)
    await run_here(store)
    await trio.sleep(MINUTE)
    assert shown(await occurrences(store)) == wanted


async def test_none_waits_for_the_next_also_shortly_after_the_time(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    store = make_store()
    await put(store, cron="0 * * * *", catch_up="none")
    await trio.sleep(HOUR + 5)
    await run_here(store)
    await trio.sleep(HOUR)
    assert shown(await occurrences(store)) == ["late 3600-3600 x1", "fired 7200"]


async def test_a_drain_fires_nothing(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    executor = await run_here(store, drain_timeout_seconds=HOUR)
    await executor.submit([Task("long", duration=600_000)])
    await put(store)
    await trio.sleep(MINUTE - 1)
    executor.drain()
    await executor.stopped.wait()
    assert await occurrences(store) == []
    assert [record.task.name for record in await tasks(store)] == ["long"]


async def test_a_paused_schedule_skips_its_times(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    await run_here(store)
    await put(store)
    await trio.sleep(MINUTE + 1)
    await pause(store.schedules, "s", True)
    await trio.sleep(3 * MINUTE)
    await pause(store.schedules, "s", False)
    await trio.sleep(MINUTE)
    assert shown(await occurrences(store)) == ["fired 60", "paused 120-240 x3", "fired 300"]


async def test_without_a_handler_a_time_is_skipped_once_it_is_too_late(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    store = make_store()
    await run_here(store)
    await put(store, Task("report", handler="missing"), late_max=15_000)
    await trio.sleep(MINUTE + 14)
    assert await occurrences(store) == []
    await trio.sleep(2 * MINUTE + 2)
    assert shown(await occurrences(store)) == ["no_such_handler 60-180 x3"]


async def test_a_schedule_ends(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    await run_here(store)
    await put(store, until=datetime.fromtimestamp(EPOCH + 150, UTC))
    await trio.sleep(HOUR)
    assert shown(await occurrences(store)) == ["fired 60", "fired 120"]
    assert (await store.schedules.get("s")).next is None


async def test_a_changed_schedule_is_looked_at_at_once(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    await run_here(store)
    await put(store, cron="0 0 * * *")
    await trio.sleep(30)
    await declare(store.schedules, "s", Definition(TASK, every=1000))
    await trio.sleep(3.5)
    assert shown(await occurrences(store)) == ["fired 31", "fired 32", "fired 33"]


async def test_a_clock_set_forward_fires_the_latest_time_once(autojump_clock: MockClock, run_here: RunHere) -> None:
    clock = WallClock()
    store = make_store(clock)
    await run_here(store)
    await put(store)
    await trio.sleep(30)
    clock.set_by = 5 * HOUR
    await trio.sleep(MINUTE)
    assert shown(await occurrences(store)) == ["fired 18060"]


async def test_a_clock_set_back_a_little_fires_nothing_twice(autojump_clock: MockClock, run_here: RunHere) -> None:
    clock = WallClock()
    store = make_store(clock)
    await run_here(store)
    await put(store)
    await trio.sleep(2 * MINUTE + 10)
    clock.set_by = -50
    await trio.sleep(3 * MINUTE)
    assert shown(await occurrences(store)) == ["fired 60", "fired 120", "fired 180", "fired 240"]


async def test_a_clock_set_back_by_hours_goes_on_firing(autojump_clock: MockClock, run_here: RunHere) -> None:
    clock = WallClock()
    clock.set_by = 10 * HOUR
    store = make_store(clock)
    await run_here(store)
    await put(store)
    await trio.sleep(MINUTE + 1)
    clock.set_by = 0
    await trio.sleep(3 * MINUTE)
    found = shown(await occurrences(store))
    assert found[-2:] == ["fired 180", "fired 240"], "the clock was noticed within a minute"


async def test_a_clock_set_back_while_no_server_ran(autojump_clock: MockClock, run_here: RunHere) -> None:
    clock = WallClock()
    clock.set_by = 10 * HOUR
    store = make_store(clock)
    await put(store)
    clock.set_by = 0
    await run_here(store)
    await trio.sleep(MINUTE + 1)
    assert shown(await occurrences(store)) == ["fired 60"]


async def test_a_start_in_the_future_is_not_a_clock_set_back(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    start = datetime.fromtimestamp(EPOCH + 5 * HOUR, UTC)
    declared = await declare(store.schedules, "s", Definition(TASK, every=60_000, start_at=start))
    await run_here(store)
    await wait_all_tasks_blocked()
    assert await store.schedules.get("s") == declared.schedule
    await trio.sleep(5 * HOUR + MINUTE + 1)
    assert shown(await occurrences(store)) == ["fired 18000", "fired 18060"]


async def test_an_occurrence_on_request(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    executor = await run_here(store)
    await put(store, Task("report", duration=5_000), cron="0 * * * *")
    await trio.sleep(30)
    await executor.clock.fire_now("s")
    again = await executor.clock.fire_now("s")
    assert isinstance(again.verdict, Duplicate)
    assert shown(await occurrences(store)) == ["fired 30"]
    await trio.sleep(HOUR)
    assert shown(await occurrences(store)) == ["fired 30", "fired 3600"]
    executor.drain()
    assert (await executor.clock.fire_now("s")).verdict.verdict == "draining"


async def test_the_time_of_the_occurrence_is_in_the_params(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    await run_here(store)
    slot = "{scheduled_for}"
    await put(store, Task("report", params={"at": slot, "deep": [{"x": slot}], "text": f"at {slot}"}), jitter=5000)
    await trio.sleep(MINUTE + 6)
    [record] = await tasks(store)
    time = "2027-01-15T08:01:00.000Z"
    assert record.task.params == {"at": time, "deep": [{"x": time}], "text": f"at {slot}"}


async def test_of_many_clocks_one_fires(autojump_clock: MockClock, run_here: RunHere, nursery: trio.Nursery) -> None:
    store = make_store()
    await run_here(store)
    fired: list[Task] = []
    for _ in range(3):
        clock = ScheduleClock(
            store, draining=trio.Event(), knows=lambda _: True, took=lambda task, _: fired.append(task)
        )
        nursery.start_soon(clock.run)
    for number in range(50):
        await declare(store.schedules, f"s{number}", Definition(Task(f"task-{number}"), cron=MINUTELY))
    await trio.sleep(3 * MINUTE + 1)
    assert len(await tasks(store)) == 150
    assert len(fired) <= 150
    for schedule in await store.schedules.page(100):
        assert shown(list(reversed(schedule.occurrences))) == ["fired 60", "fired 120", "fired 180"]


async def test_a_store_in_trouble_is_tried_again(autojump_clock: MockClock, run_here: RunHere) -> None:
    journal = FakeJournal()
    store = make_store(journal=journal)
    await run_here(store)
    await put(store)
    journal.fails_at = set(range(journal.writes + 1, journal.writes + 6))
    await trio.sleep(MINUTE + 10)
    assert shown(await occurrences(store)) == ["fired 60"]
    assert len(await tasks(store)) == 1


async def test_a_zone_that_is_gone_stops_nothing(
    autojump_clock: MockClock, run_here: RunHere, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store()
    await run_here(store)
    await put(store)
    gone = Definition(TASK, cron=MINUTELY, timezone="Atlantis/Capital")
    await store.schedules.put(Schedule("gone", gone, next=NextTime(EPOCH + 1, EPOCH + 1)))
    await trio.sleep(2 * MINUTE + 1)
    assert shown(await occurrences(store)) == ["fired 60", "fired 120"]
    [message] = [record.message for record in caplog.records]
    assert message.startswith("the schedule 'gone' cannot fire: `timezone`: 'Atlantis/Capital' is unknown: give")


async def test_many_schedules_that_are_due_at_once_fire_at_once(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store(queue_size=1000)
    await run_here(store)
    for number in range(250):
        await declare(store.schedules, f"s{number}", Definition(Task(f"task-{number}"), cron=MINUTELY))
    await trio.sleep(MINUTE + 0.5)
    records = await tasks(store)
    assert len(records) == 250
    assert {round(record.submitted_at - EPOCH, 1) for record in records} == {60.0}


async def test_schedules_that_wait_hold_back_no_other(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = make_store()
    await run_here(store)
    for number in range(120):
        waits = Definition(Task(f"task-{number}", handler="missing"), cron="0 * * * *")
        await declare(store.schedules, f"a{number}", waits)
    await put(store, cron="0 * * * *")
    await trio.sleep(HOUR + 1)
    assert shown(await occurrences(store)) == ["fired 3600"]


async def test_nothing_is_looked_at_without_need(autojump_clock: MockClock, run_here: RunHere) -> None:
    looks = 0

    class Counting(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            nonlocal looks
            looks += "ScheduleClock" in task.name

    await run_here(make_store())
    await wait_all_tasks_blocked()
    trio.lowlevel.add_instrument(Counting())
    await trio.sleep(HOUR)
    assert looks < 60 * 10
