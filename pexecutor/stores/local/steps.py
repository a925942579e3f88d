"""``Steps``: completes the decided steps of a local store: makes their changes durable, then publishes them.

Every outcome passes through here. So this is the one place that makes the deliveries which outcomes bring: they are
made durable in one transaction with the outcomes, and published at the same instant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import trio

from ...observe.histogram import COMMIT_SECONDS, Histogram
from ...task import Finished, Pending, Record, Scheduled
from ..deliveries import Delivery, Spare, brought_by
from .book import Book
from .delivery_book import DeliveryBook
from .journal_protocol import NOTHING_BESIDE, BesideRecords, DeliveryChange, Journal, make_durable
from .serials import Serials

Reserved = dict[int, range]
"""The serials that are reserved for the deliveries of a step, by the serial of the task whose end may bring them."""


class Steps:
    """Completes steps.

    Parameters:
        book: the records.
        deliveries: the deliveries.
        serials: the serials of the store.
        journal: makes changes durable; ``None`` if tasks may be lost with the process.
        arrivals: where callers wait for a task that can be started.
    """

    def __init__(
        self,
        book: Book,
        deliveries: DeliveryBook,
        serials: Serials,
        journal: Journal | None,
        arrivals: trio.lowlevel.ParkingLot,
    ) -> None:
        self.journal = journal
        self.commits: Histogram = Histogram(COMMIT_SECONDS)
        # Changed by complete(): the serials of tasks whose decided change is not yet durable.
        self.changing: set[int] = set()
        self._book = book
        self._deliveries = deliveries
        self._serials = serials
        self._arrivals = arrivals
        book.startable = arrivals.unpark_all

    @property
    def trouble(self) -> str | None:
        """The reason why changes cannot be made durable at present, or ``None``."""
        return None if self.journal is None else self.journal.trouble

    async def complete(
        self,
        changes: Sequence[Record],
        *,
        known_with_it: Sequence[Record] = (),
        beside: BesideRecords = NOTHING_BESIDE,
        made: Sequence[Delivery] = (),
        put: Callable[[Sequence[Any]], None] | None = None,
    ) -> Sequence[Any]:
        """Complete a step with any changes; return the changes of records as they were made durable.

        Parameters:
            changes: the new states of records.
            known_with_it: present states of records, which have to be durable with the changes.
            beside: what changes beside records; the caller publishes this.
            made: new deliveries, in addition to those that outcomes bring.
            put: puts the changes into the book; ``None`` for ``Book.put``.
        """
        changing = {record.serial for record in changes}
        self.changing |= changing
        try:
            durable, brought = await self._make_durable([*known_with_it, *changes], beside, made)
        finally:
            self.changing -= changing
            if self._book.crashed:
                self._arrivals.unpark_all()  # the change of a task that has a crash may let others start
        changes = durable[len(known_with_it) :]
        self._publish(changes, brought, put)
        return changes

    def _publish(
        self, changes: Sequence[Record], brought: Sequence[Delivery], put: Callable[[Sequence[Any]], None] | None = None
    ) -> None:
        (self._book.put if put is None else put)(changes)
        if brought:
            self._deliveries.put(brought)
        if not {Pending, Scheduled}.isdisjoint(map(type, changes)):  # takes a fifth of the time of a loop
            self._arrivals.unpark_all()

    async def accept(self, records: Sequence[Pending]) -> None:
        """Complete the submit of new tasks that are due and whose names are free."""
        await self._make_durable(records)
        self.accept_nowait(records)

    def accept_nowait(self, records: Sequence[Pending]) -> None:
        """Publish the submit of new tasks that need not be durable, are due and have free names."""
        self._book.accept(records)
        self._arrivals.unpark_all()

    async def end(self, records: Sequence[Finished]) -> list[Finished]:
        """Complete the ends of running tasks that have no follower; return them as they were made durable."""
        durable, brought = await self._make_durable(records)
        self._publish_ends(durable, brought)
        return [*durable]

    def end_nowait(self, records: Sequence[Finished]) -> None:
        """Publish the ends of running tasks that need not be durable and have no follower."""
        self._publish_ends(records, _brought(records, self._reserve(records)))

    def _publish_ends(self, records: Sequence[Finished], brought: Sequence[Delivery]) -> None:
        self._book.end(records)
        if brought:
            self._deliveries.put(brought)

    def _reserve(self, changes: Sequence[Record]) -> Reserved:
        """Draw the serials of the deliveries that the outcomes among these changes bring."""
        if not (rare := [record for record in changes if record.rare is not None]):
            return {}
        return {record.serial: self._serials.draw(number) for record in rare if (number := most_brought_by(record))}

    async def _make_durable(
        self, changes: Sequence[Record], beside: BesideRecords = NOTHING_BESIDE, made: Sequence[Delivery] = ()
    ) -> tuple[Sequence[Any], Sequence[Delivery]]:
        """Return the records and the new deliveries that were made durable."""
        reserved = self._reserve(changes)
        brought = [*made, *_brought(changes, reserved)] if made or reserved else made
        if self.journal is None or not (changes or any(beside)):
            return changes, brought
        if brought or reserved:
            beside = beside._replace(deliveries=[*beside.deliveries, *_changes(brought, reserved)])
        asked_at = trio.current_time()
        durable = await make_durable(self.journal, changes, self._serials.drawn, beside)
        self.commits.observe(trio.current_time() - asked_at)
        if durable is not changes:  # the ends of some tasks could not be written: they have failed
            brought = [*made, *_brought(durable, reserved)]
        return durable, brought


def most_brought_by(record: Record) -> int:
    """Return how many deliveries the end of a task may bring; if its end or retry cannot be written, it has failed."""
    brings = None if record.rare is None else record.rare.brings
    match record:
        case Finished() if brings is not None:
            return max(len(brings.targets(record.outcome)), len(brings.failed))
        case Scheduled() if brings is not None and record.attempts:
            return len(brings.failed)
        case _:
            return 0


def _brought(changes: Sequence[Record], reserved: Reserved) -> list[Delivery]:
    if not reserved:
        return []
    ended = [record for record in changes if isinstance(record, Finished) and record.serial in reserved]
    return [delivery for record in ended for delivery in brought_by(record, reserved[record.serial])]


def _changes(brought: Sequence[Delivery], reserved: Reserved) -> list[DeliveryChange]:
    """Return the changes that the journal writes, with stand-ins for serials that are reserved and not used."""
    spare = {serial: Spare(task) for task, serials in reserved.items() for serial in serials}
    return [DeliveryChange(*item) for item in (spare | {delivery.serial: delivery for delivery in brought}).items()]
