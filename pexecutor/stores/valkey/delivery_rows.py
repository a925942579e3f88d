"""Deliveries as the functions in ``functions/deliveries.lua`` get, store and return them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...task import make_serial
from ..deliveries import Delivery, EndNotice, SkipNotice

NUMBERS: Final = make_serial(1, 0) - 1
"""The bits of a serial that are the number in its queue."""


class StoredDelivery(msgspec.Struct, frozen=True, array_like=True):
    """What the server stores of a delivery, in this order."""

    target: str
    made_at: float
    due_at: float
    attempts: int
    notice: EndNotice | SkipNotice


class DeliveryRow(msgspec.Struct, frozen=True, array_like=True):
    """A delivery with its number."""

    number: int
    target: str
    made_at: float
    due_at: float
    attempts: int
    notice: EndNotice | SkipNotice


class DeliveriesReply(msgspec.Struct, frozen=True, array_like=True):
    """Deliveries, and the time of the next one; ``NOTHING_DUE`` if there is none.

    ``at`` is the time of the step. A repeated call gets the first reply, and that may have been a while ago.
    """

    at: float
    rows: list[DeliveryRow]
    next_at: float


RESULTS: Final[dict[str, Any]] = {
    "take_deliveries": DeliveriesReply,
    "put_off_delivery": bool,
    "end_deliveries": bool,
    "end_old_deliveries": DeliveriesReply,
    "page_deliveries": list[DeliveryRow],
    "moving_deliveries": list[DeliveryRow],
    "arrive_deliveries": int,
    "drop_delivery_arrivals": int,
    "drop_deliveries": int,
}
"""The types of the results, by verb."""


def to_delivery(row: DeliveryRow, tag: int) -> Delivery:
    """Return the delivery of a row."""
    return Delivery(make_serial(tag, row.number), row.target, row.made_at, row.due_at, row.notice, row.attempts)


def to_delivery_row(delivery: Delivery) -> DeliveryRow:
    """Return the row of a delivery."""
    return DeliveryRow(
        delivery.serial & NUMBERS,
        delivery.target,
        delivery.made_at,
        delivery.due_at,
        delivery.attempts,
        delivery.notice,
    )
