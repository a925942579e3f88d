"""``Lane``: a sorted collection whose keys are mostly appended at the end and removed from the front.

Both operations take constant time: the front is an index, and the keys before it are deleted once they make up half of
the array. The rare operation at another place is a binary search and one shift of memory.

A lane keeps the keys in an array, and the items in a mapping outside. The garbage collector would scan a list of items
as a whole each time it looks at old objects: 12 ms for a million items, during which no other code runs.

Road not taken: ``sortedcontainers``. Its lists of a million keys cost the collector 16 ms, and an append costs more
(``bench/NOTES.md``).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_REMOVALS_A_REBUILD: Final = 64
"""Testing whether one key is to go takes about as long as shifting this many keys."""


class Lane(Generic[T]):
    """Keys in ascending order, each with an item.

    Parameters:
        items: the items by key; its owner keeps each item there as long as its key is in the lane.
    """

    __slots__ = ("_front", "_items", "_keys")

    def __init__(self, items: Mapping[int, T]) -> None:
        self._items = items
        # The keys before _front are removed already; _advance() deletes them in bulk.
        self._keys = array("q")
        self._front = 0

    def __len__(self) -> int:
        return len(self._keys) - self._front

    def add(self, key: int) -> None:
        """Add a key at its place."""
        if not len(self) or self._keys[-1] < key:
            self._keys.append(key)
        else:
            self._keys.insert(self._index(key), key)

    def append_all(self, keys: Iterable[int]) -> None:
        """Append ascending keys, which must be higher than all keys in the lane."""
        self._keys.extend(keys)

    def last(self) -> int:
        """Return the highest key. Raises ``IndexError`` if the lane is empty."""
        return self._keys[-1]

    def remove(self, key: int) -> None:
        """Remove a key. Raises ``KeyError`` if it is missing."""
        index = self._index(key)
        if index == len(self._keys) or self._keys[index] != key:
            raise KeyError(key)
        if index == self._front:
            self._advance(1)
        else:
            del self._keys[index]

    def remove_all(self, keys: Sequence[int]) -> None:
        """Remove ascending keys. Raises ``KeyError`` if one is missing."""
        if not keys:
            return
        begin, end = self._index(keys[0]), self._index(keys[-1]) + 1
        if (end - begin) * _REMOVALS_A_REBUILD > len(keys) * (len(self._keys) - begin):
            for key in keys:
                self.remove(key)
            return
        gone = set(keys)
        kept = array("q", [key for key in self._keys[begin:end] if key not in gone])
        if end - begin - len(kept) != len(keys):
            raise KeyError(keys)
        if begin == self._front and not kept:
            self._advance(end - begin)
        else:
            self._keys[begin:end] = kept

    def _advance(self, places: int) -> None:
        self._front += places
        if self._front * 2 > len(self._keys):
            del self._keys[: self._front]
            self._front = 0

    def remove_front(self, number: int) -> Sequence[int]:
        """Remove and return the lowest keys, at most ``number``."""
        taken = self._keys[self._front : self._front + number]
        self._advance(len(taken))
        return taken

    def front(self, number: int) -> Sequence[int]:
        """Return the lowest keys, at most ``number``."""
        return self._keys[self._front : self._front + number]

    def lowest(self) -> int:
        """Return the lowest key. Raises ``IndexError`` if the lane is empty."""
        return self._keys[self._front]

    def first(self) -> T:
        """Return the item with the lowest key. Raises ``IndexError`` if the lane is empty."""
        return self._items[self._keys[self._front]]

    def from_key(self, key: int) -> Iterator[T]:
        """Iterate over the items with this key or a higher one, in ascending order."""
        for index in range(self._index(key), len(self._keys)):
            yield self._items[self._keys[index]]

    def below_key(self, key: int | None) -> Iterator[T]:
        """Iterate over the items with a lower key than this, or over all items, in descending order."""
        end = len(self._keys) if key is None else self._index(key)
        for index in range(end - 1, self._front - 1, -1):
            yield self._items[self._keys[index]]

    def keys_below(self, key: int | None) -> Iterator[int]:
        """Iterate over the keys that are lower than this, or over all keys, in descending order."""
        end = len(self._keys) if key is None else self._index(key)
        for index in range(end - 1, self._front - 1, -1):
            yield self._keys[index]

    def below(self, key: int) -> int:
        """Return how many keys are lower than this one."""
        return self._index(key) - self._front

    def _index(self, key: int) -> int:
        return bisect_left(self._keys, key, lo=self._front)
