"""``Deadlines``: the earliest of many times.

``forget`` does not search the heap: a forgotten entry stays there until its time comes. When forgotten entries
outnumber the live ones, the heap is rebuilt. Its size therefore stays proportional to the number of live entries.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final

_SWEEP_FROM: Final = 64
"""The number of forgotten entries below which a rebuild of the heap is not worth its cost."""


class Deadlines:
    """Times in seconds, one per key, with access to the earliest."""

    def __init__(self) -> None:
        self._times: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def set(self, key: int, time: float) -> None:
        """Set the time of a key, in the place of any earlier one."""
        self._times[key] = time
        heapq.heappush(self._heap, (time, key))
        if len(self._heap) > 2 * len(self._times) + _SWEEP_FROM:
            self._heap = [(time, key) for key, time in self._times.items()]
            heapq.heapify(self._heap)

    def forget(self, key: int) -> None:
        """Remove the time of a key, if it has one."""
        self._times.pop(key, None)

    def next(self) -> float | None:
        """Return the earliest time, or ``None`` if there are no times."""
        heap, times = self._heap, self._times
        while heap and times.get(heap[0][1]) != heap[0][0]:  # the entry was forgotten or replaced
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> Iterator[int]:
        """Remove and yield the keys whose time has come, the earliest first."""
        while (time := self.next()) is not None and time <= now:
            _, key = heapq.heappop(self._heap)
            del self._times[key]
            yield key

    def __len__(self) -> int:
        return len(self._times)
