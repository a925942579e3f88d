"""Deliveries: made in the step of their outcome, given to one taker at a time, and kept until they end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from ..errors import PexecutorError
from ..stores import Store, Watcher
from ..stores.deliveries import Delivery, EndNotice, SkipNotice
from ..stores.schedules import ScheduleStep
from ..task import Brings, Ending, Finished, Outcome, Task
from .asking import DONE, FAILED, accept, end, end_for_now, start
from .guarantee import BrokenPromiseError, Place, expect, guarantee
from .schedules import HOUR, put, step_of

GROUP: Final = "deliveries"
MANY: Final = 1000
EACH: Final = Brings(
    succeeded=("succeeded",),
    failed=("failed", "also failed"),
    timed_out=("timed out",),
    cancelled=("cancelled",),
    abandoned=("abandoned",),
)
TARGETS: Final = ("succeeded", "failed", "also failed", "timed out", "cancelled", "abandoned", "skipped")
_STEP: Final = "The step that gives a task its outcome also makes one delivery for each target that ``brings`` names"
_RENEWS: Final = "When ``latest`` replaces the content of a waiting task or follower, the answer for the new content"


def watch(store: Store, brings: Brings | None = EACH) -> None:
    """Give every task that the store accepts from now on these targets."""
    store.watch(Watcher(brings=lambda _: brings))


async def all_of(store: Store, targets: Iterable[str] = TARGETS) -> list[Delivery]:
    """Return the deliveries of these targets, in the order of their serials."""
    found = [delivery for target in targets for delivery in await store.deliveries.page(target, MANY)]
    return sorted(found, key=lambda delivery: delivery.serial)


def said(delivery: Delivery) -> str:
    """Return the target, the name and what happened, as ``ops: nightly failed``."""
    notice = delivery.notice
    what = notice.outcome if isinstance(notice, EndNotice) else f"skipped {notice.reason}"
    return f"{delivery.target}: {notice.name} {what}"


async def expect_made(store: Store, *expected: str) -> None:
    """Check which deliveries there are, as ``said`` shows them."""
    found = sorted(map(said, await all_of(store)))
    expect(found == sorted(expected), f"the deliveries should be {sorted(expected)}, but are {found}")
    count = store.statistics().deliveries
    expect(count == len(found), f"there are {len(found)} deliveries, but the statistics count {count}")


async def ended(store: Store, *names: str, ending: Ending = DONE) -> list[Finished]:
    """Submit tasks and end them, one after the other."""
    records: list[Finished] = []
    for name in names:
        await accept(store, Task(name))
        [running] = await start(store)
        records.append(await end(store, running, ending))
    return records


async def take_one(store: Store, target: str, seconds: float = HOUR) -> Delivery:
    """Take a delivery of a target, which has to be due."""
    due = await store.deliveries.take([target], seconds)
    if len(due.deliveries) != 1:
        raise BrokenPromiseError(f"one delivery of {target!r} should be due, but got {due.deliveries}")
    return due.deliveries[0]


def names(deliveries: Sequence[Delivery]) -> list[str]:
    """Return the names of the tasks that deliveries are about."""
    return [delivery.notice.name for delivery in deliveries]


@guarantee(GROUP, "An outcome brings a delivery for each of its targets, with the facts of the end.", promise=_STEP)
async def an_outcome_brings_deliveries(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        [record] = await ended(store, "a", ending=Ending(Outcome.FAILED, "on purpose", retryable=False))
        await expect_made(store, "failed: a failed", "also failed: a failed")
        [first] = await store.deliveries.page("failed", MANY)
        notice = EndNotice(
            record.id,
            "a",
            "sleep",
            "failed",
            submitted_at=record.submitted_at,
            finished_at=record.finished_at,
            started_at=record.started_at,
            error="on purpose",
        )
        expect(first.notice == notice, f"the notice is {first.notice}, but the task ended as {notice}")
        expect(first.attempts == 0, f"a new delivery has {first.attempts} attempts")
        expect(abs(first.made_at - record.finished_at) < 1, f"a task ended at {record.finished_at} and brought {first}")
        expect(first.due_at == first.made_at, f"a new delivery is not due at once: {first}")
        [other] = await store.deliveries.page("also failed", MANY)
        expect(
            len({record.serial, first.serial, other.serial}) == 3, "two of a task and its deliveries have one serial"
        )


@guarantee(
    GROUP,
    "Tasks that end together, on the way without waiting too, bring their deliveries.",
    promise="This applies to every step: ``finish``, ``cancel``, a task that is superseded",
)
async def many_outcomes_bring_deliveries(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        tasks = [Task(f"task-{number:02}") for number in range(20)]
        await accept(store, *tasks)
        for _ in range(2):
            pairs = [(running, DONE) for running in await start(store, 10)]
            if store.finish_nowait(pairs) is None:
                await store.finish(pairs)
        await expect_made(store, *(f"succeeded: {task.name} succeeded" for task in tasks))


@guarantee(
    GROUP,
    "A cancel and a newer task bring the deliveries of `cancelled`.",
    promise="``cancel``, a task that is superseded, the recovery",
)
async def other_ends_bring_deliveries(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        [waiting, _] = await accept(store, Task("cancelled"), Task("old"))
        await store.cancel(waiting.id)
        await accept(store, Task("old", on_conflict="supersede"))
        await expect_made(store, "cancelled: cancelled cancelled", "cancelled: old cancelled")
        [old] = await start(store)
        await accept(store, Task("old", on_conflict="latest"))
        await accept(store, Task("old", on_conflict="supersede"))  # cancels the follower
        await end(store, old, Ending(Outcome.TIMED_OUT, retryable=False))
        made = ["cancelled: cancelled cancelled", *["cancelled: old cancelled"] * 2, "timed out: old timed_out"]
        await expect_made(store, *made)


@guarantee(
    GROUP, "A retry, a release and an outcome without targets bring nothing.", promise="A retry and a release make no"
)
async def nothing_else_brings_deliveries(place: Place) -> None:
    async with place.open() as store:
        watch(store, Brings(failed=("failed",)))
        await accept(store, Task("a", retries=1, retry_delay=0))
        [running] = await start(store)
        await store.release([running])
        [running] = await start(store)
        await end_for_now(store, running, FAILED)
        await expect_made(store)
        [running] = await start(store)
        await end(store, running, DONE)
        watch(store, None)
        await ended(store, "b", ending=FAILED)
        await expect_made(store)


@guarantee(
    GROUP,
    "A task keeps its targets from its acceptance on, in every state and after a change of its priority.",
    promise="Everything else that changes a record keeps it",
)
async def targets_are_kept(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        [later, first] = await accept(store, Task("later", delay=30), Task("first", priority=1))
        [running] = await start(store)
        await accept(store, Task("first", on_conflict="latest"))
        watch(store, None)
        await store.change_waiting(later.id, priority=7)
        await store.release([running])
        started = {record.task.name: record for record in await start(store, 2)}
        await end(store, started["first"], FAILED)
        await end(store, started["later"], DONE)
        [follower] = await start(store)
        expect(follower.serial != first.serial, "the follower did not start")
        await end(store, follower, DONE)
        failed = ["failed: first failed", "also failed: first failed"]
        await expect_made(store, *failed, "succeeded: later succeeded", "succeeded: first succeeded")


@guarantee(GROUP, "`latest` replaces the targets of a waiting task with those of the new content.", promise=_RENEWS)
async def newer_content_has_its_own_targets(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        await accept(store, Task("waits"))
        watch(store, Brings(succeeded=("failed",)))
        await accept(store, Task("waits", on_conflict="latest"))
        [running] = await start(store)
        watch(store)
        await accept(store, Task("waits", on_conflict="latest"))
        watch(store, None)
        await accept(store, Task("waits", on_conflict="latest"))
        await end(store, running)
        [follower] = await start(store)
        await end(store, follower)
        await expect_made(store, "failed: waits succeeded")


@guarantee(
    GROUP,
    "A delivery holds no name, takes no place in the queue, and its id is that of no task.",
    promise="they hold no name, take no place in the queue, and cause no further deliveries",
)
async def deliveries_are_no_tasks(place: Place) -> None:
    async with place.open(queue_size=2) as store:
        watch(store)
        await ended(store, "a", "b", "c")
        await accept(store, Task("a"), Task("b"))
        started = await start(store, 2)
        numbers = [delivery.id for delivery in await all_of(store)]
        with suppress(PexecutorError):
            await store.get(numbers[0])
            raise BrokenPromiseError(f"a delivery can be read as the task {numbers[0]}")
        expect(store.statistics().running == len(started), "a delivery runs as a task")
        expect(not {record.id for record in started} & set(numbers), "a task has the id of a delivery")


# Skips


@guarantee(
    GROUP,
    "A new skip brings a delivery for each target of the step; a counted one and a fired occurrence bring none.",
    promise="If ``schedules.fire`` or ``schedules.skip`` records a new ``Skipped`` entry, the same step makes one",
)
async def a_skip_brings_deliveries(place: Place) -> None:
    async with place.open() as store:
        schedule = await put(store, due_in=-9 * HOUR)

        async def next_step() -> ScheduleStep:
            step = step_of(await store.schedules.get(schedule.name))
            return msgspec.structs.replace(step, targets=("skipped", "failed"))

        fired = await store.schedules.fire(await next_step(), Task("task"))
        expect(fired is not None, "the schedule did not fire")
        await expect_made(store)
        for _ in range(2):
            await store.schedules.fire(await next_step(), Task("task"))
        await expect_made(store, "skipped: task skipped held", "failed: task skipped held")
        for _ in range(2):
            await store.schedules.skip(await next_step(), "late")
        late = ["skipped: task skipped late", "failed: task skipped late"]
        await expect_made(store, "skipped: task skipped held", "failed: task skipped held", *late)
        held, _ = await store.deliveries.page("skipped", MANY)
        assert isinstance(held.notice, SkipNotice), "`said` has shown it"
        assert schedule.next is not None, "it has one"
        [holder] = await start(store)
        expect(held.notice.holder_id == holder.id, f"the notice names {held.notice.holder_id}, not {holder.id}")
        expect(held.notice.at == schedule.next.at + HOUR, f"the notice has the time {held.notice.at}")
