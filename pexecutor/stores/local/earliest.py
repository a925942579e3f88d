"""``Earliest``: keys in the order of their places, of which only the first is needed.

The entries are sorted, in parts of a bounded length, and a call changes one or two parts. So its cost does not depend
on the order in which entries come and go.

Road not taken: a heap, in which a forgotten entry stays until it comes first. If 50,000 tasks are cancelled, the latest
first, a single call then removes 50,000 entries, which takes 75 ms.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from operator import itemgetter
from typing import Final, Generic, TypeVar

K = TypeVar("K")
P = TypeVar("P")

PART_LENGTH_MAX: Final = 512
"""How many entries a part has at most. A longer one is divided into halves."""

_last = itemgetter(-1)


class Earliest(Generic[K, P]):
    """Places, one per key, with access to the first. Keys and places can be compared with ``<``."""

    __slots__ = ("_parts", "_places")

    def __init__(self) -> None:
        # Changed together, by set() and forget(). No part is empty.
        self._places: dict[K, P] = {}
        self._parts: list[list[tuple[P, K]]] = []

    def set(self, key: K, place: P) -> None:
        """Set the place of a key, instead of any earlier one."""
        if self._places.get(key) == place:
            return
        self.forget(key)
        self._places[key] = place
        if not self._parts:
            self._parts.append([])
        index = self._part_of((place, key))
        part = self._parts[index]
        insort(part, (place, key))
        if len(part) > PART_LENGTH_MAX:
            half = PART_LENGTH_MAX // 2
            self._parts[index : index + 1] = [part[:half], part[half:]]

    def forget(self, key: K) -> None:
        """Remove the place of a key, if it has one."""
        if key not in self._places:
            return
        entry = (self._places.pop(key), key)
        index = self._part_of(entry)
        part = self._parts[index]
        del part[bisect_left(part, entry)]
        if not part:
            del self._parts[index]

    def _part_of(self, entry: tuple[P, K]) -> int:
        """Return the index of the part that has an entry, or to which a new entry belongs."""
        last = len(self._parts) - 1
        return bisect_left(self._parts, entry, hi=last, key=_last) if last else 0

    def first(self) -> tuple[P, K] | None:
        """Return the first place and its key, or ``None`` if there are no places."""
        return self._parts[0][0] if self._parts else None

    def __len__(self) -> int:
        return len(self._places)
