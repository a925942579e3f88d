"""The dispatcher in virtual time: when attempts are made, and what becomes of deliveries that fail."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor.notifications.dispatcher import Dispatcher
from pexecutor.notifications.sending import DELIVERED, SendResult
from pexecutor.stores import Watcher
from pexecutor.stores.deliveries import Delivery

from .deliveries import FakeDeliveries, Receivers, break_down, delivery, down_for, stall, target

HOUR = 3600.0
DAY = 24 * HOUR


@asynccontextmanager
async def running(store: FakeDeliveries, receivers: Receivers, *names: str) -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(store, {name: target(name) for name in names}, receivers.opened)
    store.changed = dispatcher.wake
    async with trio.open_nursery() as nursery:
        await nursery.start(dispatcher.run)
        await wait_all_tasks_blocked()
        yield dispatcher
        nursery.cancel_scope.cancel()


async def test_a_delivery_is_sent_at_once(autojump_clock: MockClock) -> None:
    store, receivers = FakeDeliveries(), Receivers()
    async with running(store, receivers, "ops") as dispatcher:
        store.make("ops", "ops", "ops")
        await trio.sleep(0.5)
        assert len(receivers.attempts) == 3
        assert max(receivers.times("ops")) < 0.1
        assert dispatcher.counts() == {"ops": {"delivered": 3}}
    assert not store.kept


async def test_deliveries_that_were_made_before_the_start_are_sent(autojump_clock: MockClock) -> None:
    store, receivers = FakeDeliveries(), Receivers()
    store.make("ops")
    async with running(store, receivers, "ops"):
        assert receivers.times("ops") == [0]


async def test_a_receiver_that_was_down_gets_the_notification(autojump_clock: MockClock) -> None:
    store, receivers = FakeDeliveries(), Receivers(ops=down_for(3))
    async with running(store, receivers, "ops") as dispatcher:
        store.make("ops")
        await trio.sleep(10)
        assert [round(at, 1) for at in receivers.times("ops")] == [0, 1, 3, 7]
        assert dispatcher.counts() == {"ops": {"delivered": 1, "retried": 3}}
    assert not store.kept


async def test_dead_receivers_do_not_delay_another_one(autojump_clock: MockClock) -> None:
    store, receivers = FakeDeliveries(), Receivers(first=stall, second=stall)
    async with running(store, receivers, "first", "second", "third"):
        for _ in range(100):
            store.make("first", "second", "third")
            made_at = trio.current_time()
            await trio.sleep(1)
            assert receivers.times("third")[-1] - made_at < 1
        assert len(receivers.times("third")) == 100
        assert len(receivers.times("first")) == 10, "one attempt of ten seconds at a time"


async def test_the_waits_double_up_to_an_hour_and_end_after_a_day(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store, receivers = FakeDeliveries(), Receivers(ops=down_for(1000))
    async with running(store, receivers, "ops") as dispatcher:
        store.make("ops")
        await trio.sleep(2 * DAY)
        times = receivers.times("ops")
        waits = [round(later - earlier) for earlier, later in pairwise(times)]
        assert waits[:13] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600]
        assert set(waits[13:]) == {3600}
        assert times[-1] < DAY
        assert dispatcher.counts() == {"ops": {"delivered": 0, "retried": len(times), "expired": 1}}
    assert not store.kept
    [line] = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert "could not be delivered within one day" in line
    assert "task a3f09c-42 'nightly' failed" in line


@pytest.mark.parametrize(("asked", "waited"), [(30, 30), (0.1, 1), (100_000, HOUR)])
async def test_retry_after_is_honoured_within_bounds(autojump_clock: MockClock, asked: float, waited: float) -> None:
    async def ask(one: Delivery) -> SendResult:
        await trio.lowlevel.checkpoint()
        return SendResult("failed", "status 429", asked)

    store, receivers = FakeDeliveries(), Receivers(ops=ask)
    async with running(store, receivers, "ops"):
        store.make("ops")
        await trio.sleep(waited + 0.5)
        assert [round(at) for at in receivers.times("ops")] == [0, waited]


async def test_a_receiver_that_is_gone_is_switched_off_visibly(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave(one: Delivery) -> SendResult:
        await trio.lowlevel.checkpoint()
        return SendResult("gone", "status 410")

    store, receivers = FakeDeliveries(), Receivers(ops=leave)
    async with running(store, receivers, "ops", "other") as dispatcher:
        store.make("ops", "ops", "other")
        await trio.sleep(12 * HOUR)
        assert len(receivers.times("ops")) == 1
        assert dispatcher.counts() == {"ops": {"delivered": 0, "gone": 1}, "other": {"delivered": 1}}
        assert len(store.kept) == 2, "the next start may find another receiver"
        store.make("other")
        await trio.sleep(1)
        assert len(receivers.times("other")) == 2
        await trio.sleep(DAY)
        assert dispatcher.counts()["ops"]["expired"] == 2
    [line] = [
        record.message for record in caplog.records if "switched off" in record.message and record.levelname == "ERROR"
    ]
    assert "https://ops.example.org " in line
    assert "secret" not in line


async def test_a_node_without_targets_ends_old_deliveries(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store, receivers = FakeDeliveries(), Receivers()
    async with running(store, receivers) as dispatcher:
        store.make(*(["removed"] * 1200))
        await trio.sleep(DAY - 1)
        assert len(store.kept) == 1200
        await trio.sleep(2)
        assert not store.kept
        assert dispatcher.counts() == {"": {"expired": 1200}}, "one label for all targets of others"
    assert not receivers.is_open
    assert not receivers.attempts
    assert 10 <= len(caplog.records) <= 100, "a bounded number of lines"


async def test_dropped_deliveries_are_counted_and_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(FakeDeliveries(), Receivers(), "ops") as dispatcher:
        dispatcher.watching(Watcher()).deliveries_ended([delivery(1), delivery(2, "removed")])
        assert dispatcher.counts() == {"ops": {"delivered": 0, "dropped": 1}, "": {"dropped": 1}}
    assert ["was dropped" in record.message for record in caplog.records] == [True, True]


async def test_a_store_in_trouble_delays_and_loses_nothing(autojump_clock: MockClock) -> None:
    store, receivers = FakeDeliveries(), Receivers()
    store.is_down = True
    async with running(store, receivers, "ops") as dispatcher:
        store.make("ops")
        await trio.sleep(100)
        assert not receivers.attempts
        store.is_down = False
        await trio.sleep(1)
        assert dispatcher.counts() == {"ops": {"delivered": 1}}
    assert not store.kept


async def test_a_delivered_notification_is_not_sent_again_after_trouble_of_the_store(
    autojump_clock: MockClock,
) -> None:
    store = FakeDeliveries()

    async def accept(one: Delivery) -> SendResult:
        store.is_down = True
        await trio.sleep(1)
        return DELIVERED

    receivers = Receivers(ops=accept)
    async with running(store, receivers, "ops"):
        store.make("ops")
        await trio.sleep(3)
        store.is_down = False
        await trio.sleep(1000)
        assert len(receivers.attempts) == 1
    assert not store.kept


async def test_a_fault_of_the_sender_is_a_failed_attempt(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store, receivers = FakeDeliveries(), Receivers(ops=break_down)
    async with running(store, receivers, "ops", "other"):
        store.make("ops", "other")
        await trio.sleep(2)
        assert len(receivers.times("ops")) == 2
        assert len(receivers.times("other")) == 1
    [line] = [record.message for record in caplog.records]
    assert "LookupError" in line
    assert "secret" not in line


async def test_only_the_first_failure_of_a_receiver_and_its_return_are_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store, receivers = FakeDeliveries(), Receivers(ops=down_for(5))
    async with running(store, receivers, "ops"):
        store.make("ops")
        await trio.sleep(HOUR)
    assert [record.message.partition(",")[0] for record in caplog.records] == [
        "notifications to 'ops' fail",
        "notifications to 'ops' are delivered again",
    ]


# The stop


async def stopped_after(
    dispatcher: Dispatcher, *, drain_seconds: float, stop: Callable[[Dispatcher], None] = lambda _: None
) -> float:
    """Drain, and return how long it took."""
    began = trio.current_time()
    dispatcher.drain(drain_seconds)
    stop(dispatcher)
    await dispatcher.finish()
    return trio.current_time() - began


async def test_a_drain_sends_what_is_due(autojump_clock: MockClock) -> None:
    async def be_slow(one: Delivery) -> SendResult:
        await trio.sleep(2)
        return DELIVERED

    store, receivers = FakeDeliveries(), Receivers(ops=be_slow)
    async with running(store, receivers, "ops") as dispatcher:
        store.make("ops", "ops", "ops")
        assert await stopped_after(dispatcher, drain_seconds=30) == pytest.approx(6)
    assert not store.kept


async def test_a_drain_does_not_wait_for_retries(autojump_clock: MockClock) -> None:
    store, receivers = FakeDeliveries(), Receivers(ops=down_for(4))
    async with running(store, receivers, "ops") as dispatcher:
        store.make("ops")
        await trio.sleep(0.5)
        assert await stopped_after(dispatcher, drain_seconds=30) == 0
    assert len(store.kept) == 1


async def never_reply(one: Delivery) -> SendResult:
    await trio.sleep(3600)
    return DELIVERED


@pytest.mark.parametrize("receiver", [stall, never_reply])
async def test_a_drain_is_bounded(
    autojump_clock: MockClock, receiver: Callable[[Delivery], Awaitable[SendResult]]
) -> None:
    store, receivers = FakeDeliveries(), Receivers(ops=receiver)
    async with running(store, receivers, "ops") as dispatcher:
        store.make("ops", "ops", "ops", "ops", "ops")
        assert await stopped_after(dispatcher, drain_seconds=30) == 30
        assert not receivers.is_open
    assert len(store.kept) == 5


async def test_a_hard_stop_sends_nothing_more(autojump_clock: MockClock) -> None:
    store, receivers = FakeDeliveries(), Receivers(ops=stall)
    async with running(store, receivers, "ops") as dispatcher:
        store.make("ops")
        await wait_all_tasks_blocked()
        assert await stopped_after(dispatcher, drain_seconds=30, stop=Dispatcher.stop_now) == 0
    assert len(store.kept) == 1


async def test_a_drain_gives_up_a_store_in_trouble(autojump_clock: MockClock) -> None:
    store = FakeDeliveries()
    async with running(store, Receivers(), "ops") as dispatcher:
        store.make("ops")
        store.is_down = True
        assert await stopped_after(dispatcher, drain_seconds=30) == 0


async def test_a_node_without_targets_stops_at_once(autojump_clock: MockClock) -> None:
    async with running(FakeDeliveries(), Receivers()) as dispatcher:
        assert await stopped_after(dispatcher, drain_seconds=30) == 0


async def test_a_receiver_that_accepts_at_the_end_of_the_drain_is_recorded(autojump_clock: MockClock) -> None:
    class SlowEnd(FakeDeliveries):
        async def end(self, deliveries: Sequence[Delivery]) -> None:
            await trio.sleep(3)
            await super().end(deliveries)

    store = SlowEnd()
    async with running(store, Receivers(), "ops") as dispatcher:
        store.make("ops")
        await wait_all_tasks_blocked()
        assert await stopped_after(dispatcher, drain_seconds=1) == 3
    assert not store.kept
