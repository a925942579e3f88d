"""Deliveries in a store: who gets them, how many there are, and what a crash leaves of them."""

from __future__ import annotations

from typing import Final

import msgspec
import trio

from ..stores import Store, Watcher
from ..stores.deliveries import Delivery, DeliveryBounds, DueDeliveries
from ..task import Task
from .asking import FAILED, LOOK_SECONDS, WAIT_SECONDS_MAX, accept, end, start, until, within
from .deliveries import EACH, GROUP, MANY, all_of, ended, expect_made, names, said, take_one, watch
from .guarantee import Need, Place, expect, guarantee
from .schedules import HOUR, put, step_of

_NEVER_TWO: Final = "So only one node attempts a delivery at a time, and another attempt follows if that node dies"
_RESTORES: Final = "A durable store restores its deliveries"


async def _due_again(store: Store, complaint: str) -> DueDeliveries:
    """Take until a delivery of a success is due, and return the answer."""
    with within(WAIT_SECONDS_MAX, complaint):
        due = await store.deliveries.take(["succeeded"], HOUR)
        while not due.deliveries:
            await trio.sleep(LOOK_SECONDS)
            due = await store.deliveries.take(["succeeded"], HOUR)
    return due


# Take, put off, end


@guarantee(
    GROUP,
    "A take gives each target the delivery that is due longest, and no other take returns it meanwhile.",
    promise="A taken delivery is not due again for ``seconds``",
)
async def one_taker_at_a_time(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        await ended(store, "first", "second", ending=FAILED)
        due = await store.deliveries.take(["failed", "also failed", "succeeded"], HOUR)
        found = sorted(map(said, due.deliveries))
        expect(found == ["also failed: first failed", "failed: first failed"], f"the first take gave {found}")
        expect(due.next_due_at is not None and due.next_due_at <= due.now, f"{due.next_due_at} is not due already")
        expect(names([await take_one(store, "failed")]) == ["second"], "the second take did not give the second one")
        again = await store.deliveries.take(["failed"], HOUR)
        expect(not again.deliveries, f"{again.deliveries} was taken twice")
        _expect_about(again, HOUR)
        await expect_made(store, *[f"{target}: {n} failed" for target in EACH.failed for n in ("first", "second")])


def _expect_about(due: DueDeliveries, seconds: float) -> None:
    found = None if due.next_due_at is None else due.next_due_at - due.now
    expect(
        found is not None and seconds - WAIT_SECONDS_MAX <= found <= seconds,
        f"the next delivery should be due in {seconds:g} s, but is due in {found}",
    )


@guarantee(
    GROUP,
    "A delivery whose taker died is due again after the time of the take.",
    promise=_NEVER_TWO,
)
async def a_take_ends(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        await ended(store, "a")
        taken = await take_one(store, "succeeded", 0.2)
        due = await _due_again(store, "a taken delivery was never due again")
        expect(due.now >= taken.made_at + 0.2, "a taken delivery was due again too early")
        expect(due.deliveries[0].attempts == 0, "a take without a failed attempt counted as one")


@guarantee(
    GROUP,
    "A failed attempt is counted, and the delivery is due again after the given time.",
    promise="``put_off`` records a failed attempt: ``attempts`` grows by 1, and the delivery is due again in",
)
async def a_failed_attempt_is_counted(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        await ended(store, "a", "b")
        taken = await take_one(store, "succeeded")
        await store.deliveries.put_off(taken, 0.1)
        expect(names([await take_one(store, "succeeded")]) == ["b"], "the other delivery is due longer")
        due = await _due_again(store, "a delivery that was put off was never due again")
        [again] = due.deliveries
        expect(again.serial == taken.serial and again.notice == taken.notice, f"{again} is another delivery")
        expect((again.attempts, again.made_at) == (1, taken.made_at), f"after one failed attempt: {again}")
        await store.deliveries.put_off(again, HOUR)
        [first, _] = await store.deliveries.page("succeeded", MANY)
        expect(first.attempts == 2, f"after two failed attempts, {first.attempts} are counted")
        _expect_about(await store.deliveries.take(["succeeded"], 1), HOUR)


@guarantee(
    GROUP,
    "An ended delivery is gone, and another end or failed attempt of it changes nothing.",
    promise="Both ignore a delivery that is no longer there",
)
async def an_ended_delivery_is_gone(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        await ended(store, "a", "b")
        taken = await take_one(store, "succeeded")
        await store.deliveries.end([taken])
        await store.deliveries.end([taken])
        await store.deliveries.put_off(taken, 0)
        await store.deliveries.end([])
        await expect_made(store, "succeeded: b succeeded")
        expect(names([await take_one(store, "succeeded")]) == ["b"], "an ended delivery was taken")


@guarantee(
    GROUP,
    "A page follows the serials of a target's deliveries.",
    promise="``page`` lists the deliveries of a target in the order of their serials",
)
async def deliveries_by_serial(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        await ended(store, *"abcd", ending=FAILED)
        await store.deliveries.put_off(await take_one(store, "failed"), HOUR)
        first = await store.deliveries.page("failed", 3)
        rest = await store.deliveries.page("failed", 3, first[-1].serial)
        found = names([*first, *rest])
        expect((len(first), found) == (3, [*"abcd"]), f"a page of three and the rest are {found}")
        serials = [delivery.serial for delivery in (*first, *rest)]
        expect(serials == sorted(set(serials)), f"the serials are {serials}")


# Bounds


@guarantee(
    GROUP,
    "When there are too many deliveries, the oldest ones end, and the watcher gets them.",
    promise="The step that makes more ends the oldest ones",
)
async def deliveries_are_bounded(place: Place) -> None:
    async with place.open(delivery_bounds=DeliveryBounds(deliveries_max=3)) as store:
        gone: list[Delivery] = []
        store.watch(Watcher(brings=lambda _: EACH, deliveries_ended=gone.extend))
        await ended(store, "a", "b", "c", ending=FAILED)
        await expect_made(store, "also failed: b failed", "failed: c failed", "also failed: c failed")

        async def look() -> bool:
            await trio.lowlevel.checkpoint()
            return len(gone) >= 3

        await until(look, "the watcher was not called with the deliveries that had to go")
        expect(sorted(names(gone)) == ["a", "a", "b"], f"the watcher was called with {names(gone)}")


@guarantee(
    GROUP,
    "Deliveries that have reached their age end, the oldest first, for every target.",
    promise="It does not depend on the targets that a node has",
)
async def old_deliveries_end(place: Place) -> None:
    async with place.open(delivery_bounds=DeliveryBounds(seconds_max=0.2)) as store:
        watch(store)
        await ended(store, "a", ending=FAILED)
        await ended(store, "b")
        await trio.sleep(0.3)  # they have reached their age then
        first, rest = await store.deliveries.end_old(2), await store.deliveries.end_old(2)
        found = [names(first.ended), names(rest.ended)]
        expect(found == [["a", "a"], ["b"]], f"two at a time, the oldest ones are {found}")
        expect(rest.next_at is None, "no delivery is left, but `next_at` names a time")
        await expect_made(store)
    async with place.open(delivery_bounds=DeliveryBounds(seconds_max=HOUR)) as store:
        watch(store)
        [record] = await ended(store, "c")
        old = await store.deliveries.end_old(2)
        expect((old.ended, old.next_at) == ([], record.finished_at + HOUR), f"of a new delivery: {old}")


# Watch


@guarantee(
    GROUP,
    "A watcher is called when a delivery was made or put off.",
    promise="``Watcher.deliveries_changed`` is called once a step that was made through this node has made a delivery",
)
async def watchers_of_deliveries(place: Place) -> None:
    async with place.open() as store:
        calls = 0

        def note() -> None:
            nonlocal calls
            calls += 1

        store.watch(Watcher(brings=lambda _: EACH, deliveries_changed=note))
        await ended(store, "a")
        expect(calls > 0, "the watcher was not called when a delivery was made")
        taken = await take_one(store, "succeeded")
        calls = 0
        await store.deliveries.put_off(taken, 0)
        expect(calls > 0, "the watcher was not called when a delivery was put off")


@guarantee(
    GROUP,
    "When the outcome can be seen, its deliveries can be taken.",
    promise="also makes one delivery for each target",
)
async def outcome_and_delivery_are_one_step(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        [record] = await accept(store, Task("a"))
        [running] = await start(store)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_wait_and_look, store, record.id)
            await end(store, running)


async def _wait_and_look(store: Store, task_id: str) -> None:
    with within(WAIT_SECONDS_MAX, "the task did not end"):
        await store.wait(task_id)
    found = await store.deliveries.page("succeeded", MANY)
    expect(len(found) == 1, f"the outcome can be seen, and its deliveries are {found}")


# A crash


@guarantee(
    GROUP,
    "Deliveries are there after a restart, with their attempts; an ended one is not, and a taken one is due.",
    Need.DURABLE,
    promise=_RESTORES,
)
async def deliveries_are_kept(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        await ended(store, "put off", "ended", "taken")
        await store.deliveries.put_off(await take_one(store, "succeeded"), HOUR)
        await store.deliveries.end([await take_one(store, "succeeded")])
        await take_one(store, "succeeded", 0.1)
        before = await all_of(store)
        await accept(store, Task("later"))
        await place.cut(store)
    async with place.open() as store:
        after = await all_of(store)
        found = [(delivery.serial, delivery.attempts, delivery.notice) for delivery in after]
        kept = [(delivery.serial, delivery.attempts, delivery.notice) for delivery in before]
        expect(found == kept, f"after a crash the deliveries are {after}, before it they were {before}")
        due = await _due_again(store, "a taken delivery was not due after a crash")
        expect(names(due.deliveries) == ["taken"], f"due after the crash: {names(due.deliveries)}")
        [running] = await start(store)
        await end(store, running)
        after = await all_of(store)
        expect(names(after) == ["put off", "taken", "later"], f"a task kept no targets: {names(after)}")
        expect(len({delivery.serial for delivery in after}) == 3, "a serial was given twice")


@guarantee(
    GROUP,
    "A task that a crash ends brings the deliveries of `abandoned`, once.",
    Need.DURABLE,
    promise="the recovery after a crash, the loss of a node",
)
async def a_crash_brings_deliveries(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        [once] = await accept(store, Task("once", on_crash="fail"))
        await start(store)
        await place.cut(store)
    for _ in range(2):
        async with place.open() as store:
            with within(WAIT_SECONDS_MAX * 2, "the task was not abandoned"):
                await store.wait(once.id)
            await expect_made(store, "abandoned: once abandoned")
            await place.cut(store)


@guarantee(
    GROUP,
    "When the end of a task is recorded, its deliveries survive a crash, and so do those of a skip.",
    Need.DURABLE,
    promise="A crash leaves the outcome with its deliveries, or neither",
)
async def deliveries_are_durable_with_their_step(place: Place) -> None:
    async with place.open() as store:
        watch(store)
        await ended(store, "a", ending=FAILED)
        await place.cut(store)
    made = ["failed: a failed", "also failed: a failed"]
    async with place.open() as store:
        await expect_made(store, *made)
        step = step_of(await put(store))
        await store.schedules.skip(msgspec.structs.replace(step, targets=("skipped",)), "late")
        await place.cut(store)
    async with place.open() as store:
        await expect_made(store, *made, "skipped: task skipped late")
