"""``KeyedTasks``: the pending tasks of one handler that have limit keys, in lanes.

A lane holds the tasks with equal keys. It is either *open* or waits in the queue of a key that had no free slot when
the lane was looked at. When that key has a free slot again, the whole queue becomes open at once, as if it were a lane
whose first task is the first one of its lanes. So each change costs the same however many lanes wait, and a lane
cannot be forgotten: it is always either open, or in a queue that is open or whose key has no free slot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...limits.keys import LimitKey
from ...task import Pending, Record
from .by_priority import ByPriority, Place, PriorityLanes, place_of
from .chunked_dict import BySerial
from .earliest import Earliest
from .serial_parts import SerialParts


class _Source:
    """A lane or a queue among the open ones."""

    __slots__ = ()

    def __lt__(self, other: _Source) -> bool:
        return id(self) < id(other)  # any order will do, since two of them have the same place only for a moment


class KeyedLane(_Source):
    """The tasks with equal limit keys, in start order.

    Parameters:
        keys: the limit keys.
        records: the records by serial.
    """

    __slots__ = ("keys", "queue", "tasks")

    def __init__(self, keys: tuple[LimitKey, ...], records: BySerial[Any]) -> None:
        self.keys = keys
        self.tasks: PriorityLanes = PriorityLanes(records)
        self.queue: KeyQueue | None = None
        """The queue in which the lane waits; ``None`` if it is open. Changed by ``KeyedTasks`` alone."""


class KeyQueue(_Source):
    """The lanes that wait for a free slot of one key."""

    __slots__ = ("key", "lanes")

    def __init__(self, key: LimitKey) -> None:
        self.key = key
        self.lanes: Earliest[KeyedLane, Place] = Earliest()


class KeyedTasks:
    """The pending tasks of one handler that have limit keys.

    Parameters:
        records: the records by serial; it holds at least these tasks.
        is_full: returns whether a key has no free slot.
    """

    __slots__ = ("_is_full", "_lanes", "_open", "_queues", "_records", "order")

    def __init__(self, records: BySerial[Any], is_full: Callable[[LimitKey], bool]) -> None:
        self._records = records
        self._is_full = is_full
        # Changed by add() and remove() alone: the tasks in start order, and the same tasks in lanes.
        self.order: ByPriority[SerialParts[Pending]] = ByPriority(records, SerialParts)
        self._lanes: dict[tuple[LimitKey, ...], KeyedLane] = {}
        # Changed by put_back(), take_first() and open_queue() alone.
        self._open: Earliest[KeyedLane | KeyQueue, Place] = Earliest()
        self._queues: dict[LimitKey, KeyQueue] = {}

    def add(self, record: Pending) -> None:
        """Add a task at its place."""
        keys = _keys_of(record)
        lane = self._lanes.get(keys)
        if lane is None:
            lane = self._lanes[keys] = KeyedLane(keys, self._records)
        self.order.add(record)
        lane.tasks.add(record)
        if lane.tasks.first_place() == place_of(record):
            self.put_back(lane)

    def remove(self, record: Record) -> None:
        """Remove a task. Raises ``KeyError`` if it is missing."""
        lane = self._lanes[_keys_of(record)]
        was_first = lane.tasks.first_place() == place_of(record)
        lane.tasks.remove(record)
        self.order.remove(record)
        if was_first:
            self.put_back(lane)

    # Open lanes and queues

    def first_place(self) -> Place | None:
        """Return the place of the first task in an open lane or queue, or ``None``."""
        first = self._open.first()
        return None if first is None else first[0]

    def take_first(self, is_full: Callable[[LimitKey], bool]) -> KeyedLane | KeyQueue:
        """Take the first open lane, or an open queue whose key is now full; the caller puts it back."""
        first = self._open.first()
        assert first is not None, "the caller has seen its place"
        source = first[1]
        if isinstance(source, KeyQueue) and not is_full(source.key):
            source = self._take_first_of(source)
        self._open.forget(source)
        return source

    def _take_first_of(self, queue: KeyQueue) -> KeyedLane:
        first = queue.lanes.first()
        assert first is not None, "a queue is not empty"
        lane = first[1]
        self._leave_queue(lane)
        return lane

    def put_back(self, source: KeyedLane | KeyQueue) -> None:
        """Put a lane or a queue where it belongs, after it was looked at or has changed."""
        if isinstance(source, KeyQueue):
            self._put_back_queue(source)
        elif not source.tasks.lanes:
            self._drop(source)
        else:
            self._put_back_lane(source)

    def open_queue(self, key: LimitKey) -> None:
        """Open the queue of a key that has a free slot."""
        if (queue := self._queues.get(key)) is not None:
            self._put_back_queue(queue)

    def _put_back_lane(self, lane: KeyedLane) -> None:
        key = next((key for key in lane.keys if self._is_full(key)), None)
        if lane.queue is not None and lane.queue.key != key:
            self._leave_queue(lane)
        if key is None:
            self._open.set(lane, lane.tasks.first_place())
        else:
            self._open.forget(lane)
            self._enter_queue(lane, key)

    def _enter_queue(self, lane: KeyedLane, key: LimitKey) -> None:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = KeyQueue(key)
        lane.queue = queue
        queue.lanes.set(lane, lane.tasks.first_place())
        self._put_back_queue(queue)

    def _leave_queue(self, lane: KeyedLane) -> None:
        queue, lane.queue = lane.queue, None
        if queue is not None:
            queue.lanes.forget(lane)
            self._put_back_queue(queue)

    def _put_back_queue(self, queue: KeyQueue) -> None:
        first = queue.lanes.first()
        if first is None:
            self._queues.pop(queue.key, None)
        if first is None or self._is_full(queue.key):
            self._open.forget(queue)
        else:
            self._open.set(queue, first[0])

    def _drop(self, lane: KeyedLane) -> None:
        self._leave_queue(lane)
        self._open.forget(lane)
        del self._lanes[lane.keys]


def _keys_of(record: Record) -> tuple[LimitKey, ...]:
    assert record.rare is not None, "a task without limit keys is not here"
    return record.rare.limit_keys
