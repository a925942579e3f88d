"""Notifications of real tasks and schedules, by an executor in virtual time."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import Executor, Full, LocalStore, PageRequest, ScheduleDeclaration, State, Task
from pexecutor.handlers import Catalogue, Context, HandlerFailedError
from pexecutor.notifications.sending import DELIVERED, SendResult
from pexecutor.stores.deliveries import Delivery, EndNotice, SkipNotice

from ..conftest import RunHere, virtual_now
from ..fakes import Doing, Gate
from .deliveries import Receivers, down_for, target


async def fail(context: Context, task: Task) -> None:
    await trio.sleep(task.duration / 1000)
    raise HandlerFailedError("broken")


class Inbox(Receivers):
    """Receivers that keep what they accept."""

    def __init__(self, **does: Any) -> None:
        super().__init__(**does)
        self.accepted: list[Delivery] = []

    async def _send(self, one: Delivery) -> SendResult:
        result = await super()._send(one)
        if result == DELIVERED:
            self.accepted.append(one)
        return result

    def told(self) -> list[str]:
        """What was accepted, as one line each."""
        return [
            f"{one.target}: {one.notice.name} {one.notice.outcome}"
            if isinstance(one.notice, EndNotice)
            else f"{one.target}: {one.notice.schedule} {one.notice.reason}"
            for one in self.accepted
        ]


async def start(run_here: RunHere, inbox: Inbox, store: LocalStore | None = None, **settings: Any) -> Executor:
    """Run an executor whose notifications go to an inbox."""
    settings.setdefault("targets", {"ops": target()})
    settings.setdefault("handlers", Catalogue({"sleep": Doing(fail), "gate": Gate()}))
    return await run_here(store or LocalStore(now=virtual_now), open_sender=inbox.opened, **settings)


async def test_a_failure_is_notified_once_and_a_success_is_not(autojump_clock: MockClock, run_here: RunHere) -> None:
    inbox = Inbox()
    gate = Gate()
    executor = await start(run_here, inbox, handlers=Catalogue({"sleep": Doing(fail), "gate": gate}))
    await executor.submit([Task("bad", retries=3), Task("good", handler="gate")])
    gate.open()
    await trio.sleep(3600)
    assert inbox.told() == ["ops: bad failed"]
    [one] = inbox.accepted
    assert isinstance(one.notice, EndNotice)
    assert one.notice.error == "broken"
    assert one.notice.handler == "sleep"


async def test_a_failure_is_notified_while_the_queue_is_full_and_every_worker_is_busy(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    inbox = Inbox()
    store = LocalStore(now=virtual_now, queue_size=2)
    executor = await start(run_here, inbox, store, pool_size=2)
    await executor.submit([Task("bad", duration=10), Task("busy-1", handler="gate")])
    await wait_all_tasks_blocked()
    await executor.submit([Task("busy-2", handler="gate"), Task("waits-1", handler="gate")])
    await trio.sleep(1)
    [verdict] = await executor.submit([Task("waits-2", handler="gate")])
    assert not isinstance(verdict, Full)
    [verdict] = await executor.submit([Task("no-room", handler="gate")])
    assert isinstance(verdict, Full)
    assert executor.statistics().busy == 2
    assert inbox.told() == ["ops: bad failed"]


async def test_a_failure_reaches_a_receiver_that_was_down_for_three_attempts(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    inbox = Inbox(ops=down_for(3))
    executor = await start(run_here, inbox)
    await executor.submit([Task("bad")])
    await trio.sleep(6)
    assert inbox.told() == []
    await trio.sleep(2)
    assert inbox.told() == ["ops: bad failed"]
    assert executor.statistics().notifications == {"ops": {"delivered": 1, "retried": 3}}


async def test_a_cancel_is_notified_if_the_target_is_for_cancels(autojump_clock: MockClock, run_here: RunHere) -> None:
    inbox = Inbox()
    targets = {"ops": target(on=frozenset({"cancelled"}))}
    executor = await start(run_here, inbox, targets=targets)
    await executor.submit([Task("running", handler="gate"), Task("waiting", delay=1000), Task("bad")])
    await wait_all_tasks_blocked()
    for state in (State.RUNNING, State.SCHEDULED):
        for record in (await executor.page(PageRequest(state))).records:
            await executor.cancel(record.id)
    await trio.sleep(0.1)
    assert sorted(inbox.told()) == ["ops: running cancelled", "ops: waiting cancelled"]


async def test_a_skipped_occurrence_is_notified_once(autojump_clock: MockClock, run_here: RunHere) -> None:
    inbox = Inbox()
    targets = {"ops": target(on=frozenset({"skipped"})), "other": target("other")}
    executor = await start(run_here, inbox, targets=targets)
    await executor.submit([Task("held", handler="gate")])
    await executor.schedules.put("minutely", ScheduleDeclaration(Task("held", handler="gate"), cron="* * * * *"))
    await trio.sleep(600)
    assert inbox.told() == ["ops: minutely held"]
    [one] = inbox.accepted
    assert isinstance(one.notice, SkipNotice)
    assert one.notice.holder_id is not None


async def test_a_drain_sends_the_notifications_of_the_last_tasks(autojump_clock: MockClock, run_here: RunHere) -> None:
    inbox = Inbox()
    executor = await start(run_here, inbox, drain_timeout_seconds=30)
    await executor.submit([Task("bad", duration=5000)])
    await wait_all_tasks_blocked()
    executor.drain()
    await executor.stopped.wait()
    assert trio.current_time() < 6
    assert inbox.told() == ["ops: bad failed"]


async def test_a_receiver_that_stalls_does_not_prolong_the_stop(autojump_clock: MockClock, run_here: RunHere) -> None:
    async def never(one: Delivery) -> SendResult:
        await trio.sleep(3600)
        return DELIVERED

    executor = await start(run_here, Inbox(ops=never), drain_timeout_seconds=30)
    await executor.submit([Task("bad"), Task("busy", handler="gate")])
    await wait_all_tasks_blocked()
    executor.drain()
    await executor.stopped.wait()
    assert trio.current_time() == 30


async def test_a_hard_stop_waits_for_no_receiver(autojump_clock: MockClock, run_here: RunHere) -> None:
    async def never(one: Delivery) -> SendResult:
        await trio.sleep(3600)
        return DELIVERED

    executor = await start(run_here, Inbox(ops=never), drain_timeout_seconds=30)
    await executor.submit([Task("bad")])
    await trio.sleep(1)
    executor.hard_stop()
    await executor.stopped.wait()
    assert trio.current_time() == 1
