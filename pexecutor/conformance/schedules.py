"""Schedules: one occurrence is one step; it is never repeated, and a crash never splits it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from ..stores import Store
from ..stores.schedules import (
    Definition,
    Fired,
    Firing,
    NextTime,
    Schedule,
    ScheduleStep,
    Skipped,
    SkipReason,
)
from ..task import Accepted, Duplicate, Full, Task
from .asking import accept, at_once, end, listed_names, start
from .guarantee import BrokenPromiseError, Place, expect, guarantee

GROUP: Final = "schedules"
HOUR: Final = 3600.0
_FIRES: Final = "submits the task, records the occurrence and sets the next time, in one step"
_UNLESS: Final = "It changes nothing and returns ``None`` unless the schedule has the generation ``step.generation``"
_FOLDS: Final = "A skip for the same reason as the latest occurrence makes no new entry"
_REQUEST: Final = "the next time stays as it is, and nothing but ``Accepted`` is recorded"

HOURLY: Final = Definition(Task("task"), every=3_600_000, start_at=datetime(2020, 1, 1, tzinfo=UTC))


async def put(
    store: Store, name: str = "s", *, due_in: float = -1.0, since: float | None = None, definition: Definition = HOURLY
) -> Schedule:
    """Store a new schedule that is due in so many seconds, counted from now or from ``since``; return it."""
    begin = round(await store.schedules.now() if since is None else since)
    upcoming = NextTime(begin + due_in, begin + due_in)
    stored = await store.schedules.put(Schedule(name, definition, next=upcoming))
    if stored is None:
        raise BrokenPromiseError(f"a new schedule {name!r} was not stored")
    return stored


def step_of(schedule: Schedule, *, on_request: bool = False) -> ScheduleStep:
    """Return the step of a schedule's next time; the time after it is an hour later."""
    upcoming = schedule.next
    assert upcoming is not None, "the schedules of the checks go on"
    later = NextTime(upcoming.at + HOUR, upcoming.due_at + HOUR)
    return ScheduleStep(schedule.name, schedule.generation, None if on_request else upcoming, upcoming.at, later)


async def fire(store: Store, schedule: Schedule, task: Task | None = None, *, on_request: bool = False) -> Firing:
    """Fire the next time of a schedule, which has to be done."""
    step = step_of(schedule, on_request=on_request)
    firing = await store.schedules.fire(step, schedule.definition.task if task is None else task)
    if firing is None:
        raise BrokenPromiseError(f"the schedule {schedule.name!r} should have fired, but nothing was done")
    return firing


async def skip(store: Store, schedule: Schedule, reason: SkipReason) -> Schedule:
    """Skip the next time of a schedule, which has to be done; return the schedule after it."""
    skipped = await store.schedules.skip(step_of(schedule), reason)
    expect(skipped is not None, f"the schedule {schedule.name!r} should have skipped a time, but nothing was done")
    return await store.schedules.get(schedule.name)


@guarantee(
    GROUP,
    "An occurrence submits its task, is recorded with the task's id, and sets the next time.",
    promise=_FIRES,
)
async def a_schedule_fires(place: Place) -> None:
    async with place.open() as store:
        before = await put(store)
        firing = await fire(store, before)
        if not isinstance(firing.verdict, Accepted):
            raise BrokenPromiseError(f"the task got {firing.verdict}")
        record, step = firing.verdict.record, step_of(before)
        expect(await store.get(record.id) == record, "the task that was submitted cannot be read")
        wanted = msgspec.structs.replace(before, next=step.next, occurrences=(Fired(step.at, record.id),))
        after = await store.schedules.get("s")
        expect(after == wanted, f"the schedule should be {wanted}, but is {after}")
        expect(firing.occurrence == after.occurrences[0], f"the step returned the occurrence {firing.occurrence}")


