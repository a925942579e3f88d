"""``ValkeyDeliveries``: the deliveries of a queue on a server. The functions in ``functions/deliveries.lua`` decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..deliveries import Delivery, DeliveryBounds, DueDeliveries, OldDeliveries
from .calls import Calls, Link
from .delivery_rows import NUMBERS, DeliveriesReply, DeliveryRow, to_delivery
from .protocol import CHANGES_MAX, NOTHING_DUE

ENDED_AT_ONCE_MAX: Final = CHANGES_MAX
"""How many deliveries one call ends."""


class ValkeyDeliveries:
    """The deliveries of a queue (see ``pexecutor.stores.deliveries``).

    Parameters:
        bounds: how many deliveries are kept, and for how long.
        calls: the node's calls to its queue.
        link: the connection, which waits until all replies so far are as durable as requested.
    """

    def __init__(self, bounds: DeliveryBounds, calls: Calls, link: Link) -> None:
        self.bounds: DeliveryBounds = bounds
        self._calls = calls
        self._link = link

    async def take(self, targets: Sequence[str], seconds: float) -> DueDeliveries:
        """Return for each target at most one due delivery, which is then not due again for this time."""
        now, rows, next_at = await self._ask(
            "take_deliveries", self._calls.new_id(), list(dict.fromkeys(targets)), seconds
        )
        return DueDeliveries(now, rows, next_at)

    async def put_off(self, delivery: Delivery, seconds: float) -> None:
        """Record a failed attempt; the delivery is due again in this time."""
        was_there: bool = await self._calls.call(
            "put_off_delivery", self._calls.new_id(), delivery.serial & NUMBERS, seconds
        )
        if was_there:
            self._calls.watcher.deliveries_changed()
            await self._link.flush()

    async def end(self, deliveries: Sequence[Delivery]) -> None:
        """Remove deliveries."""
        numbers = [delivery.serial & NUMBERS for delivery in deliveries]
        for first in range(0, len(numbers), ENDED_AT_ONCE_MAX):
            await self._calls.call("end_deliveries", numbers[first : first + ENDED_AT_ONCE_MAX])
        await self._link.flush()

    async def end_old(self, limit: int) -> OldDeliveries:
        """Remove and return the deliveries that are too old."""
        now, rows, next_at = await self._ask(
            "end_old_deliveries", self._calls.new_id(), min(limit, ENDED_AT_ONCE_MAX), self.bounds.seconds_max
        )
        if rows:
            await self._link.flush()
        return OldDeliveries(now, rows, next_at)

    async def page(self, target: str, limit: int, after: int = 0) -> list[Delivery]:
        """Return the first deliveries of a target by serial, after a serial."""
        rows: list[DeliveryRow] = await self._calls.call("page_deliveries", target, limit, after & NUMBERS)
        return [to_delivery(row, self._calls.tag) for row in rows]

    async def _ask(self, verb: str, *arguments: object) -> tuple[float, list[Delivery], float | None]:
        """Return the time of the step by the server's clock, deliveries, and the time of the next one."""
        reply = await self._calls.ask(verb, *arguments)
        self._calls.report_all(reply.changes, {})
        result: DeliveriesReply = reply.result
        deliveries = [to_delivery(row, self._calls.tag) for row in result.rows]
        return result.at, deliveries, None if result.next_at == NOTHING_DUE else result.next_at
