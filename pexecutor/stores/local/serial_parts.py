"""``SerialParts``: a sorted collection of serials that are removed anywhere.

A ``Lane`` shifts all keys behind a removed one. Here a removal shifts only the keys of one small part, so it takes the
same time among a million keys.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from .chunked_dict import PART_BITS

T = TypeVar("T")


class SerialParts(Generic[T]):
    """Serials in ascending order, each with an item.

    Parameters:
        items: the items by serial; its owner keeps each item there as long as its serial is here.
    """

    __slots__ = ("_highs", "_items", "_length", "_parts")

    def __init__(self, items: Mapping[int, T]) -> None:
        self._items = items
        # Keyed by the high bits of the serials; _highs has the same keys in ascending order. No part is empty.
        self._parts: dict[int, array[int]] = {}
        self._highs: list[int] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, serial: int) -> None:
        """Add a serial at its place."""
        part = self._parts.get(serial >> PART_BITS)
        if part is None:
            part = self._parts[serial >> PART_BITS] = array("q")
            insort(self._highs, serial >> PART_BITS)
        if not part or part[-1] < serial:
            part.append(serial)
        else:
            part.insert(bisect_left(part, serial), serial)
        self._length += 1

    def remove(self, serial: int) -> None:
        """Remove a serial. Raises ``KeyError`` if it is missing."""
        high = serial >> PART_BITS
        part = self._parts[high]
        index = bisect_left(part, serial)
        if index == len(part) or part[index] != serial:
            raise KeyError(serial)
        del part[index]
        self._length -= 1
        if not part:
            del self._parts[high]
            del self._highs[bisect_left(self._highs, high)]

    def from_key(self, serial: int) -> Iterator[T]:
        """Iterate over the items with this serial or a higher one, in ascending order."""
        first = bisect_left(self._highs, serial >> PART_BITS)
        for high in self._highs[first:]:
            part = self._parts[high]
            for index in range(bisect_left(part, serial), len(part)):
                yield self._items[part[index]]

    def below(self, serial: int) -> int:
        """Return how many serials are lower than this one."""
        end = bisect_left(self._highs, serial >> PART_BITS)
        lower = sum(len(self._parts[high]) for high in self._highs[:end])
        return lower + bisect_left(self._parts.get(serial >> PART_BITS, ()), serial)