@guarantee(GROUP, "Of many callers that fire the same occurrence, one does.", promise=_FIRES)
async def one_occurrence_is_fired_once(place: Place) -> None:
    async with place.open() as store:
        schedule = await put(store)
        step = step_of(schedule)
        tasks = [Task(f"task-{number}") for number in range(8)]
        firings = await at_once([lambda task=task: store.schedules.fire(step, task) for task in tasks])  # type: ignore[misc]
        fired = [firing for firing in firings if firing is not None]
        expect(len(fired) == 1, f"{len(fired)} of 8 callers fired one occurrence")
        names = await listed_names(store)
        expect(len(names) == 1, f"one occurrence has submitted {names}")
        expect(await store.schedules.fire(step, Task("again")) is None, "an occurrence was fired again")
        occurrences = (await store.schedules.get("s")).occurrences
        expect(len(occurrences) == 1, f"one occurrence was recorded as {occurrences}")


@guarantee(
    GROUP,
    "A step on a schedule that has changed, or that is not due, does nothing.",
    promise=_UNLESS,
)
async def a_step_on_another_schedule_does_nothing(place: Place) -> None:
    async with place.open() as store:
        old = await put(store)
        new = await store.schedules.put(msgspec.structs.replace(old, paused=True))
        later = await put(store, "later", due_in=600.0)
        if new is None:
            raise BrokenPromiseError("a schedule was not replaced")
        another = msgspec.structs.replace(new, next=NextTime(1.0, 1.0))
        jittery = msgspec.structs.replace(new, next=NextTime(1.0, new.next.due_at if new.next else 0.0))
        for schedule, why in (
            (old, "has another generation"),
            (another, "has another next time"),
            (jittery, "has a next time of another occurrence"),
            (later, "is not due"),
            (Schedule("missing", HOURLY, 1, new.next), "does not exist"),
        ):
            told = f"the schedule {why}"
            expect(await store.schedules.fire(step_of(schedule), Task("task")) is None, f"{told}, but was fired")
            expect(await store.schedules.skip(step_of(schedule), "late") is None, f"{told}, but was skipped")
        expect(await listed_names(store) == [], "a step that should do nothing has submitted a task")
        found = await store.schedules.page(10)
        expect(found == [later, new], f"steps that should do nothing have changed the schedules to {found}")


