"""``History``: the finished tasks that can still be read, bounded by count, by age and by bytes.

Endings are numbered as they arrive: a page is a walk down the numbers from a cursor, and no clock that is set back can
upset the order. What goes over the count or the bytes goes from the oldest on; what has reached its age goes whenever
somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..task import Finished
from .deadlines import Deadlines
from .lane import Lane


class History:
    """A bounded, ordered collection of finished tasks.

    Parameters:
        records_max: how many to keep.
        seconds_max: for how long to keep one; a task may ask for less.
        bytes_max: how many bytes of results and output to keep in all.
        forget: called with each record that has to go.
    """

    def __init__(
        self, *, records_max: int, seconds_max: float, bytes_max: int, forget: Callable[[Finished], None]
    ) -> None:
        self._records_max = records_max
        self._seconds_max = seconds_max
        self._bytes_max = bytes_max
        self._forget = forget
        # Changed together, by add() and _remove().
        self._numbers: dict[int, int] = {}  # serial -> number
        self._by_serial: dict[int, Finished] = {}
        self._in_order: Lane[Finished] = Lane(self.number_of)
        self._expiry = Deadlines()
        self._bytes = 0
        self._endings = 0

    def add(self, record: Finished) -> None:
        """Take in a record, and let go of what is now over the bounds."""
        self._endings += 1
        self._numbers[record.serial] = self._endings
        self._by_serial[record.serial] = record
        self._in_order.add(record)
        self._bytes += _size(record)
        keep = record.task.keep
        seconds = self._seconds_max if keep is None else min(self._seconds_max, keep / 1000)
        self._expiry.set(record.serial, record.finished_at + seconds)
        while len(self._in_order) > self._records_max or (self._bytes > self._bytes_max and len(self._in_order) > 1):
            self._remove(self._in_order.first())

    def expire(self, now: float) -> None:
        """Let go of what has reached its age at this time."""
        for serial in self._expiry.pop_due(now):
            self._remove(self._by_serial[serial])

    def number_of(self, record: Finished) -> int:
        """Which ending of the store this was, from 1."""
        return self._numbers[record.serial]

    def before(self, number: int | None = None) -> Iterator[Finished]:
        """The records that ended before this number, or all of them, the latest first."""
        return self._in_order.below_key(number)

    def __len__(self) -> int:
        return len(self._in_order)

    def _remove(self, record: Finished) -> None:
        self._in_order.remove(record)
        self._expiry.forget(record.serial)
        self._bytes -= _size(record)
        del self._numbers[record.serial], self._by_serial[record.serial]
        self._forget(record)


def _size(record: Finished) -> int:
    return len(record.ending.result or b"") + len(record.ending.output or b"")
