"""``ScheduleBook``: the schedules of a local store, by name and by their next time. It is synchronous."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from operator import itemgetter

from ..schedules import DuePlace, DueSchedules, Schedule


class ScheduleBook:
    """Schedules in the order of their names, and in the order in which they are due.

    Both orders are sorted lists: with some thousand entries, inserting takes less than a lookup in a tree.
    """

    def __init__(self) -> None:
        self.bytes: int = 0
        """The bytes of all definitions."""
        self._schedules: dict[str, Schedule] = {}
        self._sizes: dict[str, int] = {}
        self._names: list[str] = []
        self._due: list[DuePlace] = []

    def __len__(self) -> int:
        return len(self._schedules)

    def get(self, name: str) -> Schedule | None:
        """Return a schedule, or ``None``."""
        return self._schedules.get(name)

    def size(self, name: str) -> int:
        """Return the bytes of a schedule's definition, or 0 if there is no such schedule."""
        return self._sizes.get(name, 0)

    def put(self, schedule: Schedule, size: int | None = None) -> None:
        """Put a schedule in the place of its earlier state; without ``size``, its definition is the same."""
        name = schedule.name
        old = self._schedules.get(name)
        if old is None:
            insort(self._names, name)
        else:
            self._forget_due(old)
        self._schedules[name] = schedule
        if schedule.next is not None:
            insort(self._due, DuePlace(schedule.next.due_at, name))
        if size is not None:
            self.bytes += size - self.size(name)
            self._sizes[name] = size

    def remove(self, name: str) -> None:
        """Remove a schedule."""
        self._forget_due(self._schedules.pop(name))
        self.bytes -= self._sizes.pop(name)
        del self._names[bisect_left(self._names, name)]

    def _forget_due(self, schedule: Schedule) -> None:
        if schedule.next is not None:
            del self._due[bisect_left(self._due, DuePlace(schedule.next.due_at, schedule.name))]

    def page(self, limit: int, after: str | None) -> list[Schedule]:
        """Return the first schedules by name, after a name."""
        first = 0 if after is None else bisect_right(self._names, after)
        return [self._schedules[name] for name in self._names[first : first + limit]]

    def due(self, now: float, limit: int, after: DuePlace | None) -> DueSchedules:
        """Return the schedules that are due, the longest due first, after a place."""
        first = 0 if after is None else bisect_right(self._due, after)
        end = bisect_right(self._due, now, key=itemgetter(0))
        places = self._due[first : min(end, first + limit)]
        next_due_at = self._due[end].due_at if end < len(self._due) else None
        return DueSchedules(now, [self._schedules[place.name] for place in places], next_due_at)
