"""``LocalDeliveries``: the deliveries of a local store, for the callers that attempt and end them.

The steps that make deliveries are completed in ``steps``. A step on a delivery takes the lock of its serial, so that
its end and a failed attempt reach the book in the order in which they became durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
import trio

from ..deliveries import Delivery, DueDeliveries, OldDeliveries
from .delivery_book import DeliveryBook
from .journal_protocol import BesideRecords, Complete, DeliveryChange
from .shard_locks import KEY_SHARDS, ShardLocks, ShardsTaken


class LocalDeliveries:
    """Deliveries in the memory of one process (see ``pexecutor.stores.deliveries``).

    Parameters:
        book: the deliveries.
        complete: completes a decided step.
        now: the wall clock, in seconds since 1970.
    """

    def __init__(self, book: DeliveryBook, *, complete: Complete, now: Callable[[], float]) -> None:
        self._book = book
        self._complete = complete
        self._now = now
        self._locks = ShardLocks()

    def __len__(self) -> int:
        return len(self._book)

    def watch(self, changed: Callable[[], None], ended: Callable[[Sequence[Delivery]], None]) -> None:
        """Register the callbacks (see ``Watcher``)."""
        self._book.changed, self._book.ended = changed, ended

    def load(self, deliveries: Iterable[Delivery]) -> None:
        """Put the deliveries of an earlier process into an empty book."""
        self._book.put(deliveries)

    def find(self, serial: int) -> Delivery | None:
        """Return a delivery, or ``None``."""
        return self._book.get(serial)

    # Read

    async def take(self, targets: Sequence[str], seconds: float) -> DueDeliveries:
        """Return a due delivery of each target, which is not due again for ``seconds``."""
        await trio.lowlevel.checkpoint()
        now = self._now()
        taken = [self._book.take(target, now, now + seconds) for target in dict.fromkeys(targets)]
        due = [delivery for delivery in taken if delivery is not None]
        return DueDeliveries(now, due, self._book.next_due(targets))

    async def page(self, target: str, limit: int, after: int = 0) -> list[Delivery]:
        """Return the first deliveries of a target by serial, after a serial."""
        await trio.lowlevel.checkpoint()
        return self._book.page(target, limit, after)

    # Change

    async def put_off(self, delivery: Delivery, seconds: float) -> None:
        """Record a failed attempt, and make the delivery due again in ``seconds``."""
        serial = delivery.serial
        async with self._locked([serial]):
            if (old := self._book.get(serial)) is None:
                return
            new = msgspec.structs.replace(old, attempts=old.attempts + 1, due_at=self._now() + seconds)
            await self._complete((), beside=BesideRecords(deliveries=[DeliveryChange(serial, new)]))
            if self._book.get(serial) is old:
                self._book.put([new])
            else:
                self._book.forget([serial])  # meanwhile it had to go, because there were too many

    async def end(self, deliveries: Sequence[Delivery]) -> None:
        """Remove deliveries."""
        await self._remove([delivery.serial for delivery in deliveries])

    async def end_old(self, limit: int) -> OldDeliveries:
        """Remove deliveries that have reached their age, and return them, the oldest first."""
        ended = await self._remove(self._book.old(self._now(), limit))
        return OldDeliveries(self._now(), ended, self._book.next_old())

    async def _remove(self, serials: Sequence[int]) -> list[Delivery]:
        async with self._locked(serials):
            there = [serial for serial in serials if self._book.get(serial) is not None]
            if there:
                changes = [DeliveryChange(serial, None) for serial in there]
                await self._complete((), beside=BesideRecords(deliveries=changes))
            return self._book.remove(there)

    def _locked(self, serials: Iterable[int]) -> ShardsTaken:
        """Return an async context in which only the caller changes these deliveries."""
        shards = 0
        for serial in serials:
            shards |= 1 << serial % KEY_SHARDS
        return self._locks.locked(shards)
