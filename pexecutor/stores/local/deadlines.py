"""``Deadlines``: which of many things is due next.

A thing that is no longer wanted is forgotten, not searched for: its entry stays until its time, or until the forgotten
are more than those that count, and then all are swept out at once. So it stays in proportion to what is wanted.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final

_SWEEP_FROM: Final = 64


class Deadlines:
    """Times, in seconds, by key; a key has one."""

    def __init__(self) -> None:
        self._times: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def set(self, key: int, time: float) -> None:
        """Give a key a time, in the place of the one it may have."""
        self._times[key] = time
        heapq.heappush(self._heap, (time, key))
        if len(self._heap) > 2 * len(self._times) + _SWEEP_FROM:
            self._heap = [(time, key) for key, time in self._times.items()]
            heapq.heapify(self._heap)

    def forget(self, key: int) -> None:
        """Take a key's time away, if it has one."""
        self._times.pop(key, None)

    def next(self) -> float | None:
        """The earliest time, or ``None`` when there is none."""
        heap, times = self._heap, self._times
        while heap and times.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> Iterator[int]:
        """Take out the keys whose time has come, the earliest first."""
        while (time := self.next()) is not None and time <= now:
            _, key = heapq.heappop(self._heap)
            del self._times[key]
            yield key

    def __len__(self) -> int:
        return len(self._times)
