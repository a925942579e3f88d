"""Notifications while the targets change: a reload adds, changes and removes them."""

from __future__ import annotations

from typing import Any

import msgspec
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import Executor, LocalStore, Task
from pexecutor.notifications.sending import DELIVERED, SendResult
from pexecutor.notifications.settings import Target
from pexecutor.stores.deliveries import Delivery

from ..conftest import RunHere, virtual_now
from .deliveries import Receivers, down_for, target
from .test_with_tasks import Inbox, start


async def retarget(executor: Executor, *targets: Target) -> None:
    by_name = {each.name: each for each in targets}
    await executor.apply_settings(msgspec.structs.replace(executor.settings, targets=by_name))


async def fail(executor: Executor, name: str) -> None:
    await executor.submit([Task(name)])
    await trio.sleep(1)


async def test_targets_are_added_and_removed(autojump_clock: MockClock, run_here: RunHere) -> None:
    inbox = Inbox()
    executor = await start(run_here, inbox, targets={})
    await fail(executor, "one")
    assert not inbox.is_open
    await retarget(executor, target("ops"))
    await fail(executor, "two")
    await retarget(executor, target("ops"), target("dev"))
    await fail(executor, "three")
    await retarget(executor, target("dev"))
    await fail(executor, "four")
    await retarget(executor)
    await fail(executor, "five")

    assert sorted(inbox.told()) == ["dev: four failed", "dev: three failed", "ops: three failed", "ops: two failed"]
    assert executor.statistics().notifications == {"": {"delivered": 4}}


async def test_deliveries_for_a_removed_target_stay_and_are_sent_if_it_returns(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    inbox = Inbox(ops=down_for(1))
    executor = await start(run_here, inbox)
    await executor.submit([Task("bad")])
    await trio.sleep(0.5)
    await retarget(executor, target("dev"))
    await trio.sleep(3600)
    assert [one.notice.name for one in await executor.notifications.page("ops", 10)] == ["bad"]
    await retarget(executor, target("ops"))
    await trio.sleep(1)
    assert inbox.told() == ["ops: bad failed"]


async def test_deliveries_for_a_removed_target_end_after_a_day(autojump_clock: MockClock, run_here: RunHere) -> None:
    inbox = Inbox(ops=down_for(1))
    executor = await start(run_here, inbox)
    await executor.submit([Task("bad")])
    await trio.sleep(0.5)
    await retarget(executor)
    await trio.sleep(25 * 3600)

    assert await executor.notifications.page("ops", 10) == []
    assert executor.statistics().notifications == {"": {"retried": 1, "expired": 1}}


async def test_a_target_that_was_switched_off_is_on_again(autojump_clock: MockClock, run_here: RunHere) -> None:
    answers = [SendResult("gone", "status 410")]

    async def answer(_: Delivery) -> SendResult:
        return answers.pop() if answers else DELIVERED

    inbox = Inbox(ops=answer)
    executor = await start(run_here, inbox)
    await fail(executor, "one")
    await fail(executor, "two")
    assert inbox.times("ops") == [0]
    await retarget(executor, target("ops"))
    await fail(executor, "three")
    assert inbox.told() == ["ops: one failed", "ops: three failed"], "nobody was to be notified of the second"


async def test_a_late_410_does_not_switch_off_a_target_that_has_changed(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    async def stall(_: Delivery) -> SendResult:
        await trio.sleep(5)
        return SendResult("gone", "status 410")

    inbox = Inbox(ops=stall)
    executor = await start(run_here, inbox)
    await fail(executor, "one")
    await retarget(executor, target("ops", allow_private=True))
    await trio.sleep(5)
    inbox.does.clear()
    await fail(executor, "two")
    assert "ops: two failed" in inbox.told()


async def test_an_attempt_under_way_ends_as_it_began(autojump_clock: MockClock, run_here: RunHere) -> None:
    async def stall(_: Delivery) -> SendResult:
        await trio.sleep(5)
        return DELIVERED

    inbox = Inbox(ops=stall)
    executor = await start(run_here, inbox)
    await fail(executor, "one")
    await retarget(executor)
    await trio.sleep(5)
    assert inbox.told() == ["ops: one failed"]
    assert executor.statistics().store.deliveries == 0


async def test_a_delivery_that_is_taken_while_its_target_is_removed_stays(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    store = LocalStore(now=virtual_now)
    take, removing = store.deliveries.take, list[Any]()

    async def take_slowly(*arguments: Any) -> Any:
        taken = await take(*arguments)
        if taken.deliveries and not removing:
            removing.append(executor)
            executor.notifications.replace({})
        return taken

    store.deliveries.take = take_slowly  # type: ignore[method-assign, assignment]
    receivers = Inbox()
    executor = await start(run_here, receivers, store)
    await fail(executor, "one")
    await wait_all_tasks_blocked()
    assert receivers.attempts == []
    assert executor.statistics().store.deliveries == 1
    await retarget(executor, target("ops"))
    await trio.sleep(120)
    assert isinstance(receivers, Receivers)
    assert receivers.told() == ["ops: one failed"]
