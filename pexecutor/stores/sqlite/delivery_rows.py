"""The rows of deliveries in a file.

The notice is JSON, so a file can be inspected with SQL alone. A row that is not valid is set aside in the table
``damaged_deliveries``: it stops no server, and hides no other delivery.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ...task import TIME_MAX, Finished, Record, parse_task_id
from ..deliveries import Delivery, EndNotice, Notice, Spare, brought_by
from .rows import Row, text
from .schema import SqliteConnection
from .unwritable import Unwritten

COLUMNS: Final = ("serial", "target", "made_at", "due_at", "attempts", "notice")

_WRITE: Final = f"INSERT OR REPLACE INTO deliveries VALUES ({', '.join('?' * len(COLUMNS))})"
_REMOVE: Final = "DELETE FROM deliveries WHERE serial = ?"

Changes = Mapping[int, Delivery | Spare | None]
"""The new states of deliveries, by serial; ``None`` if a delivery was removed."""

_decode_notice = msgspec.json.Decoder(Notice).decode


def write_deliveries(connection: SqliteConnection, changes: Changes) -> None:
    """Write the new states of deliveries, in a transaction."""
    connection.executemany(_REMOVE, [(serial,) for serial, delivery in changes.items() if delivery is None])
    connection.executemany(_WRITE, [to_row(item) for item in changes.values() if isinstance(item, Delivery)])


def with_failures(changes: Changes, unwritten: Unwritten) -> Changes:
    """Return the changes without the deliveries of outcomes that could not be written.

    A task that ends as failed instead brings the deliveries of this outcome; they get the same serials.
    """
    adapted: dict[int, Delivery | Spare | None] = {}
    reserved: dict[int, list[int]] = {}
    for serial, item in changes.items():
        brought_with = _task_of(item)
        if brought_with in unwritten.replaced:
            reserved.setdefault(brought_with, []).append(serial)
        elif brought_with not in unwritten.refused:
            adapted[serial] = item
    for task, serials in reserved.items():
        adapted |= {delivery.serial: delivery for delivery in _deliveries_of(unwritten.replaced[task], serials)}
    return adapted


def _deliveries_of(record: Record, serials: list[int]) -> list[Delivery]:
    return brought_by(record, sorted(serials)) if isinstance(record, Finished) else []


def _task_of(item: Delivery | Spare | None) -> int:
    """Return the serial of the task whose outcome brings a delivery, or 0."""
    match item:
        case Spare(task=task):
            return task
        case Delivery(notice=EndNotice(task_id=task_id)):
            return parse_task_id(task_id) or 0
        case _:
            return 0


def to_row(delivery: Delivery) -> Row:
    """Return the row of a delivery, in the order of ``COLUMNS``."""
    notice = text(delivery.notice)
    return delivery.serial, delivery.target, delivery.made_at, delivery.due_at, delivery.attempts, notice


def from_row(row: Row) -> Delivery:
    """Return the delivery of a row.

    Raises:
        ValueError: the row is not one that ``to_row`` makes.
    """
    serial, target, made_at, due_at, attempts, notice = row
    try:
        if not attempts >= 0:
            raise ValueError(f"the number of attempts {attempts!r} is out of range")
        return Delivery(serial, _text(target), _time(made_at), _time(due_at), _decode_notice(notice), attempts)
    except (TypeError, AttributeError, RecursionError) as error:  # a value of another type
        raise ValueError(str(error)) from error


def _text(value: str | bytes) -> str:
    """Return a text, which is read as bytes if another row is not UTF-8."""
    return value if isinstance(value, str) else value.decode()


def _time(seconds: float) -> float:
    """Return a time if it can be shown as a date. ``None`` raises ``TypeError``."""
    if not 0 <= seconds <= TIME_MAX:
        raise ValueError(f"the time {seconds!r} is out of range")
    return seconds
