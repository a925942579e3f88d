"""``HandlerTasks``: the pending tasks of one handler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...limits.keys import LimitKey
from ...task import Pending, Record
from .by_priority import Place, PriorityLanes
from .chunked_dict import BySerial
from .keyed_tasks import KeyedTasks


class HandlerTasks:
    """The pending tasks of one handler: those without limit keys, and those with.

    Parameters:
        handler: the name of the handler.
        records: the records by serial; it holds at least these tasks.
        is_full: returns whether a limit key has no free slot.
    """

    __slots__ = ("_is_full", "_records", "handler", "keyed", "plain")

    def __init__(self, handler: str, records: BySerial[Any], is_full: Callable[[LimitKey], bool]) -> None:
        self.handler = handler
        self._records = records
        self._is_full = is_full
        self.plain: PriorityLanes = PriorityLanes(records)
        self.keyed: KeyedTasks | None = None
        """``None`` if no task has limit keys. Changed by add_keyed() and remove_keyed() alone."""

    def add_keyed(self, record: Pending) -> None:
        """Add a task with limit keys at its place."""
        if self.keyed is None:
            self.keyed = KeyedTasks(self._records, self._is_full)
        self.keyed.add(record)

    def remove_keyed(self, record: Record) -> None:
        """Remove a task with limit keys. Raises ``KeyError`` if it is missing."""
        if self.keyed is None:
            raise KeyError(record.serial)
        self.keyed.remove(record)
        if not self.keyed.order.lanes:
            self.keyed = None

    def after(self, place: Place) -> Sequence[Iterator[Pending]]:
        """Return iterators over the tasks that follow a place, each in start order."""
        plain = self.plain.after(place)
        return [plain] if self.keyed is None else [plain, self.keyed.order.after(place)]

    def __bool__(self) -> bool:
        return bool(self.plain.lanes) or self.keyed is not None


def has_limit_keys(record: Record) -> bool:
    """Return whether a task has limit keys besides that of its handler."""
    return record.rare is not None and bool(record.rare.limit_keys)
