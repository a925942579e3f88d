"""``StartOrder``: pending tasks by priority, the highest first, then in acceptance order. Each priority has a lane.

Roads not taken: a heap cannot be listed in order, so a page of a million tasks would sort a million; an ordered dict
cannot be entered at a cursor; marking cancelled tasks and skipping them later lets them outgrow the bound of the queue.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import Any

from ...task import Pending
from .chunked_dict import BySerial
from .sorted_serials import Lane


class StartOrder:
    """A sorted collection of pending tasks that can be entered at any place.

    Parameters:
        records: the records by serial; it holds at least the tasks of this collection.
    """

    def __init__(self, records: BySerial[Any]) -> None:
        self._records = records
        # Owned by this class. A priority is in _lanes and in _priorities exactly as long as it has a task.
        self._lanes: dict[int, Lane[Pending]] = {}
        self._priorities: list[int] = []  # ascending
        self._length = 0

    def add(self, record: Pending) -> None:
        """Add a task at its place."""
        priority = record.task.priority
        lane = self._lanes.get(priority)
        if lane is None:
            lane = self._lanes[priority] = Lane(self._records)
            insort(self._priorities, priority)
        lane.add(record.serial)
        self._length += 1

    def remove(self, record: Pending) -> None:
        """Remove a task. Raises ``KeyError`` if it is missing."""
        priority = record.task.priority
        self._lanes[priority].remove(record.serial)
        self._length -= 1
        if not len(self._lanes[priority]):
            del self._lanes[priority]
            self._priorities.remove(priority)

    def add_all(self, records: Sequence[Pending]) -> None:
        """Add many tasks at their places; their serials ascend."""
        first, *others = records
        self.add(first)
        lane = self._lanes[first.task.priority]
        if lane.last() == first.serial and _of_one_priority(records):  # so all others belong behind the first
            lane.append_all([record.serial for record in others])
            self._length += len(others)
        else:
            for record in others:
                self.add(record)

    def first(self, number: int) -> list[Pending]:
        """Return the first tasks in start order, at most ``number``."""
        first: list[Pending] = []
        for priority in reversed(self._priorities):
            first += self._records.get_all(self._lanes[priority].front(number - len(first)))
            if len(first) == number:
                break
        return first

    def remove_first(self, number: int) -> None:
        """Remove the first ``number`` tasks in start order."""
        while number:
            priority = self._priorities[-1]
            taken = len(self._lanes[priority].remove_front(number))
            number -= taken
            self._length -= taken
            if not self._lanes[priority]:
                del self._lanes[priority]
                self._priorities.pop()

    def __iter__(self) -> Iterator[Pending]:
        for priority in reversed(self._priorities):
            yield from self._lanes[priority].from_key(0)

    def after(self, priority: int, serial: int) -> Iterator[Pending]:
        """Iterate over the tasks that follow this place in start order; the place may be empty."""
        for lower in reversed(self._priorities[: bisect_right(self._priorities, priority)]):
            yield from self._lanes[lower].from_key(serial + 1 if lower == priority else 0)

    def __len__(self) -> int:
        return self._length


def _of_one_priority(records: Sequence[Pending]) -> bool:
    priority = records[0].task.priority
    return all([record.task.priority == priority for record in records])  # noqa: C419  # a list is quicker
