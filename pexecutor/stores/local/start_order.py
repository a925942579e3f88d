"""``StartOrder``: pending tasks by priority, the highest first, then in acceptance order, and which of them may start.

Tasks are kept by handler, so pausing a handler does not touch its tasks. Of the tasks without limit keys, a claim takes
the first ones of all open handlers. Only tasks with limit keys are kept in lanes, too (see ``keyed_tasks.py``).

Road not taken: one order of all tasks, in which a claim skips those that are blocked. A claim would then cost more, the
more tasks are blocked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import chain
from typing import Any, Final

from ...limits.keys import LimitKey
from ...observe.batch_counts import by_handler
from ...task import PRIORITY_MAX, Pending, Record
from ..limits import Ahead
from .by_priority import Place, place_of
from .chunked_dict import BySerial
from .handler_tasks import HandlerTasks, has_limit_keys
from .selection import Selection
from .slots import Slots
from .start_gate import StartGate

START: Final[Place] = (-PRIORITY_MAX, 0)
"""The place before all tasks."""


class StartOrder:
    """A sorted collection of pending tasks that can be entered at any place.

    Parameters:
        records: the records by serial; it holds at least the tasks of this collection.
        slots: the slots in use.
        gate: the handlers whose tasks may start.
    """

    def __init__(self, records: BySerial[Any], slots: Slots, gate: StartGate) -> None:
        self.is_cut: bool = False
        """Whether the latest ``first`` returned too few tasks, because it had looked at many lanes in vain."""
        self._records = records
        self._slots = slots
        self._gate = gate
        # Owned by this class. A handler is in _handlers exactly as long as it has a task.
        self._handlers: dict[str, HandlerTasks] = {}
        self._length = 0
        self._keyed = 0  # how many tasks have limit keys

    @property
    def is_plain(self) -> bool:
        """Whether no task can be blocked: none has limit keys, and every handler is open."""
        return not self._keyed and self._gate.is_always_open

    def add(self, record: Pending) -> None:
        """Add a task at its place."""
        tasks = self._handlers.get(record.task.handler)
        if tasks is None:
            tasks = self._handlers[record.task.handler] = HandlerTasks(
                record.task.handler, self._records, self._slots.is_full
            )
        if record.rare is None or not has_limit_keys(record):
            tasks.plain.add(record)
        else:
            tasks.add_keyed(record)
            self._keyed += 1
        self._length += 1

    def remove(self, record: Record) -> None:
        """Remove a task. Raises ``KeyError`` if it is missing."""
        tasks = self._handlers[record.task.handler]
        if record.rare is None or not has_limit_keys(record):
            tasks.plain.remove(record)
        else:
            tasks.remove_keyed(record)
            self._keyed -= 1
        self._length -= 1
        if not tasks:
            del self._handlers[record.task.handler]

    def remove_all(self, records: Sequence[Record]) -> None:
        """Remove many tasks without limit keys. Raises ``KeyError`` if one is missing."""
        for handler, some in by_handler(records):
            tasks = self._handlers[handler]
            tasks.plain.remove_all(some)
            self._length -= len(some)
            if not tasks:
                del self._handlers[handler]

    def add_all(self, records: Sequence[Pending]) -> None:
        """Add many tasks at their places; their serials ascend."""
        if len(records) == 1:
            self.add(records[0])
            return
        for _, some in by_handler(records):
            self.add(some[0])
            others = some[1:]
            if others and _are_alike(some):
                lane = self._handlers[some[0].task.handler].plain.lane(some[0].task.priority)
                if lane.last() == some[0].serial:  # so all others belong behind the first
                    lane.append_all([record.serial for record in others])
                    self._length += len(others)
                    continue
            for record in others:
                self.add(record)

    # Claim

    def first(self, number: int, may_start: Callable[[Pending], bool] | None = None) -> list[Pending]:
        """Return the first tasks in start order that may start together, at most ``number``.

        Parameters:
            number: how many tasks at most.
            may_start: returns whether a task may start with regard to crashes; called for tasks that would start.
        """
        if not self._gate.is_always_open:
            handlers = [tasks for tasks in self._handlers.values() if self._gate.is_open(tasks.handler)]
        else:
            handlers = [*self._handlers.values()]
        if self._keyed or may_start is not None or self._slots.numbers.handlers:
            return self._select(handlers, number, may_start)
        return self._first_plain(handlers, number)

    def _select(
        self, handlers: Sequence[HandlerTasks], number: int, may_start: Callable[[Pending], bool] | None
    ) -> list[Pending]:
        selection = Selection(handlers, self._slots, may_start or (lambda _: True))
        chosen = selection.choose(number)
        self.is_cut = selection.is_cut
        return chosen

    def _first_plain(self, handlers: Sequence[HandlerTasks], number: int) -> list[Pending]:
        self.is_cut = False
        if len(handlers) == 1:
            return handlers[0].plain.front(number)
        if number == 1:
            return self._first_of(handlers)
        first: list[Pending] = []
        orders = [tasks.plain for tasks in handlers]
        for priority in sorted({priority for order in orders for priority in order.priorities}):
            left = number - len(first)
            fronts = [order.front_of(priority, left) for order in orders]
            first += self._records.get_all(sorted(chain(*fronts))[:left])
            if len(first) == number:
                break
        return first

    def _first_of(self, handlers: Sequence[HandlerTasks]) -> list[Pending]:
        """Return the first task of all. Most claims are for one task, so this path is the shortest."""
        first: Place | None = None
        for tasks in handlers:
            place = tasks.plain.first_place()
            if first is None or place < first:
                first = place
        return [] if first is None else [self._records[first[1]]]

    def open_queues(self, key: LimitKey) -> None:
        """Let the tasks that wait for a key be claimed, because the key has a free slot."""
        for tasks in self._handlers.values():
            if tasks.keyed is not None:
                tasks.keyed.open_queue(key)

    def remove_first(self, records: Sequence[Record]) -> None:
        """Remove the tasks that ``first`` returned without ``may_start``, or the first ones of them."""
        if len(self._handlers) == 1 and not self._keyed:
            [tasks] = self._handlers.values()
            tasks.plain.remove_first(len(records))
            if not tasks.plain.lanes:
                self._handlers.clear()
        elif len(records) == 1:
            self._remove_first_of(records[0].task.handler, records)
        elif self.is_plain and records:
            self._remove_up_to(place_of(records[-1]))
        else:
            for handler, some in by_handler(records):
                self._remove_first_of(handler, some)
        self._length -= len(records)

    def _remove_up_to(self, place: Place) -> None:
        """Remove all tasks up to this place. Counting them by handler takes longer than finding the place in each."""
        for tasks in [*self._handlers.values()]:
            if number := tasks.plain.before((place[0], place[1] + 1)):
                tasks.plain.remove_first(number)
                if not tasks.plain.lanes:
                    del self._handlers[tasks.handler]

    def _remove_first_of(self, handler: str, records: Sequence[Record]) -> None:
        tasks = self._handlers[handler]
        if tasks.keyed is None:
            tasks.plain.remove_first(len(records))
        else:
            keyed = [record for record in records if has_limit_keys(record)]
            tasks.plain.remove_first(len(records) - len(keyed))
            for record in keyed:
                tasks.remove_keyed(record)
            self._keyed -= len(keyed)
        if not tasks:
            del self._handlers[handler]

    # Read

    def has(self, record: Pending) -> bool:
        """Return whether a task is still the same pending one."""
        return self._records.get(record.serial) is record

    def ahead(self, record: Pending) -> Ahead:
        """Return how many tasks of open handlers start before this one."""
        place = place_of(record)
        handlers = [tasks for tasks in self._handlers.values() if self._gate.is_open(tasks.handler)]
        plain = sum(tasks.plain.before(place) for tasks in handlers)
        keyed = sum(tasks.keyed.order.before(place) for tasks in handlers if tasks.keyed is not None)
        return Ahead(plain + keyed, exact=not keyed)

    def __iter__(self) -> Iterator[Pending]:
        return self.after(START)

    def after(self, place: Place, handler: str | None = None) -> Iterator[Pending]:
        """Iterate over the tasks, or those of one handler, that follow this place in start order.

        The place may be empty.
        """
        some = [tasks for tasks in self._handlers.values() if handler in (None, tasks.handler)]
        orders = [order for tasks in some for order in tasks.after(place)]
        return orders[0] if len(orders) == 1 else merge(*orders, key=place_of)

    def handlers(self) -> list[str]:
        """Return the names of the handlers that have a task here."""
        return [*self._handlers]

    def __len__(self) -> int:
        return self._length


def _are_alike(records: Sequence[Pending]) -> bool:
    """Return whether tasks of one handler have one priority, and no limit keys."""
    priority = records[0].task.priority
    for record in records:  # a loop takes less time than a generator
        if record.task.priority != priority or (record.rare is not None and has_limit_keys(record)):
            return False
    return True
