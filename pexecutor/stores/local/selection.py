"""``Selection``: the tasks that one claim may start together, where limits or crashes matter.

The selection changes nothing that others can see. It takes lanes and queues from the open ones while it looks at them,
and puts each one back at its end. A lane that it found blocked by a key is then in the queue of that key.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from ...limits.keys import LimitKey
from ...task import Pending
from ..limits import LANES_A_STEP_MAX, handler_key, keys_of
from .by_priority import place_of
from .handler_tasks import HandlerTasks
from .keyed_tasks import KeyedLane, KeyedTasks, KeyQueue
from .slots import Slots


class Selection:
    """The choice of one claim.

    Parameters:
        handlers: the tasks of each handler that is open.
        slots: the slots in use.
        may_start: returns whether a task may start with regard to crashes; called for tasks that would start.
    """

    def __init__(self, handlers: Sequence[HandlerTasks], slots: Slots, may_start: Callable[[Pending], bool]) -> None:
        self.is_cut: bool = False
        """Whether the selection ended because it had looked at many lanes in vain."""
        self._slots = slots
        self._may_start = may_start
        self._chosen: list[Pending] = []
        self._taken: Counter[LimitKey] = Counter()  # the slots of the chosen tasks
        # By handler. A handler that has no free slot left is removed.
        self._keyed = {tasks.handler: tasks.keyed for tasks in handlers if tasks.keyed is not None}
        self._aside: list[tuple[KeyedTasks, KeyedLane | KeyQueue]] = []
        # The tasks that come next in the lanes that were looked at: a heap of the place, a number, the task and those
        # behind it. The number is unique, so nothing behind it is compared.
        self._next: list[tuple[tuple[int, int], int, Pending, Iterator[Pending]]] = []
        self._numbers = count()
        for tasks in handlers:
            self._go_on(iter(tasks.plain))

    def choose(self, number: int) -> list[Pending]:
        """Return the first tasks that may start together, at most ``number``, in start order."""
        vain = 0
        try:
            while len(self._chosen) < number and not self.is_cut:
                if (tasks := self._first_keyed()) is not None:
                    vain += not self._take(tasks)
                elif self._next:
                    vain += not self._look()
                else:
                    break
                self.is_cut = vain == LANES_A_STEP_MAX
        finally:
            for tasks, source in self._aside:
                tasks.put_back(source)
        return self._chosen

    def _first_keyed(self) -> KeyedTasks | None:
        """Return the tasks whose first open lane comes before all lanes taken so far, or ``None``."""
        place = self._next[0][0] if self._next else None
        first: KeyedTasks | None = None
        for tasks in self._keyed.values():
            candidate = tasks.first_place()
            if candidate is not None and (place is None or candidate < place):
                place, first = candidate, tasks
        return first

    def _take(self, tasks: KeyedTasks) -> bool:
        """Take the first open lane; return ``False`` if it is a queue whose key is full."""
        source = tasks.take_first(self._is_full)
        self._aside.append((tasks, source))
        if isinstance(source, KeyQueue):
            return False
        self._go_on(iter(source.tasks))
        return True

    def _go_on(self, records: Iterator[Pending]) -> None:
        if (record := next(records, None)) is not None:
            heapq.heappush(self._next, (place_of(record), next(self._numbers), record, records))

    def _look(self) -> bool:
        """Choose the next task if it may start; return ``False`` if it and the tasks behind it lack a slot."""
        _, _, record, behind = heapq.heappop(self._next)
        keys = keys_of(record)
        if any(self._is_full(key) for key in keys):
            return False
        if self._may_start(record):
            self._chosen.append(record)
            self._taken.update(keys)
            if self._is_full(handler_key(record.task.handler)):
                self._keyed.pop(record.task.handler, None)
        self._go_on(behind)
        return True

    def _is_full(self, key: LimitKey) -> bool:
        return self._slots.is_full(key, self._taken[key])
