"""``Lane``: a sorted collection that is mostly appended to at its end and taken from at its front.

Both cost a constant: the front is an index, and what lies before it is cut off once it has become half of the lane.
The rare move elsewhere is a search by halves and one shift of memory.

A lane has the keys of its items, in an array; the items are in a mapping. A list of them would be looked through, all
at once, each time the garbage collector looks at what is old: 12 ms for a million, in which nothing else runs.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Lane(Generic[T]):
    """Keys in ascending order, and with each its item.

    Parameters:
        items: the items by key; its owner has each of them there for as long as its key is in here.
    """

    def __init__(self, items: Mapping[int, T]) -> None:
        self._items = items
        # What lies before _front is gone; its places stay until they are cut off.
        self._keys = array("q")
        self._front = 0

    def __len__(self) -> int:
        return len(self._keys) - self._front

    def add(self, key: int) -> None:
        """Put a key at its place."""
        if not len(self) or self._keys[-1] < key:
            self._keys.append(key)
        else:
            self._keys.insert(self._index(key), key)

    def append_all(self, keys: Iterable[int]) -> None:
        """Put keys at the end that belong there, in their order."""
        self._keys.extend(keys)

    def last(self) -> int:
        """The highest key. Raises ``IndexError`` when there is none."""
        return self._keys[-1]

    def remove(self, key: int) -> None:
        """Take this key out. Raises ``KeyError`` when it is not in here."""
        index = self._index(key)
        if index == len(self._keys) or self._keys[index] != key:
            raise KeyError(key)
        if index == self._front:
            self._advance(1)
        else:
            del self._keys[index]

    def _advance(self, places: int) -> None:
        self._front += places
        if self._front * 2 > len(self._keys):
            del self._keys[: self._front]
            self._front = 0

    def remove_front(self, number: int) -> Sequence[int]:
        """Take out the lowest keys, at most so many."""
        taken = self._keys[self._front : self._front + number]
        self._advance(len(taken))
        return taken

    def front(self, number: int) -> Sequence[int]:
        """The lowest keys, at most so many."""
        return self._keys[self._front : self._front + number]

    def first(self) -> T:
        """The item with the lowest key. Raises ``IndexError`` when there is none."""
        return self._items[self._keys[self._front]]

    def from_key(self, key: int) -> Iterator[T]:
        """The items with this key or a higher one, upwards."""
        for index in range(self._index(key), len(self._keys)):
            yield self._items[self._keys[index]]

    def below_key(self, key: int | None) -> Iterator[T]:
        """The items with a lower key than this, or all of them, downwards."""
        end = len(self._keys) if key is None else self._index(key)
        for index in range(end - 1, self._front - 1, -1):
            yield self._items[self._keys[index]]

    def _index(self, key: int) -> int:
        return bisect_left(self._keys, key, lo=self._front)
