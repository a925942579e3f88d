"""Deliveries in memory: which steps make them, who gets them, and how many are kept."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import pytest

from pexecutor import Ending, Finished, LocalStore, Outcome, Running, Scheduled, Task
from pexecutor.stores import Watcher
from pexecutor.stores.deliveries import Delivery, DeliveryBounds, EndNotice, SkipNotice
from pexecutor.stores.schedules import Definition, NextTime, Schedule, ScheduleStep
from pexecutor.task import Brings, Pending

NOW = 1_800_000_000.0
SUCCEEDED = Ending(Outcome.SUCCEEDED)
FAILED = Ending(Outcome.FAILED, "it broke", retryable=False)
EACH = Brings(succeeded=("s",), failed=("f", "g"), timed_out=("t",), cancelled=("c",), abandoned=("a",))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Watched:
    """A store, and what its watcher is notified of."""

    def __init__(
        self, *, brings: Callable[[Task], Brings | None] = lambda _: EACH, bounds: DeliveryBounds | None = None
    ) -> None:
        self.clock = Clock()
        self.changes = 0
        self.ended: list[Delivery] = []
        self.store = LocalStore(now=self.clock, tag=1, delivery_bounds=bounds or DeliveryBounds())
        self.store.watch(
            Watcher(brings=brings, deliveries_changed=self.note_change, deliveries_ended=self.ended.extend)
        )

    def note_change(self) -> None:
        self.changes += 1

    async def run(self, name: str, ending: Ending = SUCCEEDED) -> Finished | Scheduled:
        await self.store.submit([Task(name)])
        [running] = await self.store.claim(1)
        [record] = await self.store.finish([(running, ending)])
        assert record is not None
        return record

    async def made(self) -> list[tuple[str, str]]:
        """Return the target and the task or schedule of each delivery, in the order of their serials."""
        deliveries = await everything(self.store)
        return [(delivery.target, subject(delivery)) for delivery in deliveries]


def subject(delivery: Delivery) -> str:
    notice = delivery.notice
    return f"{notice.name} {notice.outcome}" if isinstance(notice, EndNotice) else f"{notice.schedule} {notice.reason}"


async def everything(store: LocalStore) -> list[Delivery]:
    found = [delivery for target in "abcdefgst" for delivery in await store.deliveries.page(target, 1000)]
    return sorted(found, key=lambda delivery: delivery.serial)


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_outcome_brings_its_deliveries_also_on_the_short_way(at_once: bool) -> None:
    watched = Watched()
    store = watched.store
    tasks = [Task(f"task-{number}") for number in range(3)]
    assert store.submit_nowait(tasks) if at_once else await store.submit(tasks)
    ended = [(running, SUCCEEDED) for running in store.claim_nowait(3)]
    finished = store.finish_nowait(ended) if at_once else await store.finish(ended)
    assert finished is not None
    assert await watched.made() == [("s", f"task-{number} succeeded") for number in range(3)]
    assert watched.changes == 1
    assert store.statistics().deliveries == 3


async def test_a_failure_brings_one_for_each_target_with_the_facts_of_its_end() -> None:
    watched = Watched()
    record = await watched.run("broken", FAILED)
    first, second = await everything(watched.store)
    assert [first.target, second.target] == ["f", "g"]
    assert record.serial < first.serial < second.serial
    assert first.id == f"{record.id[:6]}-2"
    assert (first.made_at, first.due_at, first.attempts) == (NOW, NOW, 0)
    assert first.notice == EndNotice(record.id, "broken", "sleep", "failed", NOW, NOW, NOW, "it broke")


async def test_a_long_error_is_bounded_in_a_notice() -> None:
    watched = Watched()
    await watched.run("broken", Ending(Outcome.FAILED, "x" * 10_000, retryable=False))
    [first, _] = await everything(watched.store)
    assert isinstance(first.notice, EndNotice)
    assert len(first.notice.error or "") == 8 * 1024


async def test_a_retry_and_a_release_bring_nothing() -> None:
    watched = Watched()
    store = watched.store
    await store.submit([Task("a", retries=1)])
    [running] = await store.claim(1)
    await store.release([running])
    [running] = await store.claim(1)
    [retried] = await store.finish([(running, Ending(Outcome.FAILED, retry_after_seconds=5))])
    assert isinstance(retried, Scheduled)
    assert await watched.made() == []
    watched.clock.now += 7 * 24 * 60 * 60
    [running] = await store.claim(1)
    await store.finish([(running, FAILED)])
    assert await watched.made() == [("f", "a failed"), ("g", "a failed")]


async def test_a_cancel_and_a_newer_task_bring_the_deliveries_of_cancelled() -> None:
    watched = Watched()
    store = watched.store
    [accepted, _] = await store.submit([Task("cancelled"), Task("old")])
    assert accepted.verdict == "accepted"
    await store.cancel(accepted.record.id)
    await store.submit([Task("old", on_conflict="supersede")])
    assert await watched.made() == [("c", "cancelled cancelled"), ("c", "old cancelled")]


@pytest.mark.parametrize("runs", [True, False])
async def test_newer_content_brings_its_own_deliveries(runs: bool) -> None:
    def brings(task: Task) -> Brings:
        return Brings(succeeded=("d" if task.duration else "s",))

    watched = Watched(brings=brings)
    store = watched.store
    await store.submit([Task("a")])
    first = await store.claim(1) if runs else []
    await store.submit([Task("a", on_conflict="latest")])
    await store.submit([Task("a", on_conflict="latest", duration=1)])
    await store.finish([(running, SUCCEEDED) for running in first])
    [running] = await store.claim(1)
    await store.finish([(running, SUCCEEDED)])
    assert await watched.made() == [("s", "a succeeded")] * runs + [("d", "a succeeded")]


async def test_a_task_keeps_its_targets_in_every_waiting_state() -> None:
    watched = Watched()
    store = watched.store
    [accepted] = await store.submit([Task("a", delay=1000)])
    assert accepted.verdict == "accepted"
    await store.change_waiting(accepted.record.id, priority=5)
    watched.clock.now += 1
    [running] = await store.claim(1)
    await store.finish([(running, SUCCEEDED)])
    assert await watched.made() == [("s", "a succeeded")]


async def test_equal_targets_are_one_object() -> None:
    watched = Watched(brings=lambda task: Brings(failed=("f",) if task.name < "task-5" else ("g",)))
    store = watched.store
    await store.submit([Task(f"task-{number}") for number in range(10)])
    await store.submit([Task("later", delay=1)])
    shared = {id(record.rare) for record in store._book._records.values()}
    assert len(shared) == 2
    assert not store._book.crashed, "targets are no crash"
    assert not gc.is_tracked(next(iter(store._book._records.values())).rare)


async def test_many_different_targets_take_no_more_memory() -> None:
    watched = Watched(brings=lambda task: Brings(failed=(task.name,)))
    for number in range(3):
        await watched.store.submit([Task(f"{number}-{name}") for name in range(700)])
    assert len(watched.store._facts._shared) <= 1000


def skipping(targets: tuple[str, ...] = ("f", "g")) -> tuple[Schedule, Callable[[Schedule], ScheduleStep]]:
    schedule = Schedule("hourly", Definition(Task("report"), cron="0 * * * *"), next=NextTime(NOW, NOW))

    def step(stored: Schedule) -> ScheduleStep:
        assert stored.next is not None
        following = NextTime(stored.next.at + 1, stored.next.due_at + 1)
        return ScheduleStep("hourly", stored.generation, stored.next, stored.next.at, following, targets)

    return schedule, step


async def test_a_new_skip_brings_deliveries_and_a_counted_one_none() -> None:
    watched = Watched()
    watched.clock.now += 10
    schedule, step = skipping()
    await watched.store.schedules.put(schedule)
    for reason in ("late", "late", "paused"):
        stored = await watched.store.schedules.get("hourly")
        assert await watched.store.schedules.skip(step(stored), reason)
    assert await watched.made() == [
        *[("f", "hourly late"), ("g", "hourly late")],
        *[("f", "hourly paused"), ("g", "hourly paused")],
    ]
    last = (await everything(watched.store))[-1]
    assert last.notice == SkipNotice("hourly", "report", "sleep", "paused", NOW + 2)
    assert last.made_at == NOW + 10


async def test_a_held_name_is_a_skip_and_a_fired_occurrence_is_none() -> None:
    watched = Watched()
    watched.clock.now += 10
    schedule, step = skipping()
    store = watched.store
    await store.schedules.put(schedule)
    fired = await store.schedules.fire(step(await store.schedules.get("hourly")), Task("report"))
    assert fired is not None
    assert fired.verdict.verdict == "accepted"
    assert await watched.made() == []
    await store.schedules.fire(step(await store.schedules.get("hourly")), Task("report"))
    assert await watched.made() == [("f", "hourly held"), ("g", "hourly held")]
    [held, _] = await everything(store)
    assert isinstance(held.notice, SkipNotice)
    assert held.notice.holder_id == fired.verdict.record.id


# Take, put off, end


def names(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.notice.name for delivery in deliveries]


async def test_a_take_gives_one_to_each_target_and_none_of_them_again() -> None:
    watched = Watched()
    deliveries = watched.store.deliveries
    for name in ("one", "two"):
        await watched.run(name, FAILED)
    assert await deliveries.take([], 10) == (NOW, [], None)
    assert await deliveries.take(["unknown"], 10) == (NOW, [], None)
    due = await deliveries.take(["f", "g", "s"], 10)
    assert [(delivery.target, *names([delivery])) for delivery in due.deliveries] == [("f", "one"), ("g", "one")]
    assert due.next_due_at == NOW, "the next ones are due as well"
    due = await deliveries.take(["f"], 20)
    assert names(due.deliveries) == ["two"]
    assert due.next_due_at == NOW + 10
    assert await deliveries.take(["f"], 10) == (NOW, [], NOW + 10)
    watched.clock.now += 10
    assert names((await deliveries.take(["f"], 10)).deliveries) == ["one"], "its taker has died"


async def test_a_failed_attempt_is_counted_and_made_again_later() -> None:
    watched = Watched()
    deliveries = watched.store.deliveries
    await watched.run("one", FAILED)
    [taken] = (await deliveries.take(["f"], 60)).deliveries
    watched.changes = 0
    await deliveries.put_off(taken, 5)
    assert watched.changes == 1
    assert await deliveries.take(["f"], 60) == (NOW, [], NOW + 5)
    watched.clock.now += 5
    [again] = (await deliveries.take(["f"], 60)).deliveries
    assert (again.serial, again.attempts, again.due_at, again.made_at) == (taken.serial, 1, NOW + 5, NOW)


async def test_an_ended_delivery_is_gone_and_both_ignore_it() -> None:
    watched = Watched()
    deliveries = watched.store.deliveries
    await watched.run("one", FAILED)
    [taken] = (await deliveries.take(["f"], 60)).deliveries
    await deliveries.end([taken])
    await deliveries.end([taken])
    await deliveries.put_off(taken, 5)
    await deliveries.end([])
    assert await watched.made() == [("g", "one failed")]
    assert await deliveries.take(["f"], 60) == (NOW, [], None)


async def test_old_ones_end_whatever_their_target() -> None:
    watched = Watched(bounds=DeliveryBounds(seconds_max=100))
    deliveries = watched.store.deliveries
    for number in range(3):
        await watched.run(f"task-{number}", FAILED)
        watched.clock.now += 10
    assert await deliveries.end_old(10) == (NOW + 30, [], NOW + 100)
    watched.clock.now = NOW + 110
    some = await deliveries.end_old(3)
    assert names(some.ended) == ["task-0", "task-0", "task-1"]
    assert some.next_at == NOW + 110
    rest = await deliveries.end_old(3)
    assert (names(rest.ended), rest.next_at) == (["task-1"], NOW + 120)
    assert await watched.made() == [("f", "task-2 failed"), ("g", "task-2 failed")]
    assert watched.ended == [], "the caller has them"


async def test_too_many_end_the_oldest_ones() -> None:
    watched = Watched(bounds=DeliveryBounds(deliveries_max=3))
    await watched.run("one", FAILED)
    await watched.run("two", FAILED)
    assert [(delivery.target, *names([delivery])) for delivery in watched.ended] == [("f", "one")]
    assert await watched.made() == [("g", "one failed"), ("f", "two failed"), ("g", "two failed")]
    assert watched.store.statistics().deliveries == 3


async def test_a_page_follows_the_serials() -> None:
    watched = Watched()
    deliveries = watched.store.deliveries
    for number in range(3):
        await watched.run(f"task-{number}", FAILED)
    [first] = (await deliveries.take(["f"], 60)).deliveries
    await deliveries.put_off(first, 1000)
    first, second = await deliveries.page("f", 2)
    [third] = await deliveries.page("f", 2, second.serial)
    assert names([first, second, third]) == ["task-0", "task-1", "task-2"]
    assert await deliveries.page("f", 2, third.serial) == []


async def test_a_delivery_has_no_name_and_no_place() -> None:
    watched = Watched()
    await watched.run("one", FAILED)
    statistics = watched.store.statistics()
    assert (statistics.pending, statistics.scheduled, statistics.running, statistics.history) == (0, 0, 0, 1)
    assert await watched.store.submit([Task("one")])
    [running] = await watched.store.claim(5)
    assert isinstance(running, Running)
    assert isinstance(watched.store._book.get(running.serial), Running)
    assert not isinstance(running, Pending)
