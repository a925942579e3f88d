"""``Steps``: completes the decided steps of a local store: makes their changes durable, then publishes them.

Every outcome passes through here. So this is the one place that makes the deliveries which outcomes bring: they are
made durable in one transaction with the outcomes, and published at the same instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from ...observe.histogram import COMMIT_SECONDS, Histogram
from ...task import Finished, Pending, Record, Scheduled
from ..deliveries import Delivery, end_notice, new_deliveries, targets_of
from .book import Book
from .delivery_book import DeliveryBook
from .journal_protocol import NOTHING_BESIDE, BesideRecords, DeliveryChange, Journal, make_durable
from .serials import Serials


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

    async def complete(
        self,
        changes: Sequence[Record],
        *,
        known_with_it: Sequence[Record] = (),
        beside: BesideRecords = NOTHING_BESIDE,
        made: Sequence[Delivery] = (),
    ) -> Sequence[Any]:
        """Complete a step with any changes; return the changes of records as they were made durable.

        Parameters:
            changes: the new states of records.
            known_with_it: present states of records, which have to be durable with the changes.
            beside: what changes beside records; the caller publishes this.
            made: new deliveries, in addition to those that outcomes bring.
        """
        changing = {record.serial for record in changes}
        self.changing |= changing
        try:
            brought = [*made, *self._brought(changes)]
            durable = await self._make_durable([*known_with_it, *changes], brought, beside)
            changes = durable[len(known_with_it) :]
        finally:
            self.changing -= changing
            if self._book.crashed:
                self._arrivals.unpark_all()  # the change of a task that has a crash may let others start
        self._publish(changes, brought)
        return changes

    def _publish(self, changes: Sequence[Record], brought: Sequence[Delivery]) -> None:
        self._book.put(changes)
        if brought:
            self._deliveries.put(brought)
        if any(isinstance(record, Pending | Scheduled) for record in changes):
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
        brought = self._brought(records)
        durable = await self._make_durable(records, brought)
        self._publish_ends(durable, brought)
        return [*durable]

    def end_nowait(self, records: Sequence[Finished]) -> None:
        """Publish the ends of running tasks that need not be durable and have no follower."""
        self._publish_ends(records, self._brought(records))

    def _publish_ends(self, records: Sequence[Finished], brought: Sequence[Delivery]) -> None:
        self._book.end(records)
        if brought:
            self._deliveries.put(brought)

    def _brought(self, changes: Sequence[Record]) -> list[Delivery]:
        """Return the deliveries that the outcomes among these changes bring."""
        if not (rare := [record for record in changes if record.rare is not None]):
            return []
        return [delivery for record in rare if isinstance(record, Finished) for delivery in self._brought_by(record)]

    def _brought_by(self, record: Finished) -> list[Delivery]:
        if not (targets := targets_of(record)):
            return []
        return new_deliveries(self._serials.draw(len(targets)), targets, end_notice(record), record.finished_at)

    async def _make_durable(
        self, changes: Sequence[Record], brought: Sequence[Delivery] = (), beside: BesideRecords = NOTHING_BESIDE
    ) -> Sequence[Any]:
        if self.journal is None or not (changes or any(beside)):
            return changes
        if brought:
            made = [DeliveryChange(delivery.serial, delivery) for delivery in brought]
            beside = beside._replace(deliveries=[*beside.deliveries, *made])
        asked_at = trio.current_time()
        durable = await make_durable(self.journal, changes, self._serials.drawn, beside)
        self.commits.observe(trio.current_time() - asked_at)
        return durable
