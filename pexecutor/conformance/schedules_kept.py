"""Schedules in a store: their generations, their bounds, the order of listings, and what a crash leaves of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec
import trio

from ..errors import PexecutorError, TooManySchedulesError, UnknownScheduleError
from ..stores import Store, Watcher
from ..stores.schedules import Definition, DuePlace, Schedule, ScheduleBounds
from ..task import Task
from .asking import listed_names, refused, submit
from .guarantee import BrokenPromiseError, Need, Place, expect, guarantee
from .schedules import GROUP, HOUR, HOURLY, fire, put, skip, step_of
from .steps import cancelled_at_step, every_await

_GENERATIONS: Final = "A new generation is higher than any generation that the store has given before"
_KEEPS: Final = "A durable store restores its schedules with their generations and occurrences"


@guarantee(
    GROUP,
    "A put or a remove that names another generation changes nothing; generations rise, also after a removal.",
    promise=_GENERATIONS,
)
async def generations_rise(place: Place) -> None:
    async with place.open() as store:
        first = await put(store)
        expect(await store.schedules.put(Schedule("s", HOURLY)) is None, "a stored schedule was put as a new one")
        second = await store.schedules.put(first)
        if second is None:
            raise BrokenPromiseError("a schedule of the stored generation was not put")
        expect(await store.schedules.put(first) is None, "a schedule of an old generation was put")
        expect(not await store.schedules.remove("s", first.generation), "a schedule of an old generation was removed")
        expect(await store.schedules.remove("s", second.generation), "a schedule of its generation was not removed")
        expect(not await store.schedules.remove("s", second.generation), "a schedule was removed twice")
        third = await put(store)
        other = await put(store, "other")
        given = [schedule.generation for schedule in (first, second, third, other)]
        expect(given == sorted(set(given)) and given[0] > 0, f"the generations were {given}")


@guarantee(
    GROUP,
    "A replaced schedule keeps its occurrences, and a removed one leaves none.",
    promise="It keeps the occurrences of the schedule that it replaces",
)
async def occurrences_stay(place: Place) -> None:
    async with place.open() as store:
        before = await put(store, due_in=-2 * HOUR)
        schedule = await skip(store, before, "late")
        expect(await store.schedules.put(before) is None, "a schedule was put that has skipped a time meanwhile")
        changed = msgspec.structs.replace(schedule, paused=True, owner="file")
        replaced = await store.schedules.put(changed)
        found = await store.schedules.get("s")
        expect(replaced == found, f"`put` returned {replaced}, but the stored schedule is {found}")
        expect(found.occurrences == schedule.occurrences, f"the occurrences are now {found.occurrences}")
        expect((found.paused, found.owner) == (True, "file"), f"the replaced schedule is {found}")
        await store.schedules.remove("s", found.generation)
        with refused(UnknownScheduleError, "reading a removed schedule"):
            await store.schedules.get("s")
        expect((await put(store)).occurrences == (), "a new schedule has the occurrences of a removed one")


@guarantee(
    GROUP,
    "Schedules beyond the bound, and bytes beyond it, are refused.",
    promise="raise ``TooManySchedulesError`` and change nothing",
)
async def schedules_are_bounded(place: Place) -> None:
    async with place.open(schedule_bounds=ScheduleBounds(2, 500)) as store:
        first, second = await put(store, "a"), await put(store, "b")
        with refused(TooManySchedulesError, "a third schedule where two are kept"):
            await put(store, "c")
        large = Definition(Task("task", params={"x": "x" * 500}), every=1000)
        with refused(TooManySchedulesError, "a definition that makes all of them too large"):
            await store.schedules.put(msgspec.structs.replace(second, definition=large))
        found = await store.schedules.page(10)
        expect(found == [first, second], f"refused schedules have left {found}")
        expect(await store.schedules.put(second) is not None, "a schedule that needs no more room was not replaced")
        await store.schedules.remove("a", first.generation)
        await put(store, "c")
        expect(store.statistics().schedules == 2, f"the statistics count {store.statistics().schedules} schedules")


@guarantee(
    GROUP,
    "Due schedules come in the order of their times, page by page; then comes the earliest that is not due.",
    promise="``due`` returns the schedules whose next time is due, the longest due first",
)
async def due_in_order(place: Place) -> None:
    async with place.open() as store:
        begin = await store.schedules.now()  # once: `c` and `d` have the same time
        for name, due_in in (("d", -7.0), ("z", -9.0), ("c", -7.0), ("a", 500.0), ("e", 400.0)):
            await put(store, name, due_in=due_in, since=begin)
        now = await store.schedules.now()
        names, after = list[str](), None
        while page := (due := await store.schedules.due(2, after)).schedules:
            names += [schedule.name for schedule in page]
            expect(len(names) <= 3, f"of 3 due schedules, {names} are listed")
            last = page[-1]
            assert last.next is not None, "it is due"
            after = DuePlace(last.next.due_at, last.name)
        expect(names == ["z", "c", "d"], f"the due schedules are {names}")
        later = None if due.next_due_at is None else due.next_due_at - now
        expect(later is not None and 390 < later <= 401, f"the next schedule is due in {later} s instead of 400 s")
        expect(abs(due.now - now) < 5, f"the time of the store was {now}, and then {due.now}")


@guarantee(
    GROUP,
    "A listing has the order of the names, and each schedule once.",
    promise="``page`` lists schedules in the order of their names, as UTF-8 bytes",
)
async def schedules_by_name(place: Place) -> None:
    async with place.open() as store:
        names = ["b", "B", "ä", "a", "\U0001f600", "\ufb00", "a b", "b/c"]
        for name in names:
            await put(store, name)
        found, after = list[str](), None
        while page := await store.schedules.page(3, after):
            found += [schedule.name for schedule in page]
            expect(len(found) <= len(names), f"of {len(names)} schedules, {found} are listed")
            after = found[-1]
        expect(found == sorted(names, key=str.encode), f"the schedules are listed as {found}")
        with refused(UnknownScheduleError, "reading a schedule that does not exist"):
            await store.schedules.get("c")


@guarantee(
    GROUP,
    "A watcher is notified once a schedule was changed through its node.",
    promise="``Watcher.schedules_changed`` is called once",
)
async def watchers_of_schedules(place: Place) -> None:
    async with place.open() as store:
        calls: list[None] = []
        store.watch(Watcher(schedules_changed=lambda: calls.append(None)))
        schedule = await put(store, due_in=-2 * HOUR)
        await fire(store, schedule)
        schedule = await skip(store, await store.schedules.get("s"), "late")
        expect(len(calls) == 3, f"after three changes there were {len(calls)} calls")
        await store.schedules.put(Schedule("s", HOURLY))
        expect(len(calls) == 3, "a put that changed nothing was reported")
        await store.schedules.remove("s", schedule.generation)
        expect(len(calls) == 4, f"after a removal there were {len(calls)} calls")


@guarantee(
    GROUP,
    "A cancelled fire leaves the task, the occurrence and the next time, or none of them.",
    promise="A cancelled call leaves all of a step or nothing",
)
async def a_cancelled_fire_is_whole(place: Place) -> None:
    async with place.open() as store:
        for awaits in every_await():
            schedule, task = await put(store, f"s{awaits}"), Task(f"t{awaits}")
            was_cancelled = await cancelled_at_step(
                awaits,
                lambda schedule=schedule, task=task: store.schedules.fire(step_of(schedule), task),  # type: ignore[misc]
            )
            await _expect_whole(store, schedule, task)
            if not was_cancelled:
                return


async def _expect_whole(store: Store, before: Schedule, task: Task) -> bool:
    """Check that all of a fire or nothing of it was done, and return whether it was done."""
    after = await store.schedules.get(before.name)
    submitted = await submit(store, task) == ["duplicate"]
    advanced, recorded = after.next != before.next, after.occurrences != before.occurrences
    told = f"task submitted: {submitted}, occurrence recorded: {recorded}, next time set: {advanced}"
    expect(submitted == advanced == recorded, f"a part of an occurrence was done ({told})")
    return submitted


@guarantee(
    GROUP,
    "Schedules survive the process, with their generations, their next times and their occurrences.",
    Need.DURABLE,
    promise=_KEEPS,
)
async def schedules_are_kept(place: Place) -> None:
    async with place.open() as store:
        schedule = await skip(store, await put(store, due_in=-2 * HOUR), "late")
        await fire(store, schedule)
        task = Task("ä", params={"x": [1, "ß"]}, tags=("ß", "a"))
        jittery = Definition(task, cron="0 3 * * *", timezone="Europe/Berlin", jitter=10, given=("retries",))
        await put(store, "ö", definition=jittery, due_in=60.125)
        gone = await put(store, "gone")
        await store.schedules.remove("gone", gone.generation)
        before, tasks = await store.schedules.page(10), await listed_names(store)
        await place.cut(store)
    async with place.open() as store:
        after = await store.schedules.page(10)
        expect(after == before, f"the schedules were {before}, and are {after} in the next process")
        expect(await listed_names(store) == tasks, f"the tasks were {tasks}, and are others in the next process")
        expect(await store.schedules.fire(step_of(schedule), Task("again")) is None, "an occurrence was fired again")
        new = await put(store, "gone")
        expect(new.generation > gone.generation, f"generation {new.generation} was given after {gone.generation}")


@guarantee(
    GROUP,
    "A process that dies while it fires leaves the task, the occurrence and the next time, or none of them.",
    Need.DURABLE,
    promise="a crash leaves all three or none",
)
async def a_crash_divides_no_occurrence(place: Place) -> None:
    for number in range(8):
        fired = trio.Event()

        async def fire_until_it_dies(store: Store, schedule: Schedule, task: Task, fired: trio.Event) -> None:
            with suppress(PexecutorError):
                if await store.schedules.fire(step_of(schedule), task) is not None:
                    fired.set()

        async with place.open() as store:
            schedule, task = await put(store, f"s{number}"), Task(f"t{number}")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fire_until_it_dies, store, schedule, task, fired)
                await trio.sleep(2**number / 5000)
                acknowledged = fired.is_set()
                await place.cut(store)
                nursery.cancel_scope.cancel()
        async with place.open() as store:
            done = await _expect_whole(store, schedule, task)
            expect(done or not acknowledged, "an occurrence that was acknowledged is lost after a crash")
