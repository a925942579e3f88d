"""``Deadlines``: the earliest of many times."""

from __future__ import annotations

from collections.abc import Iterator

from .earliest import Earliest


class Deadlines(Earliest[int, float]):
    """Times in seconds, one per key, with access to the earliest."""

    __slots__ = ()

    def next(self) -> float | None:
        """Return the earliest time, or ``None`` if there are no times."""
        first = self.first()
        return None if first is None else first[0]

    def pop_due(self, now: float) -> Iterator[int]:
        """Remove and yield the keys whose time has come, the earliest first."""
        while (first := self.first()) is not None and first[0] <= now:
            self.forget(first[1])
            yield first[1]