@guarantee(
    GROUP,
    "The task of an occurrence is decided as in a submit: a held name is a skip, a full queue changes nothing.",
    promise="Otherwise the task gets its verdict exactly as in ``submit``",
)
async def an_occurrence_is_decided_as_a_submit(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        [holder] = await accept(store, Task("task"))
        schedule = await put(store, due_in=-2 * HOUR)
        firing = await fire(store, schedule, Task("other"))
        expect(isinstance(firing.verdict, Full), f"an occurrence that found no room got {firing.verdict}")
        found = await store.schedules.get("s")
        expect(found == schedule, f"an occurrence that found no room has changed the schedule to {found}")
        firing = await fire(store, schedule)
        expect(isinstance(firing.verdict, Duplicate), f"an occurrence whose name was held got {firing.verdict}")
        at = step_of(schedule).at
        wanted = Skipped(at, at, "held", holder_id=holder.id)
        found = await store.schedules.get("s")
        expect(found.occurrences == (wanted,), f"the occurrence should be {wanted}, but is {found.occurrences}")
        expect(firing.occurrence == wanted, f"the step returned the occurrence {firing.occurrence}")
        expect(found.next == step_of(schedule).next, "a skipped occurrence has not set the next time")
        firing = await fire(store, found)
        wanted = Skipped(at, at + HOUR, "held", 2, holder.id)
        expect(firing.occurrence == wanted, f"two occurrences whose name was held are {firing.occurrence}")


@guarantee(
    GROUP,
    "With `join` and `latest`, an occurrence whose name is held is fired, with the id of the accepted record.",
    promise="the occurrence is ``Fired`` with the id of the accepted record",
)
async def an_occurrence_may_join(place: Place) -> None:
    async with place.open() as store:
        [holder] = await accept(store, Task("task"))
        for name, on_conflict in (("a", "join"), ("b", "latest")):
            schedule = await put(store, name)
            firing = await fire(store, schedule, Task("task", on_conflict=on_conflict))  # type: ignore[arg-type]
            wanted = Fired(step_of(schedule).at, holder.id)
            expect(firing.occurrence == wanted, f"with {on_conflict} the occurrence is {firing.occurrence}")
        [running] = await start(store)
        schedule = await put(store, "c")
        firing = await fire(store, schedule, Task("task", duration=5, on_conflict="supersede"))
        if not isinstance(firing.verdict, Accepted):
            raise BrokenPromiseError(f"an occurrence that supersedes got {firing.verdict}")
        superseded = firing.verdict.superseded
        expect(superseded is not None and superseded.id == running.id, "the superseded task is not named")
        await end(store, running)
        [follower] = await start(store)
        expect(follower.id == firing.verdict.record.id, f"then {follower.task} was started")


@guarantee(
    GROUP,
    "An occurrence on request submits the task and keeps the next time; a refused one is not recorded.",
    promise=_REQUEST,
)
async def an_occurrence_on_request(place: Place) -> None:
    async with place.open() as store:
        schedule = await put(store, due_in=600.0)
        firing = await fire(store, schedule, on_request=True)
        expect(isinstance(firing.verdict, Accepted), f"an occurrence on request got {firing.verdict}")
        found = await store.schedules.get("s")
        expect(found.next == schedule.next, "an occurrence on request has changed the next time")
        expect(len(found.occurrences) == 1, f"the occurrences are {found.occurrences}")
        firing = await fire(store, schedule, on_request=True)
        expect(isinstance(firing.verdict, Duplicate), f"a second occurrence on request got {firing.verdict}")
        expect(firing.occurrence is None, f"a refused occurrence on request was recorded as {firing.occurrence}")
        expect(await store.schedules.get("s") == found, "a refused occurrence on request has changed the schedule")


@guarantee(
    GROUP,
    "Consecutive skips for one reason are one entry; ten entries are kept, the latest first.",
    promise=_FOLDS,
)
async def skips_are_folded(place: Place) -> None:
    async with place.open() as store:
        schedule = await put(store, due_in=-30 * HOUR)
        first = step_of(schedule).at
        for _ in range(3):
            schedule = await skip(store, schedule, "paused")
        wanted = Skipped(first, first + 2 * HOUR, "paused", 3)
        expect(schedule.occurrences == (wanted,), f"three skips are {schedule.occurrences}")
        schedule = await skip(store, schedule, "late")
        expect(len(schedule.occurrences) == 2, f"a skip for another reason gives {schedule.occurrences}")
        await fire(store, schedule)
        schedule = await skip(store, await store.schedules.get("s"), "late")
        counts = [getattr(occurrence, "count", 0) for occurrence in schedule.occurrences]
        expect(counts == [1, 0, 1, 3], f"the counts of the occurrences are {counts}")
        for number in range(8):
            schedule = await skip(store, schedule, ("full", "late")[number % 2])
        expect(len(schedule.occurrences) == 10, f"{len(schedule.occurrences)} occurrences are kept")
        times = [occurrence.at for occurrence in schedule.occurrences]
        expect(times == sorted(times, reverse=True), f"the occurrences have the times {times}")


@guarantee(
    GROUP,
    "A step that skips several times begins at the expected time and ends at the latest one.",
    promise="An entry that ``skip`` makes begins at ``step.expected.at`` and ends at ``step.at``",
)
async def a_skip_may_be_long(place: Place) -> None:
    async with place.open() as store:
        schedule = await put(store, due_in=-5 * HOUR)
        step = step_of(schedule)
        step = msgspec.structs.replace(step, at=step.at + 4 * HOUR, next=None)
        skipped = await store.schedules.skip(step, "late")
        wanted = Skipped(step.at - 4 * HOUR, step.at, "late")
        expect(skipped == wanted, f"the skip should be {wanted}, but is {skipped}")
        found = await store.schedules.get("s")
        expect(found.next is None, f"the schedule has ended, but its next time is {found.next}")
        due = await store.schedules.due(10)
        expect((due.schedules, due.next_due_at) == ([], None), f"a schedule without a next time is in {due}")
