"""``Dispatcher``: sends the deliveries of a store to the targets of this node.

One loop takes the deliveries that are due for idle targets. Each target has one worker, which makes one attempt at a
time, so a receiver that stalls delays no other target. A second loop ends the deliveries that are one day old; it also
runs on a node without targets, because no node may have the target of a delivery any more. A reload may replace the
targets at any time.

During a drain, deliveries are still sent. The executor calls ``finish`` once its tasks have ended. Then ``run`` returns
as soon as no delivery is due, and at the latest when the drain timeout is over. A delivery that was cut off, or that
waits for its next attempt, stays in the store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import trio

from ..errors import StoreUnavailableError
from ..limits.defaults import LOOK_SECONDS, SHORTEST_SECONDS
from ..limits.times import DELIVERY_TAKEN_SECONDS, SETTLE_SECONDS_MAX, STORE_RETRY_SECONDS
from ..observe.notify import safe_logger
from ..stores import Watcher
from ..stores.deliveries import Delivery, DeliveryStore, DueDeliveries, brings_nothing
from ..task import Task
from .counts import NotificationCounts, NotificationResult
from .reports import Reports
from .sending import OpenSender, Send, SendResult
from .settings import Target
from .targets import Targets

RETRY_SECONDS: Final = 1.0
"""The wait after the first failed attempt, in seconds; it doubles with each further one."""

RETRY_SECONDS_MAX: Final = 3600.0
"""The longest wait between two attempts, in seconds, also if ``Retry-After`` asks for more."""

STORE_TROUBLE_SECONDS: Final = 1.0
"""How long to wait for a store in trouble before the next look, in seconds."""

ENDED_AT_ONCE_MAX: Final = 500
"""How many old deliveries one step ends."""

_log: Final = safe_logger(__name__)


class Dispatcher:
    """The notifications of one node.

    Parameters:
        store: the deliveries of the store.
        targets: the targets of the settings, by name.
        open_sender: opens what makes the attempts; only called if there are targets.
    """

    def __init__(self, store: DeliveryStore, targets: Mapping[str, Target], open_sender: OpenSender) -> None:
        self._store = store
        # The targets of the settings, which the sender reads, too. Only replace() changes it.
        self._declared = dict(targets)
        self._open_sender = open_sender
        self._targets = Targets(targets)
        self._counts = NotificationCounts(targets)
        self._reports = Reports(_log)
        self._changed = trio.Event()
        self._finishing = trio.Event()
        self._until_stopped = trio.CancelScope()
        self._finished = trio.Event()
        # The targets with an attempt under way. _start() adds, _attempt() removes.
        self._busy: set[str] = set()

    # Choose

    def for_skip(self, task: Task) -> tuple[str, ...]:
        """Return the targets that are notified if an occurrence that would submit this task is skipped."""
        return self._targets.for_skip(task)

    # Change

    def replace(self, targets: Mapping[str, Target]) -> None:
        """Send to these targets from now on; a target that was switched off is on again.

        An attempt that is under way ends as it began. Deliveries of a target that is gone stay in the store until they
        are too old. Tasks that are accepted from now on bring deliveries for these targets, once the store has the new
        watcher (see ``watching``).
        """
        self._declared.clear()
        self._declared.update(targets)
        self._targets = Targets(targets)
        self._counts.replace(targets)
        self.wake()

    # Observe

    def counts(self) -> dict[str, dict[NotificationResult, int]]:
        """Return how many notifications were delivered, retried or lost, by target and result."""
        return self._counts.by_target()

    async def page(self, target: str, limit: int, after: int = 0) -> list[Delivery]:
        """Return the waiting deliveries of a target after a serial, in the order of their serials."""
        return await self._store.page(target, limit, after)

    # Called by the store

    def watching(self, watcher: Watcher) -> Watcher:
        """Return a watcher that also chooses the targets of tasks, and notifies this dispatcher of deliveries."""
        brings = self._targets.brings if self._declared else brings_nothing  # stores never call the latter
        return watcher._replace(brings=brings, deliveries_changed=self.wake, deliveries_ended=self._note_dropped)

    def wake(self) -> None:
        """Look for deliveries that are due: there is a new one, or a time has changed."""
        self._changed.set()

    def _note_dropped(self, deliveries: Sequence[Delivery]) -> None:
        self._note_ended(deliveries, "dropped")

    # Run and stop

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send deliveries until ``finish`` was called and none is due, or until the drain timeout is over."""
        task_status.started()
        try:
            with self._until_stopped:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._end_old)
                    await self._send_due()
                    nursery.cancel_scope.cancel()
        finally:
            self._finished.set()

    def drain(self, seconds_max: float) -> None:
        """Stop sending after this many seconds, whatever is left."""
        self._until_stopped.deadline = trio.current_time() + seconds_max

    def stop_now(self) -> None:
        """Stop sending at once."""
        self._until_stopped.cancel()

    async def finish(self) -> None:
        """Wait until no delivery is due and no attempt is under way, within the drain timeout."""
        self._finishing.set()
        self.wake()
        await self._finished.wait()

    async def _send_due(self) -> None:
        """Send deliveries until ``finish`` is called and none is due."""
        while not self._targets:  # the sender takes long to load, so it is opened for the first target
            self._changed = trio.Event()
            if self._finishing.is_set():
                return
            await self._changed.wait()
        async with self._open_sender(self._declared) as send, trio.open_nursery() as workers:
            while True:
                self._changed = trio.Event()
                try:
                    seconds = await self._look(workers, send)
                except StoreUnavailableError:  # the store reports its trouble itself
                    seconds = STORE_TROUBLE_SECONDS
                if self._finishing.is_set() and not self._busy:
                    break
                with trio.move_on_after(seconds):
                    await self._changed.wait()

    async def _look(self, workers: trio.Nursery, send: Send) -> float:
        """Start the attempts that are due; return after how many seconds to look again."""
        while idle := [name for name in self._targets if name not in self._busy]:
            due = await self._store.take(idle, DELIVERY_TAKEN_SECONDS)
            for delivery in due.deliveries:
                self._busy.add(delivery.target)
                workers.start_soon(self._attempt, send, delivery)
            if not due.deliveries:
                return _seconds_until(due)
        return LOOK_SECONDS

    async def _attempt(self, send: Send, delivery: Delivery) -> None:
        """Make one attempt, and record its result."""
        try:
            if (target := self._declared.get(delivery.target)) is None:
                return  # a reload has removed the target meanwhile
            result = await _result_of(send, delivery)
            # Shielded: a delivery that is not recorded would be sent again. Bounded: the store may hang.
            with trio.move_on_after(SETTLE_SECONDS_MAX, shield=True):
                await self._settle(delivery, target, result)
        finally:
            self._busy.discard(delivery.target)
            self.wake()

    async def _settle(self, delivery: Delivery, target: Target, result: SendResult) -> None:
        """Record the result of an attempt; try again while the store is unavailable."""
        self._note(delivery, target, result)
        while True:
            try:
                if result.kind == "delivered":
                    await self._store.end([delivery])
                else:
                    await self._store.put_off(delivery, _wait_seconds(delivery, result))
                return
            except StoreUnavailableError:
                await trio.sleep(STORE_RETRY_SECONDS)

    def _note(self, delivery: Delivery, target: Target, result: SendResult) -> None:
        match result.kind:
            case "delivered":
                self._counts.count(target.name, "delivered")
                self._reports.delivered(target.name)
            case "failed":
                self._counts.count(target.name, "retried")
                self._reports.failed(delivery, result.why)
            case "gone":
                self._counts.count(target.name, "gone")
                if self._declared.get(target.name) == target:  # not a target that has changed meanwhile
                    self._targets.switch_off(target.name)
                    self._reports.gone(target)

    # The end of old deliveries

    async def _end_old(self) -> None:
        """End the deliveries that are too old, as long as this node runs."""
        while True:
            try:
                old = await self._store.end_old(ENDED_AT_ONCE_MAX)
            except StoreUnavailableError:
                seconds = STORE_TROUBLE_SECONDS
            else:
                self._note_ended(old.ended, "expired")
                until = math.inf if old.next_at is None else old.next_at - old.now
                seconds = max(SHORTEST_SECONDS, min(until, LOOK_SECONDS))
            await trio.sleep(seconds)

    def _note_ended(self, deliveries: Sequence[Delivery], result: NotificationResult) -> None:
        for delivery in deliveries:
            self._counts.count(delivery.target, result)
            self._reports.ended(delivery, result)


async def _result_of(send: Send, delivery: Delivery) -> SendResult:
    """Make an attempt; a fault of the sender is a failed attempt, so that it ends neither the loop nor the server."""
    try:
        return await send(delivery)
    except Exception as error:
        # The text of the error may quote the URL, which can be a secret.
        return SendResult("failed", f"the attempt failed unexpectedly: {type(error).__name__}")


def _wait_seconds(delivery: Delivery, result: SendResult) -> float:
    """Return how long to wait after a failed attempt."""
    doubled: float = RETRY_SECONDS * 2 ** min(delivery.attempts, 20)
    return min(max(doubled, result.retry_after_seconds), RETRY_SECONDS_MAX)


def _seconds_until(due: DueDeliveries) -> float:
    next_at = math.inf if due.next_due_at is None else due.next_due_at - due.now
    return max(SHORTEST_SECONDS, min(next_at, LOOK_SECONDS))
