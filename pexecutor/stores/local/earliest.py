"""``Earliest``: keys in the order of their places, of which only the first is needed.

``forget`` does not search the heap: a forgotten entry stays there until it comes first. When forgotten entries
outnumber the live ones, the heap is rebuilt. Its size therefore stays proportional to the number of live entries.
"""

from __future__ import annotations

import heapq
from typing import Final, Generic, TypeVar

K = TypeVar("K")
P = TypeVar("P")

_SWEEP_FROM: Final = 64
"""The number of forgotten entries below which a rebuild of the heap is not worth its cost."""


class Earliest(Generic[K, P]):
    """Places, one per key, with access to the first. Keys and places can be compared with ``<``."""

    __slots__ = ("_heap", "_places")

    def __init__(self) -> None:
        self._places: dict[K, P] = {}
        self._heap: list[tuple[P, K]] = []

    def set(self, key: K, place: P) -> None:
        """Set the place of a key, instead of any earlier one."""
        if self._places.get(key) == place:
            return
        self._places[key] = place
        heapq.heappush(self._heap, (place, key))
        if len(self._heap) > 2 * len(self._places) + _SWEEP_FROM:
            self._heap = [(place, key) for key, place in self._places.items()]
            heapq.heapify(self._heap)

    def forget(self, key: K) -> None:
        """Remove the place of a key, if it has one."""
        self._places.pop(key, None)

    def first(self) -> tuple[P, K] | None:
        """Return the first place and its key, or ``None`` if there are no places."""
        heap, places = self._heap, self._places
        while heap and places.get(heap[0][1]) != heap[0][0]:  # the entry was forgotten or replaced
            heapq.heappop(heap)
        return heap[0] if heap else None

    def __len__(self) -> int:
        return len(self._places)
