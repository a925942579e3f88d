"""``Lane``: a sorted list that is mostly appended to at its end and taken from at its front.

Both cost a constant: the front is an index, and what lies before it is cut off once it has become half of the list.
The rare move elsewhere is a search by halves and one shift of memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_GONE: Final[Any] = None


class Lane(Generic[T]):
    """Items in the order of their keys; no two have the same key.

    Parameters:
        key: gives an item's place.
    """

    def __init__(self, key: Callable[[T], int]) -> None:
        self._key = key
        # What lies before _front is gone; its places stay until they are cut off.
        self._items: list[T] = []
        self._front = 0

    def __len__(self) -> int:
        return len(self._items) - self._front

    def add(self, item: T) -> None:
        """Put an item at its place."""
        if not len(self) or self._key(self._items[-1]) < self._key(item):
            self._items.append(item)
        else:
            self._items.insert(self._index(self._key(item)), item)

    def append_all(self, items: Iterable[T]) -> None:
        """Put items at the end that belong there, in their order."""
        self._items.extend(items)

    def last(self) -> T:
        """The item with the highest key. Raises ``IndexError`` when there is none."""
        return self._items[-1]

    def remove(self, item: T) -> None:
        """Take this item out. Raises ``KeyError`` when it is not in here."""
        if len(self) and self._items[self._front] is item:
            self._remove_first()
            return
        index = self._index(self._key(item))
        if index == len(self._items) or self._items[index] is not item:
            raise KeyError(item)
        del self._items[index]

    def _remove_first(self) -> None:
        self._items[self._front] = _GONE  # not to be kept alive by its empty place
        self._advance(1)

    def _advance(self, places: int) -> None:
        self._front += places
        if self._front * 2 > len(self._items):
            del self._items[: self._front]
            self._front = 0

    def remove_front(self, number: int) -> list[T]:
        """Take out the items with the lowest keys, at most so many."""
        begin = self._front
        taken = self._items[begin : begin + number]
        self._items[begin : begin + len(taken)] = [_GONE] * len(taken)
        self._advance(len(taken))
        return taken

    def front(self, number: int) -> list[T]:
        """The items with the lowest keys, at most so many."""
        return self._items[self._front : self._front + number]

    def first(self) -> T:
        """The item with the lowest key. Raises ``IndexError`` when there is none."""
        return self._items[self._front]

    def from_key(self, key: int) -> Iterator[T]:
        """The items with this key or a higher one, upwards."""
        for index in range(self._index(key), len(self._items)):
            yield self._items[index]

    def below_key(self, key: int | None) -> Iterator[T]:
        """The items with a lower key than this, or all of them, downwards."""
        end = len(self._items) if key is None else self._index(key)
        for index in range(end - 1, self._front - 1, -1):
            yield self._items[index]

    def _index(self, key: int) -> int:
        return bisect_left(self._items, key, lo=self._front, key=self._key)
