"""``History``: the finished tasks that can still be read, bounded by count and by age.

Endings are numbered as they arrive, without a gap: a page is a walk down the numbers from a cursor, the oldest is
always the lowest, and no clock that is set back can upset the order. Age is judged by the wall clock, from the
oldest on: a clock set back makes records stay longer, never vanish early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..task import Finished


class History:
    """A bounded, ordered collection of finished tasks.

    Parameters:
        records_max: how many to keep.
        seconds_max: for how long to keep one.
        forget: called with each record that has to go.
    """

    def __init__(self, *, records_max: int, seconds_max: float, forget: Callable[[Finished], None]) -> None:
        self._records_max = records_max
        self._seconds_max = seconds_max
        self._forget = forget
        # Owned by add() and expire(); the keys are all numbers from _oldest to below _next.
        self._by_number: dict[int, Finished] = {}
        self._numbers: dict[int, int] = {}  # serial -> number
        self._oldest = 1
        self._next = 1

    def add(self, record: Finished) -> None:
        """Take in a record, and let go of what is now over the bounds."""
        self._by_number[self._next] = record
        self._numbers[record.serial] = self._next
        self._next += 1
        self.expire(record.finished_at)

    def expire(self, now: float) -> None:
        """Let go of what is over the bounds at this time."""
        while self._by_number and self._over_the_bounds(self._by_number[self._oldest], now):
            record = self._by_number.pop(self._oldest)
            del self._numbers[record.serial]
            self._oldest += 1
            self._forget(record)

    def number_of(self, record: Finished) -> int:
        """Which ending of the store this was, from 1."""
        return self._numbers[record.serial]

    def before(self, number: int | None = None) -> Iterator[Finished]:
        """The records that ended before this number, or all of them, the latest first."""
        newest = self._next if number is None else min(number, self._next)
        for earlier in range(newest - 1, self._oldest - 1, -1):
            yield self._by_number[earlier]

    def __len__(self) -> int:
        return len(self._by_number)

    def _over_the_bounds(self, oldest: Finished, now: float) -> bool:
        return len(self._by_number) > self._records_max or now - oldest.finished_at > self._seconds_max
