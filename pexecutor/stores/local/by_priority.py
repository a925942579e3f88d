"""``ByPriority``: pending tasks by priority, the highest first, then in acceptance order.

Roads not taken: a heap cannot be listed in order, so a page of a million tasks would sort a million; an ordered dict
cannot be entered at a cursor; marking cancelled tasks and skipping them later lets them outgrow the bound of the queue.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from ...task import Pending, Record
from .chunked_dict import BySerial
from .sorted_serials import Lane

Place = tuple[int, int]
"""The sort key of a record in a listing; unique within its state."""


def place_of(record: Record) -> Place:
    """Return the place of a task in the start order: its negative priority, and its serial."""
    return -record.task.priority, record.serial


class SortedSerials(Protocol):
    """A sorted collection of serials, as ``Lane`` and ``SerialParts`` are."""

    def __len__(self) -> int: ...

    def add(self, key: int, /) -> None: ...

    def remove(self, key: int, /) -> None: ...

    def from_key(self, key: int, /) -> Iterator[Pending]: ...

    def below(self, key: int, /) -> int: ...


S = TypeVar("S", bound=SortedSerials)


class ByPriority(Generic[S]):
    """A sorted collection of pending tasks that can be entered at any place.

    Parameters:
        records: the records by serial; it holds at least the tasks of this collection.
        make: makes an empty collection of serials.
    """

    __slots__ = ("_make", "_records", "lanes", "priorities")

    def __init__(self, records: BySerial[Any], make: Callable[[BySerial[Any]], S]) -> None:
        self._records = records
        self._make = make
        # The negative priorities in ascending order, and the serials of each. Changed by lane(), remove() and
        # remove_first() alone.
        self.priorities: list[int] = []
        self.lanes: list[S] = []

    def lane(self, priority: int) -> S:
        """Return the serials of a priority; if there are none yet, an empty collection, which must be added to."""
        index = bisect_left(self.priorities, -priority)
        if index == len(self.priorities) or self.priorities[index] != -priority:
            self.priorities.insert(index, -priority)
            self.lanes.insert(index, self._make(self._records))
        return self.lanes[index]

    def find(self, priority: int) -> S | None:
        """Return the serials of a priority, or ``None`` if there are none."""
        index = bisect_left(self.priorities, -priority)
        return self.lanes[index] if index < len(self.priorities) and self.priorities[index] == -priority else None

    def add(self, record: Pending) -> None:
        """Add a task at its place."""
        self.lane(record.task.priority).add(record.serial)

    def remove(self, record: Record) -> None:
        """Remove a task. Raises ``KeyError`` if it is missing."""
        priority = record.task.priority
        lane = self.find(priority)
        if lane is None:
            raise KeyError(record.serial)
        lane.remove(record.serial)
        if not len(lane):
            self._drop_lane(priority)

    def _drop_lane(self, priority: int) -> None:
        index = bisect_left(self.priorities, -priority)
        del self.priorities[index], self.lanes[index]

    def __iter__(self) -> Iterator[Pending]:
        for lane in self.lanes:
            yield from lane.from_key(0)

    def after(self, place: Place) -> Iterator[Pending]:
        """Iterate over the tasks that follow this place in start order; the place may be empty."""
        first = bisect_left(self.priorities, place[0])
        for priority, lane in zip(self.priorities[first:], self.lanes[first:], strict=True):
            yield from lane.from_key(place[1] + 1 if priority == place[0] else 0)

    def before(self, place: Place) -> int:
        """Return how many tasks precede this place in start order."""
        end = bisect_left(self.priorities, place[0])
        lane = self.find(-place[0])
        return sum(map(len, self.lanes[:end])) + (0 if lane is None else lane.below(place[1]))

    def __len__(self) -> int:
        return sum(map(len, self.lanes))


class PriorityLanes(ByPriority[Lane[Pending]]):
    """Pending tasks that are mostly added at the end and removed from the front.

    Parameters:
        records: the records by serial; it holds at least the tasks of this collection.
    """

    __slots__ = ()

    def __init__(self, records: BySerial[Any]) -> None:
        super().__init__(records, Lane)

    def first_place(self) -> Place:
        """Return the place of the first task. Raises ``IndexError`` if there is none."""
        return self.priorities[0], self.lanes[0].lowest()

    def front(self, number: int) -> list[Pending]:
        """Return the first tasks, at most ``number``."""
        first: list[Pending] = []
        for lane in self.lanes:
            first += self._records.get_all(lane.front(number - len(first)))
            if len(first) == number:
                break
        return first

    def front_of(self, priority: int, number: int) -> Sequence[int]:
        """Return the serials of the first tasks of a negative priority, at most ``number``."""
        if self.priorities[0] == priority:
            return self.lanes[0].front(number)
        lane = self.find(-priority)
        return () if lane is None else lane.front(number)

    def remove_first(self, number: int) -> None:
        """Remove the first ``number`` tasks."""
        while number:
            first = self.lanes[0]
            number -= len(first.remove_front(number))
            if not len(first):
                del self.priorities[0], self.lanes[0]

    def remove_all(self, records: Sequence[Record]) -> None:
        """Remove many tasks. Raises ``KeyError`` if one is missing."""
        by_priority = defaultdict[int, list[int]](list)
        for record in records:
            by_priority[record.task.priority].append(record.serial)
        for priority, serials in by_priority.items():
            lane = self.find(priority)
            if lane is None:
                raise KeyError(serials[0])
            lane.remove_all(sorted(serials))
            if not len(lane):
                self._drop_lane(priority)
