"""``StartOrder``: pending tasks, the highest priority first, in acceptance order within one.

A lane a priority, each a list sorted by serial. Nearly every task arrives at a lane's end and leaves at its
front, so both cost a constant: the front is an index, and what lies before it is cut off when it has become half
of the list. The rare move elsewhere (a cancel, a task that comes back) is a search by halves and one shift of
memory.

Roads not taken: a heap cannot be listed in order, so a page of a million would sort a million; an ordered dict
cannot be entered at a cursor; marking the cancelled ones and skipping them later lets the dead outgrow the bound.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from operator import attrgetter

from ..task import Pending

_by_serial = attrgetter("serial")


class StartOrder:
    """A sorted collection of pending tasks that can be entered anywhere."""

    def __init__(self) -> None:
        # Owned by this class: _lanes[p] exists, and p stands in _priorities, while lane p holds a task.
        self._lanes: dict[int, _Lane] = {}
        self._priorities: list[int] = []  # ascending
        self._length = 0

    def add(self, record: Pending) -> None:
        """Put a task at its place."""
        priority = record.task.priority
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = _Lane()
            insort(self._priorities, priority)
        lane.add(record)
        self._length += 1

    def pop(self) -> Pending:
        """Take the task that is to start next. Raises ``IndexError`` when there is none."""
        priority = self._priorities[-1]
        record = self._lanes[priority].pop()
        self._removed_from(priority)
        return record

    def remove(self, record: Pending) -> None:
        """Take out this task. Raises ``KeyError`` when it is not in here."""
        priority = record.task.priority
        self._lanes[priority].remove(record)
        self._removed_from(priority)

    def after(self, priority: int, serial: int) -> Iterator[Pending]:
        """The tasks behind this place in start order; the place need not be taken by any."""
        for lane_priority in reversed(self._priorities[: bisect_right(self._priorities, priority)]):
            yield from self._lanes[lane_priority].after(serial if lane_priority == priority else 0)

    def __len__(self) -> int:
        return self._length

    def _removed_from(self, priority: int) -> None:
        self._length -= 1
        if not len(self._lanes[priority]):
            del self._lanes[priority]
            self._priorities.remove(priority)


class _Lane:
    """The tasks of one priority; what lies before ``_front`` is gone already."""

    def __init__(self) -> None:
        self._records: list[Pending | None] = []
        self._front = 0

    def __len__(self) -> int:
        return len(self._records) - self._front

    def add(self, record: Pending) -> None:
        records = self._records
        if not records or (last := records[-1]) is None or last.serial < record.serial:
            records.append(record)
        else:
            records.insert(self._place(record.serial), record)

    def pop(self) -> Pending:
        record = self._records[self._front]
        assert record is not None, "the front of a lane is always a task"
        self._records[self._front] = None
        self._front += 1
        if self._front * 2 > len(self._records):
            del self._records[: self._front]
            self._front = 0
        return record

    def remove(self, record: Pending) -> None:
        place = self._place(record.serial)
        if place == len(self._records) or self._records[place] is not record:
            raise KeyError(record.id)
        del self._records[place]

    def after(self, serial: int) -> Iterator[Pending]:
        for place in range(self._place(serial + 1), len(self._records)):
            record = self._records[place]
            assert record is not None, "only what lies before the front is gone"
            yield record

    def _place(self, serial: int) -> int:
        return bisect_left(self._records, serial, lo=self._front, key=_by_serial)
